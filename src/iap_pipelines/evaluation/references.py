"""What each clip should show and say: the CSV beside a folder of clips, or a benchmark."""

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path


COLUMNS = ("video", "subject", "face", "other_faces", "voice", "text", "prompt")
VIDEO_SUFFIXES = (".mp4", ".mov", ".webm", ".mkv")
UNNAMED = re.compile(r"S[0-9]+")
"""What subjects are called whose names are left out: after their places in the clip."""
_LABEL_PREFIX = "label_"


@dataclass(frozen=True)
class SubjectReference:
    """Who should be seen and heard.

    Args:
        name: unique within the clip.
        faces: pictures that the generator was given (or that simply show the person).
        other_faces: pictures of the person that it was not given, for copy-paste.
        voices: recordings of the voice.
        text: what the person should say, ``None`` where it does not matter.
    """

    name: str
    faces: tuple[Path, ...] = ()
    other_faces: tuple[Path, ...] = ()
    voices: tuple[Path, ...] = ()
    text: str | None = None


@dataclass(frozen=True)
class ClipReference:
    """One clip to score.

    Args:
        clip_id: unique; how results name it.
        video: the file.
        subjects: in the order of the references; may be empty.
        prompt: the caption it was made from.
        labels: groups that the report shows apart, like ``{"pairing": "cross_pair"}``.
        target: a real clip of the same scene, for FID, FVD and FAD.
        problem: why there is no clip, when it could not be made.
    """

    clip_id: str
    video: Path
    subjects: tuple[SubjectReference, ...] = ()
    prompt: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    target: Path | None = None
    problem: str | None = None


def read_references(path: Path, videos: Path) -> list[ClipReference]:
    """Read a CSV with one row per clip and person.

    Columns: `video` (file in ``videos``), and any of `subject` (name), `face`, `other_faces`, `voice` (files, several
    with `;`, relative to the CSV), `text` (what this person should say), `prompt` (the caption, on any row of the
    clip), and `label_…` (groups of the report).

    Args:
        path: the CSV.
        videos: folder of the clips.

    Returns:
        Clips in the order of the file.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: for a file that is no UTF-8 text or has no rows, unknown columns, a row without `video` or with too
            many cells, or a name that appears twice in a clip.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"`references` must be a CSV file, but there is no {path}.")
    if not Path(videos).is_dir():
        raise FileNotFoundError(f"`videos` must be a folder, but there is no folder {videos}.")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"`references` must be UTF-8 text, but {path} is not: {error}. Save it as UTF-8.") from error
    rows = _read_rows(path, text)
    if not rows:
        raise ValueError(f"`references` must have a row per clip and person, but {path} has none.")
    return [_clip(Path(path), Path(videos), name, of_clip) for name, of_clip in rows.items()]


def _read_rows(path: Path, text: str) -> dict[str, list[dict[str, str]]]:
    """Rows by video."""
    reader = csv.DictReader(text.splitlines(keepends=True))
    _check_columns(path, reader.fieldnames or ())
    rows: dict[str, list[dict[str, str]]] = {}
    for row in reader:
        if None in row:
            raise ValueError(
                f"{path}, line {reader.line_num}: more cells than columns, {row[None]} is left over; put text with "
                "commas into double quotes, and `;` between several files."
            )
        row = {name: (value or "").strip() for name, value in row.items()}
        if not row["video"]:
            raise ValueError(f"{path}, line {reader.line_num}: `video` is empty; name the file of the clip.")
        rows.setdefault(row["video"], []).append(row)
    return rows


def unlisted_videos(clips: list[ClipReference], videos: Path) -> list[Path]:
    """Video files of the folder that no row of the CSV names, sorted."""
    listed = {clip.video.resolve() for clip in clips}
    found = (path for path in sorted(Path(videos).rglob("*")) if path.suffix.lower() in VIDEO_SUFFIXES)
    return [path for path in found if path.resolve() not in listed]


def missing_files(clips: list[ClipReference]) -> list[Path]:
    """Reference files that are not there, sorted."""
    subjects = [subject for clip in clips for subject in clip.subjects]
    named = {path for subject in subjects for path in (*subject.faces, *subject.other_faces, *subject.voices)}
    return sorted(path for path in named if not path.is_file())


def _check_columns(path: Path, columns: tuple[str, ...] | list[str]) -> None:
    unknown = [name for name in columns if name not in COLUMNS and not name.startswith(_LABEL_PREFIX)]
    if "video" not in columns or unknown:
        problem = f"has unknown columns {unknown}" if unknown else "has no column `video`"
        hint = " Columns are separated by commas." if any(";" in name or "\t" in name for name in columns) else ""
        raise ValueError(f"{path} {problem}. Known are {', '.join(COLUMNS)} and {_LABEL_PREFIX}….{hint}")


def _clip(path: Path, videos: Path, name: str, rows: list[dict[str, str]]) -> ClipReference:
    subjects = tuple(
        SubjectReference(
            name=row.get("subject") or f"S{number}",
            faces=_files(path, row.get("face")),
            other_faces=_files(path, row.get("other_faces")),
            voices=_files(path, row.get("voice")),
            text=row.get("text") or None,
        )
        for number, row in enumerate(rows, start=1)
        if any(row.get(key) for key in ("subject", "face", "voice", "text"))
    )
    names = [subject.name for subject in subjects]
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: the subjects of {name} must have different names, but are {names}.")
    prompts = {row["prompt"] for row in rows if row.get("prompt")}
    if len(prompts) > 1:
        raise ValueError(f"{path}: {name} has {len(prompts)} different prompts; give one.")
    labels = {
        key.removeprefix(_LABEL_PREFIX): value
        for key, value in rows[0].items()
        if key.startswith(_LABEL_PREFIX) and value
    }
    return ClipReference(name, videos / name, subjects, next(iter(prompts), None), labels)


def _files(path: Path, text: str | None) -> tuple[Path, ...]:
    return tuple(path.parent / part.strip() for part in (text or "").split(";") if part.strip())
