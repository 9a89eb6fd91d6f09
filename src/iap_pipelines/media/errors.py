"""The one error of the media room."""

import os


class MediaError(ValueError):
    """A file that cannot be read or written, in one line that names the file and the reason.

    Args:
        path: the file.
        reason: what is wrong with it, without a final full stop; line breaks become spaces.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        # Both go to the base class, so that the error survives the way back from a worker process.
        super().__init__(path, reason)
        self.path = os.fspath(path)
        self.reason = " ".join(reason.split())

    def __str__(self) -> str:
        return f"{self.path!r}: {self.reason}."
