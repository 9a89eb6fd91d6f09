"""The schema of the dataset: what a row of each config holds, in which unit. Everything else is made from it.

Times of a clip are seconds on the clip's own clock, from the first picture of its video. A missing measurement is
null.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from datasets import Audio, Features, Image, List, Value, Video

from iap_pipelines.curation.records import (
    MATCH_UNIT,
    ClipFaces,
    ClipMatch,
    Record,
    Source,
    Technical,
    TrackSync,
    Transcript,
)
from iap_pipelines.curation.results import Identity, table_schema
from iap_pipelines.curation.schema import arrow_type, column_fields


CLIP_CONFIGS = ("single_subject", "multi_subject")
"""Configs of clips: one row per clip, with one or with several subjects."""
CONFIGS = (*CLIP_CONFIGS, "multi_view", "identities", "rejects")
SPLITS = ("train", "validation", "test")
SCORE_RECORDS: tuple[type[Record], ...] = (Technical, ClipFaces, ClipMatch, Transcript)
"""Records whose columns make up `scores`."""


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        type: a feature of `datasets`, or columns by name for a structure.
        what: what it means.
        unit: its unit or range; empty for what has none.
        is_list: a row holds a list of these.
    """

    type: "Any | dict[str, Column]"
    what: str
    unit: str = ""
    is_list: bool = False


Columns = dict[str, Column]


def identity_features(config: str = "multi_subject", *, decode: bool = True) -> Features:
    """The features of a config; media included.

    Args:
        config: one of `CONFIGS`.
        decode: whether videos and sounds are decoded when a row is read, which needs torchcodec, and pictures too.
            Without, a cell is ``{"bytes": ..., "path": ...}``.

    Raises:
        ValueError: for an unknown `config`.

    >>> identity_features("identities")["identity_id"]
    Value('string')
    """
    if config not in CONFIGS:
        raise ValueError(f"`config` must be one of {', '.join(CONFIGS)}, but got {config!r}.")
    return Features(_with_decode(_features(_COLUMNS[config]), decode))


def describe_columns(config: str) -> str:
    """The columns of a config as a Markdown table."""
    lines = ["| column | unit or range | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {column.unit} | {column.what} |" for name, column in walk_columns(_COLUMNS[config])]
    return "\n".join(lines)


def walk_columns(columns: Columns, prefix: str = "") -> Iterator[tuple[str, Column]]:
    """Every column with its full name; lists carry ``[]``: ``subjects[].identity_id``."""
    for name, column in columns.items():
        full = f"{prefix}{name}" + ("[]" if column.is_list else "")
        yield full, column
        if isinstance(column.type, dict):
            yield from walk_columns(column.type, f"{full}.")


def _features(columns: Columns) -> dict[str, Any]:
    made = {}
    for name, column in columns.items():
        feature = _features(column.type) if isinstance(column.type, dict) else column.type
        made[name] = List(feature) if column.is_list else feature
    return made


def _with_decode(feature: Any, decode: bool) -> Any:
    if isinstance(feature, dict):
        return {name: _with_decode(inner, decode) for name, inner in feature.items()}
    if isinstance(feature, List):
        return List(_with_decode(feature.feature, decode), length=feature.length)
    return type(feature)(decode=decode) if isinstance(feature, Video | Audio | Image) else feature


def _measured(records: Iterable[type[Record]], leave_out: Iterable[str] = ()) -> Columns:
    """Columns of curation's records, as they are described there."""
    columns: Columns = {}
    for record in records:
        for item in column_fields(record):
            if item.name not in leave_out:
                feature = _from_arrow(arrow_type(item.type))
                columns.setdefault(item.name, Column(feature, item.metadata["what"], item.metadata["unit"]))
    return columns


def _from_arrow(kind: pa.DataType) -> Any:
    return Features.from_arrow_schema(pa.schema([("column", kind)]))["column"]


_TEXT, _INTEGER, _NUMBER = Value("string"), Value("int32"), Value("float32")
_VECTOR = List(_NUMBER)
_SECONDS = "s, clip's clock"

