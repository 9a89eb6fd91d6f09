"""One source through all stages: what is in the ledger is read, what is missing is measured and written there."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from iap_pipelines.curation.gates import Thresholds, clip_row, judge_clip, judge_source, measurements_of
from iap_pipelines.curation.ledger import Entry, Ledger, as_stored
from iap_pipelines.curation.records import Clip, Record, Source
from iap_pipelines.curation.results import Reject
from iap_pipelines.curation.stage import Known, SourceFile, Step
from iap_pipelines.media import MediaError


@dataclass(frozen=True)
class Plan:
    """What is done to every source.

    Args:
        steps: stages, set up, in order.
        thresholds: of the gates.
        early_exit: clips that do not pass a gate are not measured further. Saves time where most material is
            rejected; a threshold that is loosened later then calls models for clips that it lets through.
    """

    steps: tuple[Step, ...]
    thresholds: Thresholds
    early_exit: bool = False


@dataclass
class Walked:
    """A source after all stages."""

    known: Known
    rejects: dict[str, Reject] = field(default_factory=dict)
    """by id of the source or clip"""
    seconds: dict[str, float] = field(default_factory=dict)
    """time that each stage took, as the ledger has it"""

    @property
    def kept(self) -> tuple[Clip, ...]:
        clips = self.known.all(Clip) if self.known.has(Clip) else ()
        return tuple(clip for clip in clips if clip.clip_id not in self.rejects)


class IncompleteError(LookupError):
    """The ledger lacks a unit. ``step`` and ``unit_id`` say which."""

    def __init__(self, step: Step, unit_id: str) -> None:
        super().__init__(f"Stage {step.stage.name!r} has not seen {unit_id!r}.")
        self.step, self.unit_id = step, unit_id


Measure = Callable[[Step, SourceFile, Sequence[Record], Known, dict[str, Entry]], dict[str, Entry]]


def walk(
    plan: Plan, ledger: Ledger, file: Path, source: SourceFile, measure: Measure, *, trust_files: bool = False
) -> Walked:
    """Take one source through the stages.

    Args:
        plan: stages and gates.
        ledger: where measurements are.
        file: absolute path of the source.
        source: its entry of the input folder.
        measure: called with a step and the units that the ledger lacks.
        trust_files: do not look whether files that the ledger names are still there.

    Returns:
        Everything known, and a `Reject` for each unit that is not kept.
    """
    walked = Walked(Known(file, source))
    for step in plan.steps:
        units = _units(plan, step, walked)
        entries = ledger.read(step, source.source_id)
        missing = [unit for unit in units if not _is_there(step, entries.get(unit.id), trust_files)]
        if missing:
            entries = measure(step, source, missing, walked.known.limited_to((*step.stage.reads, Clip)), entries)
        _take_note(step, [entries[unit.id] for unit in units], walked)
        if step.stage.unit is SourceFile and not _source_goes_on(walked):
            return walked
        _judge(plan, walked)
    return walked


def _units(plan: Plan, step: Step, walked: Walked) -> tuple[Record, ...]:
    if step.stage.unit is SourceFile:
        return (walked.known.source,)
    judged = plan.early_exit or step.stage.only_kept
    return tuple(
        clip
        for clip in walked.known.all(Clip)
        if (reject := walked.rejects.get(clip.clip_id)) is None or (not judged and reject.kind == "rejected")
    )


def _is_there(step: Step, entry: Entry | None, trust_files: bool) -> bool:
    if entry is None:
        return False
    return trust_files or entry.error is not None or step.stage.still_holds(entry.records)


def _take_note(step: Step, entries: Sequence[Entry], walked: Walked) -> None:
    for entry in entries:
        if entry.error is not None:
            walked.rejects[entry.unit_id] = Reject(
                record_id=entry.unit_id,
                level="source" if step.stage.unit is SourceFile else "clip",
                stage=step.stage.name,
                kind="failed",
                reason=entry.error,
                detail=entry.detail,
            )
    sound = [entry for entry in entries if entry.error is None]
    walked.known.add(step.stage.adds, [record for entry in sound for record in entry.records])
    walked.seconds[step.stage.name] = sum(entry.seconds for entry in entries)


def _source_goes_on(walked: Walked) -> bool:
    source_id = walked.known.source.source_id
    if source_id in walked.rejects:
        return False
    verdict = judge_source(walked.known.one(Source))
    if verdict is not None:
        walked.rejects[source_id] = Reject(
            record_id=source_id,
            level="source",
            stage="gate",
            kind="rejected",
            reason=verdict.reason,
            verdicts=(verdict,),
        )
    return verdict is None


def _judge(plan: Plan, walked: Walked) -> None:
    """Judge every clip by all that is known of it by now."""
    for clip in walked.known.all(Clip) if walked.known.has(Clip) else ():
        reject = walked.rejects.get(clip.clip_id)
        if reject is not None and reject.kind == "failed":
            continue
        measured = measurements_of(walked.known, clip)
        verdicts = judge_clip(clip_row(walked.known, clip, measured), plan.thresholds)
        if verdicts:
            caption = next(iter(record.caption_problem for record in measured.values() if _has_problem(record)), None)
            walked.rejects[clip.clip_id] = Reject(
                record_id=clip.clip_id,
                level="clip",
                stage="gate",
                kind="rejected",
                reason=verdicts[0].reason,
                value=verdicts[0].value,
                threshold=verdicts[0].threshold,
                detail=caption,
                verdicts=verdicts,
            )


def _has_problem(record: Record) -> bool:
    return getattr(record, "caption_problem", None) is not None


def read_only(step: Step, source: SourceFile, units: Sequence[Record], known: Known, entries: dict) -> dict:
    """A `Measure` for readers: the ledger has to be complete.

    Raises:
        IncompleteError: when it is not.
    """
    raise IncompleteError(step, units[0].id)


class Worker:
    """Measures sources one after the other; models are loaded once. The same object under every engine.

    Args:
        plan: with stages that are set up.
        ledger: where measurements go.
        input_folder: where sources lie.
    """

    def __init__(self, plan: Plan, ledger: Ledger, input_folder: Path) -> None:
        self.plan, self.ledger, self.input_folder = plan, ledger, input_folder

    def __call__(self, source: SourceFile, *, careful: bool = False) -> None:
        """Measure one source.

        Args:
            source: which.
            careful: commit after every unit, so that the first unit that is missing is the one that killed the worker.
        """

        def measure(
            step: Step, source: SourceFile, units: Sequence[Record], known: Known, entries: dict[str, Entry]
        ) -> dict[str, Entry]:
            entries = dict(entries)
            for unit in units:
                entries[unit.id] = _measure_unit(step, unit, known)
                if careful:
                    self.ledger.write(step, source.source_id, list(entries.values()))
            if not careful:
                self.ledger.write(step, source.source_id, list(entries.values()))
            return entries

        walk(self.plan, self.ledger, self.input_folder / source.path, source, measure)


def _measure_unit(step: Step, unit: Record, known: Known) -> Entry:
    started = time.perf_counter()
    try:
        records = tuple(step.stage.process(unit, known))
        entry = as_stored(step.stage, Entry(unit.id, records))
    except Exception as error:  # any failure of one unit is written down and touches no other
        reason = " ".join(str(error).split())[:500]
        name = "unreadable" if isinstance(error, MediaError) else type(error).__name__
        entry = Entry(unit.id, error=name, detail=reason)
    return Entry(entry.unit_id, entry.records, entry.error, entry.detail, time.perf_counter() - started)


def next_missing(plan: Plan, ledger: Ledger, input_folder: Path, source: SourceFile) -> IncompleteError | None:
    """The first unit of a source that the ledger lacks, ``None`` when it is complete."""
    try:
        walk(plan, ledger, input_folder / source.path, source, read_only)
    except IncompleteError as missing:
        return missing
    return None


def quarantine(ledger: Ledger, source: SourceFile, missing: IncompleteError, reason: str, detail: str) -> None:
    """Write a unit down as failed, so that it is not tried again."""
    entries = ledger.read(missing.step, source.source_id)
    entries[missing.unit_id] = Entry(missing.unit_id, error=reason, detail=detail)
    ledger.write(missing.step, source.source_id, list(entries.values()))
