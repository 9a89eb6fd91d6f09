"""A dataset as a folder of clips that the trainer learns from: pieces of equal length, in few sizes, with words."""

import json
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
from PIL import Image
from torch import Tensor

from iap_pipelines.data.corpus import SplitSettings, open_corpus
from iap_pipelines.data.features import CLIP_CONFIGS, identity_features
from iap_pipelines.data.framing import choose_size, frame_people
from iap_pipelines.media import MediaError, read_image, read_video, write_video
from iap_pipelines.types import AudioSamples, SpokenLine, StructuredCaption


logger = logging.getLogger(__name__)

Row = dict[str, Any]
_COLUMNS = ["clip_id", "video", "caption", "subjects", "lines"]


@dataclass(frozen=True, kw_only=True)
class TrainingFolderSettings:
    """What the pieces are like.

    Args:
        sizes: height and width of the pictures, in pixels; each clip takes the one whose shape is nearest.
        num_frames: of every piece: 1 more than a multiple of 4, as the video codec wants it.
        frame_rate: frames per second.
        face_size: side of the pictures of faces, in pixels.

    Raises:
        ValueError: for lengths and sizes that cannot be encoded.
    """

    sizes: tuple[tuple[int, int], ...]
    num_frames: int
    frame_rate: float
    face_size: int

    def __post_init__(self) -> None:
        if not self.sizes or any(side < 2 or side % 2 for size in self.sizes for side in size):
            raise ValueError(f"`sizes` must hold even heights and widths, but got {self.sizes!r}.")
        if self.num_frames < 1 or self.num_frames % 4 != 1:
            raise ValueError(f"`num_frames` must be 1 more than a multiple of 4, but got {self.num_frames!r}.")
        if self.frame_rate <= 0 or self.face_size < 1:
            raise ValueError("`frame_rate` and `face_size` must be positive.")

    @property
    def seconds(self) -> float:
        """Length of a piece."""
        return self.num_frames / self.frame_rate


@dataclass(frozen=True)
class TrainingFolderReport:
    """What became of the clips.

    Args:
        num_clips: clips that were read.
        num_pieces: pieces that were written.
        left_out: reason by clip, for clips of which there is no piece; also in `left_out.jsonl`.
    """

    num_clips: int
    num_pieces: int
    left_out: dict[str, str]


def open_clips(source: str, splits: SplitSettings | None = None) -> Iterator[tuple[str, Row]]:
    """Every clip of a dataset with its split, undecoded, one at a time.

    Args:
        source: output folder of `iap curate` or `iap synthesize`, an exported dataset, or its name on the Hub.
        splits: how a curated folder is divided; see `SplitSettings`.
    """
    is_corpus = (Path(source) / "tables").is_dir() or (Path(source) / "clips.jsonl").is_file()
    for config in CLIP_CONFIGS:
        for split, rows in (_stream_corpus if is_corpus else _stream_dataset)(source, config, splits).items():
            for row in rows.select_columns(_COLUMNS):
                yield split, row


def _stream_corpus(source: str, config: str, splits: SplitSettings | None) -> dict[str, datasets.IterableDataset]:
    from iap_pipelines.data.identity_clips import IdentityClips, keys_by_split

    if not keys_by_split(open_corpus(Path(source), splits), config):
        return {}
    return IdentityClips(config_name=config, data_dir=source, splits=splits, decode=False).as_streaming_dataset()


def _stream_dataset(source: str, config: str, splits: SplitSettings | None) -> dict[str, datasets.IterableDataset]:
    if splits is not None:
        raise ValueError("`splits` is given, but an exported dataset is divided already.")
    if config not in datasets.get_dataset_config_names(source):
        return {}
    return datasets.load_dataset(source, config, features=identity_features(config, decode=False), streaming=True)


def write_training_folder(
    clips: Iterable[tuple[str, Row]], output: Path, settings: TrainingFolderSettings
) -> TrainingFolderReport:
    """Cut clips into pieces and write `clips.jsonl`, `identities.jsonl` and their files.

    A piece keeps the words whose middle lies in it. References of a person are the faces and voices of all clips, each
    with the clip that it comes from, so that the trainer can take them from elsewhere.

    Args:
        clips: as `open_clips` gives them.
        output: folder to fill; its lists are written last.
        settings: what the pieces are like.

    Raises:
        ValueError: if there is no piece at all.
    """
    output = Path(output)
    for name in ("clips", "faces", "voices"):
        (output / name).mkdir(parents=True, exist_ok=True)
    people: dict[str, Row] = {}
    pieces: list[Row] = []
    left_out: dict[str, str] = {}
    num_clips = 0
    for split, row in clips:
        num_clips += 1
        try:
            made = list(_cut(row, split, output, settings))
        except (MediaError, ValueError) as error:
            made, left_out[row["clip_id"]] = [], str(error)
        else:
            if not made:
                left_out[row["clip_id"]] = f"shorter than {settings.seconds:g} s"
        pieces += made
        for subject in row["subjects"] if made else ():
            _add_references(people, subject, split, output, settings.face_size)
    if not pieces:
        raise ValueError(f"`clips`: none of {num_clips} gave a piece of {settings.seconds:g} s: {left_out}.")
    for clip_id, reason in left_out.items():
        logger.warning("%s is left out: %s", clip_id, reason)
    _write_lines(output / "left_out.jsonl", ({"clip_id": clip, "reason": why} for clip, why in left_out.items()))
    _write_lines(output / "identities.jsonl", people.values())
    _write_lines(output / "clips.jsonl", pieces)
    return TrainingFolderReport(num_clips, len(pieces), left_out)