_CONSENT: Columns = {
    "status": Column(_TEXT, "`given`, `not_needed` (nobody's likeness) or `not_recorded`"),
    "statement": Column(_TEXT, "who agrees to what, in the person's own words; null when nothing is recorded"),
    "given_on": Column(_TEXT, "when", "ISO date"),
    "expires_on": Column(_TEXT, "last day on which it holds; null until it is withdrawn", "ISO date"),
    "allowed_uses": Column(_TEXT, "uses that are agreed to; empty: as the statement says", is_list=True),
}

_ORIGIN: Columns = {
    "clip_id": Column(_TEXT, "clip that it was taken from; null when from none of this dataset"),
    "source_id": Column(_TEXT, "recording that it was taken from; null when from none"),
}
_SIMILARITY = Column(_NUMBER, "to this subject in this clip", "cosine, -1 to 1")

_FACE: Columns = {
    "image": Column(Image(), "head and shoulders, square", "RGB, pixels"),
    "view_id": Column(_TEXT, "id"),
    **_ORIGIN,
    "yaw_degrees": Column(_NUMBER, "turn of the head, positive when the nose points to the right of the picture", "°"),
    "pitch_degrees": Column(_NUMBER, "nod of the head, positive upwards", "°"),
    "view_score": Column(_NUMBER, "frontality x sharpness x size x confidence", "0 to 1"),
}
_VOICE: Columns = {
    "audio": Column(Audio(), "speech of this person alone, mono", "samples in -1 to 1"),
    "turn_id": Column(_TEXT, "id"),
    **_ORIGIN,
    "text": Column(_TEXT, "what is said; null when it is not known"),
    "seconds": Column(_NUMBER, "length; null when it was not measured", "s"),
}
_CROSS: Columns = {
    "scope": Column(
        _TEXT, "`other_source`, `other_clip` (of the same source) or `reference` (taken for this purpose, in no clip)"
    ),
    "similarity": _SIMILARITY,
}
_TRACK: Columns = {
    "times": Column(_NUMBER, "of each picture in which the face is seen", _SECONDS, is_list=True),
    "boxes": Column(
        List(_NUMBER, length=4),
        "left, top, right, bottom of the face, one for each time",
        "0 to 1 of width and height",
        is_list=True,
    ),
}

_SUBJECT: Columns = {
    "number": Column(_INTEGER, "k of the caption's anchor `<Sk>`, from 1; from left to right"),
    "anchor": Column(_TEXT, "what the caption calls this person: `<S1>`, `<S2>`, ..."),
    "subject_id": Column(_TEXT, "id of this appearance"),
    "identity_id": Column(_TEXT, "the person, the same in every clip; key of the config `identities`"),
    "role": Column(_TEXT, "`speaker` or `listener`"),
    "appearance": Column(_TEXT, "words of the caption about this person's looks"),
    "position": Column(_TEXT, "words of the caption about this person's place; null when it says none"),
    "in_pair_faces": Column(_FACE, "faces taken from this very clip, best first", is_list=True),
    "cross_faces": Column({**_FACE, **_CROSS}, "faces of this person from elsewhere, best first", is_list=True),
    "in_pair_voices": Column(_VOICE, "speech taken from this very clip, longest first", is_list=True),
    "cross_voices": Column({**_VOICE, **_CROSS}, "speech of this person from elsewhere, best first", is_list=True),
    "track": Column(_TRACK, "where the face is"),
    "speech_seconds": Column(_NUMBER, "speech in this clip that was matched to this face", "s"),
    "match_score": Column(_NUMBER, "how well the mouth follows the speech, lowest of the turns", MATCH_UNIT),
    "match_margin": Column(
        _NUMBER, "distance to the next face's score, lowest of the turns; null when alone", MATCH_UNIT
    ),
    **_measured([TrackSync], leave_out=("track_id", "clip_id")),
    "face_embedding": Column(_VECTOR, "of the face; of the model that curated", "unit vector"),
    "voice_embedding": Column(_VECTOR, "of the voice; of the model that curated", "unit vector"),
}

