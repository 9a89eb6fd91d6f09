"""What a run leaves behind: the records that are made of everything measured, and the tables of the output folder."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from iap_pipelines.curation.records import (
    CLIP_MEASUREMENTS,
    MATCH_UNIT,
    Clip,
    ClipTurn,
    Record,
    Source,
    Times,
    Track,
    TrackSync,
    TurnText,
    Vector,
    View,
    column,
)
from iap_pipelines.curation.schema import arrow_type, column_fields


@dataclass(frozen=True, kw_only=True)
class Verdict(Record):
    """A measurement that lies beyond its threshold."""

    table: ClassVar[str] = "verdicts"

    reason: str = column("name of the gate")
    value: float | None = column("what was measured; null when it is missing", "as the column judged")
    threshold: float | None = column("what was asked for", "as the column judged")


@dataclass(frozen=True, kw_only=True)
class Reject(Record):
    """A source or clip that is not in the dataset, and why."""

    table: ClassVar[str] = "rejects"

    record_id: str = column("`source_id` or `clip_id`; a copy is named by its path")
    level: str = column("`source` or `clip`")
    stage: str = column("what found it")
    kind: str = column("`rejected`: a decision. `failed`: an accident, tried again with `--retry-failed`")
    reason: str = column("the first gate that it did not pass, or the class of the error")
    value: float | None = column("what was measured; null when it is missing", "as the column judged", default=None)
    threshold: float | None = column("what was asked for", "as the column judged", default=None)
    detail: str | None = column("the error in one line, or what a check found", default=None)
    verdicts: tuple[Verdict, ...] = column("every gate that it did not pass", default=())


@dataclass(frozen=True, kw_only=True)
class SourceOutcome(Record):
    """What became of a source."""

    table: ClassVar[str] = "source_outcomes"

    source_id: str = column("its source")
    status: str = column("`kept` (at least one clip), `rejected` or `failed`")
    num_clips: int = column("clips that it was cut into")
    num_kept_clips: int = column("clips in the dataset")


@dataclass(frozen=True, kw_only=True)
class WrittenClip(Record):
    """The file of a kept clip."""

    table: ClassVar[str] = "written_clips"

    clip_id: str = column("its clip")
    kind: str = column("`single_subject` or `multi_subject`")
    file: str = column("mp4 (H.264, AAC), relative to the output folder")
    width: int = column("of the file", "pixels")
    height: int = column("of the file", "pixels")
    num_frames: int = column("of the file")
    frame_rate: float = column("of the file", "frames/s")
    sampling_rate: int = column("of the file's sound", "Hz")


@dataclass(frozen=True, kw_only=True)
class WrittenView(Record):
    """The file of a view."""

    table: ClassVar[str] = "written_views"

    view_id: str = column("its view")
    view_file: str = column("PNG: head and shoulders, square, relative to the output folder")
    file_pixels: int = column("width and height of the file; never enlarged", "pixels")


@dataclass(frozen=True, kw_only=True)
class WrittenVoice(Record):
    """The file of a turn."""

    table: ClassVar[str] = "written_voices"

    turn_id: str = column("its turn")
    voice_file: str = column("FLAC, mono, relative to the output folder")
    voice_seconds: float = column("length of the file", "s")
    voice_sampling_rate: int = column("of the file", "Hz")


@dataclass(frozen=True, kw_only=True)
class ClipSubject(Record):
    """A person in a kept clip: a face, and the voice that was matched to it."""

    table: ClassVar[str] = "subjects"

    subject_id: str = column("id")
    clip_id: str = column("its clip")
    source_id: str = column("its source")
    number: int = column("k of the caption's `<Sk>`: from left to right, from 1")
    track_id: str = column("its face")
    identity_id: str = column("its person")
    role: str = column("`speaker` or `listener`")
    position: str | None = column("`left`, `center` or `right`; null when alone")
    speech_seconds: float = column("matched speech", "s")
    match_score: float | None = column("lowest of its turns", MATCH_UNIT)
    match_margin: float | None = column("lowest of its turns", MATCH_UNIT)
    face_embedding: Vector = column("of the track", "unit vector")
    voice_embedding: Vector | None = column("mean over its turns; null without", "unit vector")
    view_id: str | None = column("its best view")
    turn_id: str | None = column("its longest turn; null for listeners")


@dataclass(frozen=True, kw_only=True)
class Identity(Record):
    """One person across clips."""

    table: ClassVar[str] = "identities"

    identity_id: str = column("id, made from the smallest id of its subjects")
    subject_ids: tuple[str, ...] = column("its appearances")
    num_clips: int = column("clips")
    num_sources: int = column("sources")
    voice_seconds: float = column("matched speech", "s")
    face_coherence: float = column("lowest similarity of an appearance to the mean face", "cosine, -1 to 1")
    voice_coherence: float | None = column("lowest similarity of a voice to the mean voice", "cosine, -1 to 1")
    face_embedding: Vector = column("mean", "unit vector")
    voice_embedding: Vector | None = column("mean; null when never heard", "unit vector")
    view_id: str | None = column("best view of all")
    turn_id: str | None = column("longest turn of all; null when never heard")


@dataclass(frozen=True, kw_only=True)
class Link(Record):
    """Two appearances that were compared, and what was decided."""

    table: ClassVar[str] = "links"

    link_id: str = column("id")
    subject_a: str = column("one appearance, the smaller id")
    subject_b: str = column("the other")
    face_similarity: float = column(
        "of the two; without what all faces have in common, where many people were found", "cosine, -1 to 1"
    )
    voice_similarity: float | None = column("of the two; null unless both speak", "cosine, -1 to 1")
    decision: str = column(
        "`linked`, `face_only` (one is never heard, the face is close enough alone), `voice_differs`, `face_differs`, "
        "`not_heard`, `cannot_link` (both in one clip would become one person) or `weak_bridge` (two groups that do "
        "not agree as a whole)"
    )


@dataclass(frozen=True, kw_only=True)
class Reference(Record):
    """A face or a voice that may be given along with a clip as its target."""

    table: ClassVar[str] = "references"

    reference_id: str = column("id")
    clip_id: str = column("the target")
    subject_id: str = column("the target's subject")
    identity_id: str = column("the person of both")
    modality: str = column("`face` or `voice`")
    scope: str = column(
        "where it comes from: `other_source`, `other_clip` (of the same source) or `same_clip` (only when the person "
        "has no other)"
    )
    from_clip_id: str = column("where it comes from")
    from_source_id: str = column("where it comes from")
    view_id: str | None = column("the face; null for a voice")
    turn_id: str | None = column("the voice; null for a face")
    similarity: float | None = column("of its track or turn to the target's", "cosine, -1 to 1")
    yaw_difference: float | None = column("to the target's best view; null for a voice", "°")
    rank: int = column("0 for the best of its modality and target")


@dataclass(frozen=True, kw_only=True)
class MultiView(Record):
    """Several different views of one person, for training with several references."""

    table: ClassVar[str] = "multi_views"

    identity_id: str = column("the person")
    view_ids: tuple[str, ...] = column("views that differ in yaw or picture, best first")
    turn_ids: tuple[str, ...] = column("voices, longest first")
    clip_ids: tuple[str, ...] = column("clips of the person")
    yaw_degrees: Times = column("of each view", "°")


TABLES: dict[str, tuple[type[Record], ...]] = {
    "sources": (Source, SourceOutcome),
    "clips": (Clip, WrittenClip, Source, *CLIP_MEASUREMENTS),
    "subjects": (ClipSubject, TrackSync),
    "tracks": (Track,),
    "views": (View, WrittenView),
    "turns": (ClipTurn, TurnText, WrittenVoice),
    "identities": (Identity,),
    "links": (Link,),
    "references": (Reference,),
    "multi_views": (MultiView,),
    "rejects": (Reject, Source, Clip, *CLIP_MEASUREMENTS),
}
"""Name of each Parquet table and the records that stand side by side in a row."""


def table_columns(name: str) -> dict[str, Any]:
    """Columns of a table by name, in order; the first record that has a column describes it."""
    columns: dict[str, Any] = {}
    for record in TABLES[name]:
        for item in column_fields(record):
            columns.setdefault(item.name, item)
    return columns


def table_schema(name: str) -> pa.Schema:
    """Arrow schema of a table, with what each column means and its unit as metadata of the field."""
    return pa.schema(
        [
            pa.field(item.name, arrow_type(item.type), metadata=_described(item.metadata))
            for item in table_columns(name).values()
        ]
    )


def _described(metadata: Any) -> dict[str, str]:
    return {"what": metadata["what"], "unit": metadata["unit"]}


def to_table(name: str, rows: Iterable[tuple[Record | None, ...]]) -> pa.Table:
    """A table from groups of records that belong side by side, sorted by the table's first column."""
    schema = table_schema(name)
    merged = sorted((_merge(records) for records in rows), key=lambda row: row[schema.names[0]])
    return pa.Table.from_pylist(merged, schema=schema)


def _merge(records: Iterable[Record | None]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for record in records:
        if record is not None:
            row = {**record.as_row(), **row}
    return row


def describe_tables() -> Iterator[str]:
    """The tables as Markdown, for the README of this room."""
    for name, records in TABLES.items():
        lines = [
            f"### {name}",
            "",
            records[0].__doc__,
            "",
            "| column | unit or range | meaning |",
            "| --- | --- | --- |",
        ]
        for item in table_columns(name).values():
            lines.append(f"| `{item.name}` | {item.metadata['unit']} | {item.metadata['what']} |")
        yield "\n".join(lines)


if __name__ == "__main__":
    print("\n\n".join(describe_tables()))
