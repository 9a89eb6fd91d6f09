"""The tables of the output folder."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from iap_pipelines.curation.collect import Collected
from iap_pipelines.curation.gates import measurements_of
from iap_pipelines.curation.records import (
    CLIP_MEASUREMENTS,
    Clip,
    ClipTurn,
    Record,
    Source,
    Track,
    TrackSync,
    TurnText,
    View,
)
from iap_pipelines.curation.results import TABLES, WrittenClip, WrittenView, WrittenVoice, to_table


Rows = list[tuple[Record | None, ...]]


def write_tables(collected: Collected, folder: Path) -> None:
    """Write every table of `TABLES`; each appears complete. Equal results give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in make_tables(collected).items():
        partial = folder / f".{name}-{uuid4().hex}"
        pq.write_table(table, partial, compression="zstd")
        os.replace(partial, folder / f"{name}.parquet")


def make_tables(collected: Collected) -> dict[str, pa.Table]:
    """All tables by name."""
    rows: dict[str, Rows] = {name: [] for name in TABLES}
    for source_id, walked in collected.walked.items():
        known = walked.known
        sources = known.all(Source) if known.has(Source) else ()
        about = sources[0] if sources else Source(**known.source.as_row())
        rows["sources"].append((about, collected.outcomes[source_id]))
        for name, found in _clip_rows(walked, about):
            rows[name].append(found)
    inputs = {reject.record_id for walked in collected.walked.values() for reject in walked.rejects.values()}
    rows["rejects"] += [(reject,) for reject in collected.rejects if reject.record_id not in inputs]
    sync = {
        record.track_id: record
        for walked in collected.walked.values()
        if walked.known.has(TrackSync)
        for record in walked.known.all(TrackSync)
    }
    rows["subjects"] = [(subject, sync.get(subject.track_id)) for subject in collected.subjects]
    rows["identities"] = [(identity,) for identity in collected.identities]
    rows["links"] = [(link,) for link in collected.links]
    rows["references"] = [(reference,) for reference in collected.references]
    rows["multi_views"] = [(item,) for item in collected.multi_views]
    return {name: to_table(name, found) for name, found in rows.items()}


def _clip_rows(walked, about: Source) -> Iterator[tuple[str, tuple[Record | None, ...]]]:  # noqa: ANN001
    known, kept = walked.known, {clip.clip_id for clip in walked.kept}
    if (reject := walked.rejects.get(about.source_id)) is not None:
        yield "rejects", (reject, about)
    if not known.has(Clip):
        return
    for clip in known.all(Clip):
        measured = measurements_of(known, clip)
        beside = [measured.get(kind) for kind in CLIP_MEASUREMENTS]
        if clip.clip_id not in kept:
            yield "rejects", (walked.rejects[clip.clip_id], about, clip, *beside)
            continue
        yield "clips", (clip, known.one(WrittenClip, clip_id=clip.clip_id), about, *beside)
        yield from (("tracks", (track,)) for track in known.all(Track, clip_id=clip.clip_id))
        files = {record.id: record for kind in (WrittenView, WrittenVoice) for record in known.all(kind)}
        texts = {text.turn_id: text for text in known.all(TurnText, clip_id=clip.clip_id)}
        for view in known.all(View, clip_id=clip.clip_id):
            yield "views", (view, files.get(view.view_id))
        for turn in known.all(ClipTurn, clip_id=clip.clip_id):
            yield "turns", (turn, texts.get(turn.turn_id), files.get(turn.turn_id))


def prune_media(collected: Collected, output: Path) -> None:
    """Delete files of clips that are no longer kept, and what killed runs left."""
    named = set()
    for walked in collected.walked.values():
        kept = {clip.clip_id for clip in walked.kept}
        if not kept:
            continue
        known = walked.known
        clip_of = {record.id: record.clip_id for kind in (View, ClipTurn) for record in known.all(kind)}
        named |= {record.file for record in known.all(WrittenClip) if record.clip_id in kept}
        named |= {record.view_file for record in known.all(WrittenView) if clip_of[record.view_id] in kept}
        named |= {record.voice_file for record in known.all(WrittenVoice) if clip_of[record.turn_id] in kept}
    for path in (output / "media").glob("*/*"):
        if path.relative_to(output).as_posix() not in named:
            path.unlink()