_LINE: Columns = {
    "subject": Column(_INTEGER, "number of who speaks; null when nobody in the picture does, or it is not clear"),
    "text": Column(_TEXT, "what is said; null when it is not known"),
    "start_seconds": Column(_NUMBER, "start", _SECONDS),
    "end_seconds": Column(_NUMBER, "end", _SECONDS),
    "words": Column(
        {
            "text": Column(_TEXT, "the word"),
            "start_seconds": Column(_NUMBER, "start", _SECONDS),
            "end_seconds": Column(_NUMBER, "end", _SECONDS),
        },
        "with times; empty when they are not known",
        is_list=True,
    ),
}

_PROVENANCE: Columns = {
    **_measured([Source]),
    "start_seconds": Column(Value("float64"), "start of the clip", "s, source's clock"),
    "end_seconds": Column(Value("float64"), "end of the clip", "s, source's clock"),
    "captioner": Column(_TEXT, "what wrote the caption: name and revision"),
}

_CLIP: Columns = {
    "clip_id": Column(_TEXT, "id"),
    "video": Column(Video(), "mp4, H.264 with AAC sound", "RGB, pixels"),
    "width": Column(_INTEGER, "of the video", "pixels"),
    "height": Column(_INTEGER, "of the video", "pixels"),
    "num_frames": Column(_INTEGER, "pictures of the video"),
    "frame_rate": Column(_NUMBER, "of the video", "frames/s"),
    "sampling_rate": Column(_INTEGER, "of the video's sound", "Hz"),
    "caption": Column(_TEXT, "structured caption in one line; its parts follow"),
    "scene": Column(_TEXT, "the caption's words about place and event"),
    "sounds": Column(_TEXT, "the caption's words about other sounds; null when it has none"),
    "num_subjects": Column(_INTEGER, "people in the clip"),
    "subjects": Column(_SUBJECT, "the people, from left to right", is_list=True),
    "lines": Column(_LINE, "what is said, in order", is_list=True),
    "scores": Column(_measured(SCORE_RECORDS, leave_out=("clip_id",)), "what was measured of the clip as a whole"),
    "provenance": Column(_PROVENANCE, "where the clip comes from"),
}

_MULTI_VIEW: Columns = {
    "identity_id": Column(_TEXT, "the person"),
    "faces": Column(_FACE, "views that differ in yaw or picture, best first", is_list=True),
    "voices": Column(_VOICE, "speech, longest first", is_list=True),
    "clip_ids": Column(_TEXT, "clips of the person, possible targets", is_list=True),
    "consent": Column(_CONSENT, "what the person agreed to"),
}

_IDENTITIES: Columns = {
    **_measured([Identity], leave_out=("view_id", "turn_id", "subject_ids")),
    "subject_ids": Column(_TEXT, "appearances in clips", is_list=True),
    "clip_ids": Column(_TEXT, "clips of the person", is_list=True),
    "source_ids": Column(_TEXT, "recordings of the person", is_list=True),
    "consent": Column(_CONSENT, "what the person agreed to"),
}


def _rejects() -> Columns:
    fields = table_schema("rejects")
    what, unit = b"what", b"unit"
    return {
        field.name: Column(_from_arrow(field.type), field.metadata[what].decode(), field.metadata[unit].decode())
        for field in fields
    }


_COLUMNS: dict[str, Columns] = {
    "single_subject": _CLIP,
    "multi_subject": _CLIP,
    "multi_view": _MULTI_VIEW,
    "identities": _IDENTITIES,
    "rejects": _rejects(),
}


def describe_configs() -> Iterator[str]:
    """The columns of every config as Markdown, for the README of this room."""
    for config in CONFIGS[1:]:  # both configs of clips have the same columns
        heading = "single_subject and multi_subject" if config == "multi_subject" else config
        yield f"### {heading}\n\n{describe_columns(config)}"


if __name__ == "__main__":
    print("\n\n".join(describe_configs()))
