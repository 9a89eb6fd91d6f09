"""What was measured, on disk: one Parquet file per stage and source, complete or not there."""

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from iap_pipelines.curation.records import Record
from iap_pipelines.curation.schema import arrow_struct
from iap_pipelines.curation.stage import Stage, Step


logger = logging.getLogger(__name__)

_PARTIAL = ".partial-"


@dataclass(frozen=True)
class Entry:
    """What a stage made of one unit.

    Args:
        unit_id: id of the unit.
        records: what was made.
        error: class of the error when the unit failed, else ``None``.
        detail: the error in one line.
        seconds: how long it took.
    """

    unit_id: str
    records: tuple[Record, ...] = ()
    error: str | None = None
    detail: str | None = None
    seconds: float = 0.0


class Ledger:
    """The folder of all shards. Several processes may write at once, each a different source.

    Args:
        folder: created when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, step: Step, source_id: str) -> dict[str, Entry]:
        """Entries of a source by unit; empty when there is no shard."""
        path = self._path(step, source_id)
        try:
            rows = pq.read_table(path, schema=_shard_schema(step.stage)).to_pylist()
        except FileNotFoundError:
            return {}
        except pa.ArrowInvalid:
            logger.warning("%s is no Parquet file; it is made again.", path)
            return {}
        return {row["unit_id"]: _entry(step.stage, row) for row in rows}

    def write(self, step: Step, source_id: str, entries: Sequence[Entry]) -> None:
        """Put a shard in its place in one step: a reader, or a run after a kill, sees the old one or the new one."""
        path = self._path(step, source_id)
        if not path.parent.is_dir():
            self._make_folder(step)
        rows = [_row(step.stage, entry) for entry in sorted(entries, key=lambda entry: entry.unit_id)]
        partial = path.with_name(f"{_PARTIAL}{source_id}-{uuid4().hex}")
        with open(partial, "wb") as file:
            pq.write_table(pa.Table.from_pylist(rows, schema=_shard_schema(step.stage)), file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)

    def remove_partial_files(self) -> None:
        """Delete what killed runs left; only while nobody writes."""
        for path in self.folder.glob(f"*/{_PARTIAL}*"):
            path.unlink()

    def forget_failures(self, step: Step, source_id: str) -> int:
        """Take failed units out of a shard, so that they are tried again. Returns their number."""
        entries = self.read(step, source_id)
        sound = [entry for entry in entries.values() if entry.error is None]
        if len(sound) < len(entries):
            self.write(step, source_id, sound)
        return len(entries) - len(sound)

    def _path(self, step: Step, source_id: str) -> Path:
        return self.folder / step.key / f"{source_id}.parquet"

    def _make_folder(self, step: Step) -> None:
        folder = self.folder / step.key
        folder.mkdir(exist_ok=True)
        about = {
            "stage": step.stage.name,
            "version": step.stage.version,
            "settings": step.stage.settings(),
            "models": step.stage.models,
        }
        partial = folder / f"{_PARTIAL}{uuid4().hex}"
        partial.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        os.replace(partial, folder / "stage.json")


def _shard_schema(stage: Stage) -> pa.Schema:
    made = [(kind.table, pa.list_(arrow_struct(kind))) for kind in stage.adds]
    about = [
        ("unit_id", pa.string()),
        ("error", pa.string()),
        ("detail", pa.string()),
        ("seconds", pa.float32()),
    ]
    return pa.schema([*about, *made])


def _row(stage: Stage, entry: Entry) -> dict:
    made = {kind.table: [record.as_row() for record in entry.records if type(record) is kind] for kind in stage.adds}
    return {
        "unit_id": entry.unit_id,
        "error": entry.error,
        "detail": entry.detail,
        "seconds": entry.seconds,
        **made,
    }


def _entry(stage: Stage, row: dict) -> Entry:
    records = tuple(kind.from_row(found) for kind in stage.adds for found in row[kind.table])
    return Entry(row["unit_id"], records, row["error"], row["detail"], row["seconds"])


def as_stored(stage: Stage, entry: Entry) -> Entry:
    """The entry as it is read back: single precision, so that a continued run computes with the same numbers."""
    table = pa.Table.from_pylist([_row(stage, entry)], schema=_shard_schema(stage))
    return replace(_entry(stage, table.to_pylist()[0]), seconds=entry.seconds)