def _cut(row: Row, split: str, output: Path, settings: TrainingFolderSettings) -> Iterator[Row]:
    """Pieces of one clip, one after the other; what is left at the end is too short."""
    caption = StructuredCaption.parse(row["caption"])
    with _as_file(row["video"], output / f".{row['clip_id']}.mp4") as path:
        video, audio = read_video(path, frame_rate=settings.frame_rate)
    if audio is None:
        raise ValueError("it has no sound")
    boxes = [box for subject in row["subjects"] for box in subject["track"]["boxes"]]
    size = choose_size(video.height / video.width, settings.sizes)
    for number in range(video.num_frames // settings.num_frames):
        first = number * settings.num_frames
        name, start = f"{row['clip_id']}-{number}", first / settings.frame_rate
        lines = list(_lines_between(row["lines"], start, start + settings.seconds))
        spoken = tuple(SpokenLine(line["subject"], line["text"]) for line in lines)
        frames = frame_people(video.frames[first : first + settings.num_frames], boxes, size)
        write_video(
            frames,
            _sound_between(audio, start, settings.seconds),
            output / f"clips/{name}.mp4",
            frame_rate=settings.frame_rate,
            sampling_rate=audio.sampling_rate,
        )
        yield {
            "clip_id": name,
            "cut_from": row["clip_id"],
            "file": f"clips/{name}.mp4",
            "split": split,
            "height": size[0],
            "width": size[1],
            "num_frames": settings.num_frames,
            "frame_rate": settings.frame_rate,
            "subjects": [{"identity": subject["identity_id"]} for subject in row["subjects"]],
            "lines": lines,
            "caption": replace(caption, lines=spoken).render(),
        }


def _lines_between(lines: list[Row], start: float, end: float) -> Iterator[Row]:
    """What visible people say in a piece. A word belongs where its middle is; a line without words is one word."""
    for line in lines:
        if line["subject"] is None or not line["text"]:
            continue
        words = line["words"] or [line]
        words = [word for word in words if start <= (word["start_seconds"] + word["end_seconds"]) / 2 < end]
        if words:
            yield {
                "subject": line["subject"],
                "text": " ".join(word["text"].replace('"', "'") for word in words),
                "start": max(words[0]["start_seconds"] - start, 0.0),
                "end": min(words[-1]["end_seconds"], end) - start,
            }


def _sound_between(audio: AudioSamples, start: float, seconds: float) -> Tensor:
    first, length = round(start * audio.sampling_rate), round(seconds * audio.sampling_rate)
    return audio.samples[:, first : first + length]


def _add_references(people: dict[str, Row], subject: Row, split: str, output: Path, face_size: int) -> None:
    name = subject["identity_id"]
    person = people.setdefault(
        name, {"identity": name, "split": split, "faces": [], "voices": [], "face_clips": [], "voice_clips": []}
    )
    for face in (*subject["in_pair_faces"], *subject["cross_faces"]):
        _add_reference(person, "face", face["image"], face["clip_id"], face["view_id"], output, face_size)
    for voice in (*subject["in_pair_voices"], *subject["cross_voices"]):
        _add_reference(person, "voice", voice["audio"], voice["clip_id"], voice["turn_id"], output, face_size)


def _add_reference(
    person: Row, kind: str, cell: Row, clip_id: str | None, name: str, output: Path, face_size: int
) -> None:
    suffix = ".png" if kind == "face" else Path(cell["path"]).suffix
    file = f"{kind}s/{name.replace('/', '_')}{suffix}"
    if file in person[f"{kind}s"]:
        return
    if kind == "face":
        with _as_file(cell, output / f".{file.replace('/', '_')}") as path:
            picture = read_image(path).convert("RGB")
        picture.resize((face_size, face_size), Image.Resampling.LANCZOS).save(output / file)
    else:
        (output / file).write_bytes(_bytes(cell))
    person[f"{kind}s"].append(file)
    person[f"{kind}_clips"].append(clip_id)


class _as_file:  # noqa: N801  (used like a function)
    """The path of a cell's file; bytes are written to `path` for as long as the block lasts."""

    def __init__(self, cell: Row, path: Path) -> None:
        self._cell, self._path = cell, path

    def __enter__(self) -> Path:
        if self._cell["bytes"] is None:
            return Path(self._cell["path"])
        self._path.write_bytes(self._cell["bytes"])
        return self._path

    def __exit__(self, *error: object) -> None:
        self._path.unlink(missing_ok=True)


def _bytes(cell: Row) -> bytes:
    return cell["bytes"] if cell["bytes"] is not None else Path(cell["path"]).read_bytes()


def _write_lines(path: Path, rows: Iterable[Row]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    os.replace(partial, path)
