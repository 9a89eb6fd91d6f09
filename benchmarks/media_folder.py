"""A folder of real clips, pictures and recordings with a `manifest.csv`, as ../shared/media is one.

Columns that count: `file`; `kind` (`bad` is left out, `composite` is made from others); `identity`, who is seen, from
left to right with `;`; `speaking`, who is heard; `notes`, where a sound that is late says so ("audio 400 ms late").
"""

import csv
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


COLUMNS = ("file", "kind", "identity", "speaking", "notes")
_VIDEO, _PICTURE, _SOUND = (
    (".mp4", ".mov", ".webm", ".mkv"),
    (".jpg", ".jpeg", ".png", ".webp"),
    (".flac", ".wav", ".mp3", ".m4a", ".ogg"),
)
_LATE = re.compile(r"\b(audio|sound)\b.*\b(late|delayed)\b", re.IGNORECASE)
_MILLISECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*ms\b")


@dataclass(frozen=True)
class MediaRow:
    """One line of the manifest."""

    path: Path
    kind: str
    seen: tuple[str, ...]
    speaking: tuple[str, ...]
    notes: str = ""

    @property
    def is_video(self) -> bool:
        return self.path.suffix.lower() in _VIDEO

    @property
    def late_ms(self) -> float | None:
        """By how much the sound is late: NaN when the notes do not say how much, ``None`` when it is not."""
        if not self.is_video or not _LATE.search(self.notes):
            return None
        found = _MILLISECONDS.search(self.notes)
        return float(found[1]) if found else float("nan")

    @property
    def has_another_voice(self) -> bool:
        """One person is seen, and somebody else is heard."""
        return self.is_video and len(self.seen) == 1 and bool(self.speaking) and self.speaking != self.seen

    @property
    def is_faulty(self) -> bool:
        return self.late_ms is not None or self.has_another_voice

    @property
    def shows_one(self) -> bool:
        """Whether one person's face is known from it."""
        return len(self.seen) == 1 and self.path.suffix.lower() in _VIDEO + _PICTURE

    @property
    def sounds_like_one(self) -> bool:
        """Whether one person's voice is known from it."""
        return len(self.speaking) == 1 and self.path.suffix.lower() in _VIDEO + _SOUND

    @property
    def is_clean(self) -> bool:
        """One person, seen and heard, and nothing was done to it."""
        own = self.is_video and len(self.seen) == 1 and self.speaking == self.seen
        return own and not self.is_faulty and self.kind != "composite"

    @cached_property
    def digest(self) -> str:
        """What the file holds."""
        with open(self.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def read_manifest(folder: Path) -> list[MediaRow]:
    """Every file of the manifest but those of the kind `bad`.

    Raises:
        FileNotFoundError: without a manifest, or for a file that it names and that is not there.
        ValueError: for a manifest without one of the columns.
    """
    path = folder / "manifest.csv"
    if not path.is_file():
        raise FileNotFoundError(f"`folder` must have a manifest.csv, but there is no {path}.")
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path} must have the columns {', '.join(COLUMNS)}, but lacks {', '.join(missing)}.")
        rows = [_row(folder, row) for row in reader if row["kind"] != "bad"]
    for row in rows:
        if not row.path.is_file():
            raise FileNotFoundError(f"{path} names {row.path.relative_to(folder)}, but there is no such file.")
    return rows


def _row(folder: Path, row: dict[str, str]) -> MediaRow:
    seen, speaking = (
        tuple(name.strip() for name in row[column].split(";") if name.strip()) for column in ("identity", "speaking")
    )
    return MediaRow(folder / row["file"], row["kind"], seen, speaking, row["notes"] or "")
