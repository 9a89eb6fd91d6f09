"""What went wrong between us and the Hub, in one line that says what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RevisionNotFoundError,
)


# Connection failures reach us as errors of the HTTP library itself, which huggingface_hub has changed before.
_ConnectionFailure: type[Exception] = HfHubHTTPError.__bases__[0]
_TOKEN = re.compile(r"hf_[A-Za-z0-9_]{8,}")
_AGAIN = "Nothing is lost: run the same again, and large files that have arrived are not sent again."


class HubError(OSError):
    """A repository could not be read or written. `status` is the HTTP status, `None` without an answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(_TOKEN.sub("hf_***", " ".join(message.split())))
        self.status = status


@contextmanager
def explained(repo_id: str, revision: str | None = None) -> Iterator[None]:
    """
    Turn what huggingface_hub raises inside into a [`HubError`].

    Args:
        repo_id: the repository in question.
        revision: its revision; `None` is the main branch.
    """
    try:
        yield
    except HubError:
        raise
    except Exception as error:
        # Uploads wrap what happened in a RuntimeError, downloads in a file that is not in the cache.
        cause = _find_cause(error)
        if isinstance(cause, HfHubHTTPError):
            status = cause.response.status_code
            raise HubError(f"{repo_id}: {_reason(cause, status, revision)}", status) from error
        if cause is not None:
            raise HubError(f"{repo_id}: {_reason_without_answer(cause)}") from error
        raise


def _find_cause(error: BaseException | None) -> Exception | None:
    """The answer of the Hub behind an error, or else why there is none."""
    reasons = (LocalTokenNotFoundError, OfflineModeIsEnabled, _ConnectionFailure)
    found = None
    while error is not None:
        if isinstance(error, HfHubHTTPError):
            return error
        found = error if isinstance(error, reasons) else found
        error = error.__cause__ or error.__context__
    return found


def _reason(error: HfHubHTTPError, status: int, revision: str | None) -> str:
    if isinstance(error, GatedRepoError):
        return "access to this repository has to be asked for on its page (403)."
    if isinstance(error, RevisionNotFoundError):
        return f"it has no revision {revision!r} (404)."
    if isinstance(error, EntryNotFoundError):
        return f"it lacks a file that is needed (404): {error.response.url}"
    if status == 401:
        return "the Hub does not know you (401). Run `hf auth login` or set HF_TOKEN; its token has to be valid."
    if status == 403:
        return "your token may not do this (403). It needs the role `write`, and you the right to write there."
    if status == 404:
        return "there is no such repository, or it is private and your token does not open it (404). Check its name."
    if status == 409:
        return f"somebody else is changing it at this moment (409). {_AGAIN}"
    if status == 429:
        wait = error.response.headers.get("Retry-After")
        return f"too many requests (429). Wait {f'{wait} seconds' if wait else 'some minutes'}. {_AGAIN}"
    if status >= 500:
        return f"the Hub has a problem of its own ({status}). Try again later. {_AGAIN}"
    return f"the Hub refuses ({status}): {error}"


def _reason_without_answer(error: Exception) -> str:
    if isinstance(error, LocalTokenNotFoundError):
        return "you are not logged in. Run `hf auth login` or set HF_TOKEN."
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so the Hub is not asked."
    return f"the connection to the Hub failed ({str(error) or type(error).__name__}). {_AGAIN}"
