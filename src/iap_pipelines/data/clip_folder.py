"""A folder of clips whose people are known: `clips.jsonl`, `identities.jsonl`, and the files that they name."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ClipEntry:
    """One clip of a folder.

    Args:
        clip_id: unique name.
        path: the video file, with sound.
        split: `train`, `validation` or `test`.
        height: pixels.
        width: pixels.
        num_frames: frames.
        frame_rate: frames per second.
        identities: who is in it; the k-th entry is the subject that the caption calls `<Sk>`, from 1.
        caption: the structured caption.
        speech: per subject, seconds from the first to the last word; `None` for a subject who says nothing. Empty if
            the folder does not tell.
        cut_from: name of the longer clip that this one is a piece of; `None` if it is whole.
    """

    clip_id: str
    path: Path
    split: str
    height: int
    width: int
    num_frames: int
    frame_rate: float
    identities: tuple[str, ...]
    caption: str
    speech: tuple[tuple[float, float] | None, ...] = ()
    cut_from: str | None = None


@dataclass(frozen=True)
class IdentityEntry:
    """One person of a folder.

    Args:
        identity: unique name.
        split: `train`, `validation` or `test`; equal to the split of the person's clips.
        faces: pictures of the face.
        voices: recordings of the voice; empty for who is never heard.
        face_clips: the clip that each picture was taken from, as in `ClipEntry.cut_from`; `None` for one that belongs
            to no clip. Empty if none belongs to a clip.
        voice_clips: the same for each recording.
    """

    identity: str
    split: str
    faces: tuple[Path, ...]
    voices: tuple[Path, ...]
    face_clips: tuple[str | None, ...] = ()
    voice_clips: tuple[str | None, ...] = ()


def read_clips(folder: Path) -> list[ClipEntry]:
    """
    Read `clips.jsonl`.

    Args:
        folder: where the file lies; the clips' paths are relative to it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a line that is not a clip; the message names the line and the reason.
    """
    return [
        _entry(
            where,
            lambda line=line: ClipEntry(
                clip_id=line["clip_id"],
                path=Path(folder) / line["file"],
                split=line["split"],
                height=line["height"],
                width=line["width"],
                num_frames=line["num_frames"],
                frame_rate=line["frame_rate"],
                identities=tuple(subject["identity"] for subject in line["subjects"]),
                caption=line["caption"],
                speech=_speech(line),
                cut_from=line.get("cut_from"),
            ),
        )
        for where, line in _read_lines(Path(folder) / "clips.jsonl")
    ]


def read_identities(folder: Path) -> dict[str, IdentityEntry]:
    """
    Read `identities.jsonl`, keyed by name.

    Args:
        folder: where the file lies; the references' paths are relative to it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a line that is not a person; the message names the line and the reason.
    """
    entries = [
        _entry(
            where,
            lambda line=line: IdentityEntry(
                identity=line["identity"],
                split=line["split"],
                faces=tuple(Path(folder) / face for face in line["faces"]),
                voices=tuple(Path(folder) / voice for voice in line["voices"]),
                face_clips=tuple(line.get("face_clips", ())),
                voice_clips=tuple(line.get("voice_clips", ())),
            ),
        )
        for where, line in _read_lines(Path(folder) / "identities.jsonl")
    ]
    return {entry.identity: entry for entry in entries}


def _speech(line: dict[str, Any]) -> tuple[tuple[float, float] | None, ...]:
    if "lines" not in line:
        return ()
    turns: list[list[dict]] = [[] for _ in line["subjects"]]
    for spoken in line["lines"]:
        turns[spoken["subject"] - 1].append(spoken)
    return tuple((min(t["start"] for t in own), max(t["end"] for t in own)) if own else None for own in turns)


def _read_lines(path: Path) -> Iterator[tuple[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"`folder` must hold `{path.name}`, but there is no {path}.")
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path.name}, line {number}"
            try:
                yield where, json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{where}: not JSON ({error}). Was the file cut off while it was written?") from error


def _entry(where: str, make: Any) -> Any:
    try:
        return make()
    except (KeyError, TypeError) as error:
        raise ValueError(f"{where}: an entry lacks {error}.") from error
