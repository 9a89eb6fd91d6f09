"""What an identity folder says about itself: whose face and voice it holds, for which model, and with whose consent.

The folder is written and shared by `hub/`; this value is what everybody else may ask of it.
"""

import hashlib
import os
import re
from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator


IDENTITY_FILE = "identity.json"
CONSENT_FILE = "consent.json"
VOICE = "voice.flac"
FACE_LATENTS = "face_latents.safetensors"
VOICE_LATENTS = "voice_latents.safetensors"
KEYS_AND_VALUES = "keys_and_values.safetensors"
LORA = "pytorch_lora_weights.safetensors"
"""As `load_lora_weights` expects it, so that an identity repository is a LoRA repository too."""
EMBEDDINGS = "embeddings.safetensors"

_VIEW = re.compile(r"views/[0-9]+\.png")
_REFERENCES = {VOICE, FACE_LATENTS, VOICE_LATENTS, KEYS_AND_VALUES}
_FILES = _REFERENCES | {LORA, EMBEDDINGS}
FILE_PATTERNS = (IDENTITY_FILE, "views/*.png", *sorted(_FILES))
"""What to fetch of a repository."""
_BOUND_TO_A_MODEL = {FACE_LATENTS, VOICE_LATENTS, KEYS_AND_VALUES, LORA}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_STRICT = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Consent(BaseModel):
    """
    What a person agreed to.

    Example:
        >>> Consent(statement="I, Ada Example, agree to clips of me.", given_on="2026-11-01").given_on.year
        2026
    """

    model_config = _STRICT

    statement: str = Field(min_length=20)
    """in the person's own words: who agrees to what"""
    given_on: date
    """the day on which they said so"""
    allowed_uses: tuple[str, ...] = ()
    """what clips may be made for; empty: as the statement says"""
    expires_on: date | None = None
    """the last day on which it holds; `None`: until it is withdrawn"""

    @model_validator(mode="after")
    def _check_dates(self) -> Self:
        if self.expires_on is not None and self.expires_on < self.given_on:
            raise ValueError(f"`expires_on` ({self.expires_on}) lies before `given_on` ({self.given_on}).")
        return self

    def has_ended(self, today: date) -> bool:
        """Whether it does not hold any more on this day."""
        return self.expires_on is not None and self.expires_on < today

    def to_json(self) -> str:
        """The contents of `consent.json`, the file that stands beside LoRA weights of a person."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """
        Read a folder's `consent.json`.

        Raises:
            ValueError: it is not valid; one line that names the file.
            OSError: it cannot be read.
        """
        path = Path(folder, CONSENT_FILE)
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ValueError(f"{path}: {_problems(error, 'consent')}") from error


class ModelReference(BaseModel):
    """The model that latents, keys and values, or LoRA weights belong to."""

    model_config = _STRICT

    name: str = Field(min_length=1)
    """repository or folder that it was loaded from"""
    revision: str | None = None
    """commit of that repository"""
    fingerprint: str | None = None
    """of its weights, see `pipelines/fingerprint.py`; decides alone where both sides have one"""


class IdentityCard(BaseModel):
    """
    The contents of `identity.json`.

    Raises:
        ValueError: unknown or missing entries, files that a card does not hold, no reference at all, or something that
            is bound to a model without `base_model`.
    """

    model_config = _STRICT

    format: Literal["iap-identity-1"] = "iap-identity-1"
    name: str = Field(min_length=1)
    """what to call the person in messages and file names"""
    description: str | None = Field(default=None, min_length=1)
    """how a caption describes the person after the anchor: `woman with red hair`"""
    base_model: ModelReference | None = None
    """`None`: references that any model reads"""
    consent: Consent | None = None
    """needed to publish"""
    files: dict[str, str]
    """SHA-256 by name"""
    _folder: Path | None = PrivateAttr(default=None)
    _digest: str | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        unknown = [name for name in self.files if name not in _FILES and not _VIEW.fullmatch(name)]
        if unknown:
            raise ValueError(f"`files` names {unknown}; a card holds views/0.png, ... and {sorted(_FILES)}.")
        if not all(_SHA256.fullmatch(digest) for digest in self.files.values()):
            raise ValueError("`files` must give the SHA-256 of every file, 64 hexadecimal digits.")
        if not self.views and not _REFERENCES & self.files.keys():
            raise ValueError("`files` has neither face nor voice.")
        bound = sorted(_BOUND_TO_A_MODEL & self.files.keys())
        if bound and self.base_model is None:
            raise ValueError(f"`base_model` is missing, but {', '.join(bound)} fit one model only.")
        return self

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the pictures, in their order."""
        return tuple(
            sorted((name for name in self.files if _VIEW.fullmatch(name)), key=lambda name: (len(name), name))
        )

    @property
    def has_references(self) -> bool:
        """Whether it holds a face or a voice in some form that `subjects` takes."""
        return bool(self.views) or bool({VOICE, FACE_LATENTS, VOICE_LATENTS} & self.files.keys())

    @property
    def digest(self) -> str | None:
        """
        SHA-256 of `identity.json`, as `sha256sum` prints it; `None` if it was not loaded from a folder.

        The file names the SHA-256 of every other file, so this one stands for all of them, and tells nothing about the
        person.
        """
        return self._digest

    def is_expired(self, today: date) -> bool:
        """Whether consent has ended before `today`."""
        return self.consent is not None and self.consent.has_ended(today)

    def path(self, name: str) -> Path | None:
        """Where a file of the card lies; `None` if the card has no such file, or was not loaded from a folder."""
        return self._folder / name if name in self.files and self._folder is not None else None

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `identity.json`."""
        Path(folder, IDENTITY_FILE).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """
        Read a folder's `identity.json` and check the files that it names.

        Raises:
            ValueError: it is missing or not valid, or a file is missing or has changed; one line that names the file.
        """
        folder = Path(folder)
        try:
            card = cls.model_validate_json((folder / IDENTITY_FILE).read_bytes())
        except FileNotFoundError:
            raise ValueError(f"{folder}: it has no {IDENTITY_FILE}, so it is no identity folder.") from None
        except ValidationError as error:
            raise ValueError(f"{folder / IDENTITY_FILE}: {_problems(error, 'card')}") from error
        for name, digest in card.files.items():
            file = folder / name
            if not file.is_file():
                raise ValueError(f"{file}: the file that {IDENTITY_FILE} names is missing.")
            if file_digest(file) != digest:
                raise ValueError(f"{file}: it is not the file that {IDENTITY_FILE} names: its SHA-256 differs.")
        card._folder, card._digest = folder, file_digest(folder / IDENTITY_FILE)
        return card


def _problems(error: ValidationError, whole: str) -> str:
    return "; ".join(f"{'.'.join(map(str, problem['loc'])) or whole}: {problem['msg']}" for problem in error.errors())


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes in hexadecimal digits, as `sha256sum` prints it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
