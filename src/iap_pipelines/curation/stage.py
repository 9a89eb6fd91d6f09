"""The contract of a stage, and what a stage may ask about its source."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import ConfigDict, TypeAdapter

from iap_pipelines.curation.records import Clip, Record, column


RecordType = TypeVar("RecordType", bound=Record)


@dataclass(frozen=True, kw_only=True)
class SourceFile(Record):
    """A file of the input folder: the unit of stages that look at a whole source."""

    table: ClassVar[str] = "source_files"

    source_id: str = column("first 16 digits of the SHA-256 of the file")
    path: str = column("file, relative to the input folder")
    num_bytes: int = column("size of the file", "bytes")


class Known:
    """What is known about one source so far.

    Args:
        file: absolute path of the source.
        source: its entry of the input folder.
        records: by type. Only these types can be asked for.
    """

    def __init__(
        self, file: Path, source: SourceFile, records: Mapping[type[Record], Sequence[Record]] | None = None
    ) -> None:
        self.file = file
        self.source = source
        self._records: dict[type[Record], tuple[Record, ...]] = {
            kind: tuple(found) for kind, found in (records or {}).items()
        }

    def all(self, kind: type[RecordType], **values: Any) -> tuple[RecordType, ...]:
        """The records of a type, of those that have these values in these fields.

        Raises:
            KeyError: when the stage that asks does not declare this type in ``reads``.
        """
        if kind not in self._records:
            raise KeyError(f"{kind.__name__} is not known here: a stage has to name it in `reads`.")
        return tuple(
            record
            for record in self._records[kind]
            if all(getattr(record, name) == value for name, value in values.items())
        )

    def has(self, kind: type[Record]) -> bool:
        """Whether this type can be asked for."""
        return kind in self._records

    def one(self, kind: type[RecordType], **values: Any) -> RecordType:
        """The only record of a type with these values.

        Raises:
            LookupError: when there is none or more than one.
        """
        found = self.all(kind, **values)
        if len(found) != 1:
            raise LookupError(f"Expected one {kind.__name__} with {values}, but there are {len(found)}.")
        return found[0]

    def limited_to(self, kinds: Iterable[type[Record]]) -> "Known":
        """The same source, with these types only."""
        return Known(self.file, self.source, {kind: self._records.get(kind, ()) for kind in kinds})

    def forget(self, kind: type[Record]) -> None:
        """Let go of records that nobody asks for any more."""
        self._records.pop(kind, None)

    def add(self, kinds: Iterable[type[Record]], records: Iterable[Record]) -> None:
        """Take note of records; the kinds become known even if none came."""
        for kind in kinds:
            self._records.setdefault(kind, ())
        for record in records:
            self._records[type(record)] += (record,)


@dataclass(kw_only=True)
class Stage(ABC):
    """Measures something about each unit of a source. Fields of a subclass are its settings, checked strictly.

    A stage stores every measurement and decides nothing; gates do (`gates.py`). It runs alone: `process` needs a unit
    and the record types in ``reads``.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: ClassVar[str]
    """As in the configuration and the ledger."""
    version: ClassVar[int] = 1
    """Raised when equal settings would give other records."""
    unit: ClassVar[type[Record]] = Clip
    """`process` is called once for each record of this type: `SourceFile` or `Clip`."""
    reads: ClassVar[tuple[type[Record], ...]] = ()
    """Records that it asks for. Those of its unit need not be named."""
    adds: ClassVar[tuple[type[Record], ...]]
    """Records that it makes."""
    only_kept: ClassVar[bool] = False
    """Runs only on units that passed every gate on what was measured before."""

    def setup(self) -> None:  # noqa: B027  (most stages need nothing)
        """Load what is needed, once per worker. Fails before the first video, with a message that says the way out."""

    @property
    def models(self) -> dict[str, str]:
        """Role to name and revision of each model, known after `setup`; a part of the ledger's key."""
        return {}

    @abstractmethod
    def process(self, unit: Record, known: Known) -> Iterable[Record]:
        """Measure one unit. An exception makes this unit fail and no other."""

    def still_holds(self, records: Sequence[Record]) -> bool:
        """Whether what `process` made is still there; files may have been deleted."""
        return True

    def settings(self) -> dict[str, Any]:
        """The settings by name, as JSON would have them."""
        return TypeAdapter(type(self)).dump_python(self, mode="json")


@dataclass(frozen=True)
class Step:
    """A stage in its place of a run.

    Args:
        stage: set up.
        key: of its folder in the ledger: name, version, settings, models, and the keys of what it reads from.
    """

    stage: Stage
    key: str


def chain(stages: Sequence[Stage]) -> tuple[Step, ...]:
    """Give each stage its key. A changed setting changes the keys of every stage that reads what it makes.

    Raises:
        ValueError: when a stage reads what no earlier stage adds.
    """
    makers: dict[type[Record], str] = {SourceFile: ""}
    steps = []
    for stage in stages:
        missing = [kind.__name__ for kind in stage.reads if kind not in makers]
        if missing:
            raise ValueError(f"Stage {stage.name!r} reads {missing}, which no stage before it adds.")
        upstream = sorted({makers[kind] for kind in stage.reads})
        described = [stage.name, stage.version, stage.settings(), stage.models, upstream]
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        key = f"{stage.name}-{digest[:12]}"
        makers |= dict.fromkeys(stage.adds, key)
        steps.append(Step(stage, key))
    return tuple(steps)
