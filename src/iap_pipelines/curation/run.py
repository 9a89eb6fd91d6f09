"""`iap curate`: find, measure, link, pair, write, report."""

import functools
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import yaml

from iap_pipelines.curation.collect import Collected, collect
from iap_pipelines.curation.config import CurationConfig
from iap_pipelines.curation.discovery import Input, find_sources
from iap_pipelines.curation.engines import Engine, InlineEngine, LocalEngine, MakeWorker
from iap_pipelines.curation.ledger import Ledger
from iap_pipelines.curation.measure import measure_all
from iap_pipelines.curation.report.report import write_report
from iap_pipelines.curation.stage import chain
from iap_pipelines.curation.stages.write import Write
from iap_pipelines.curation.tables import prune_media, write_tables
from iap_pipelines.curation.walk import Plan, Worker


EngineName = Literal["local", "inline", "ray"]
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class CurationResult:
    """What a run left behind.

    Args:
        folder: the output folder.
        report: its page.
        num_files: videos in the input folder.
        num_kept: sources with at least one kept clip.
        num_rejected: sources without, by decision.
        num_failed: sources that could not be read or processed.
        num_clips: kept clips.
        num_identities: people in them.
    """

    folder: Path
    report: Path
    num_files: int
    num_kept: int
    num_rejected: int
    num_failed: int
    num_clips: int
    num_identities: int

    def render(self) -> str:
        return (
            f"{self.num_files} videos: {self.num_kept} kept, {self.num_rejected} rejected, {self.num_failed} failed. "
            f"{self.num_clips} clips of {self.num_identities} people.\n{self.report}"
        )


def curate(
    input_folder: str | os.PathLike[str],
    output_folder: str | os.PathLike[str],
    config: CurationConfig | None = None,
    *,
    workers: int = 1,
    engine: EngineName = "local",
    retry_failed: bool = False,
    report: Report | None = None,
) -> CurationResult:
    """Turn a folder of raw videos into clips of known people.

    Can be stopped at any moment, by SIGKILL too, and started again: what is in the ledger is not measured again, and
    the tables at the end are the same to the byte.

    Args:
        input_folder: videos, in folders of any depth; other files are left alone.
        output_folder: created when it is missing; one folder serves one input.
        config: settings; the packaged ones if not given.
        workers: processes, or actors.
        engine: `local` (processes), `ray` (actors), or `inline` (this very process, for debugging: a native crash ends
            the run).
        retry_failed: try again what failed in an earlier run.
        report: called with a name, a number that is done and a total.

    Raises:
        ValueError, OSError: when the input, the settings or the output cannot work.
        ImportError: when a package is missing; it names the extra.
    """
    if workers < 1:
        raise ValueError(f"`workers` must be 1 or more, but got {workers}.")
    if engine not in get_args(EngineName):
        raise ValueError(f"`engine` must be one of {get_args(EngineName)}, but got {engine!r}.")
    if engine == "inline" and workers != 1:
        raise ValueError(f"`workers` must be 1 with `engine='inline'`, which is this very process, but got {workers}.")
    folder, output = Path(input_folder).absolute(), Path(output_folder).absolute()
    config = config or CurationConfig()
    found = find_sources(folder, leave_out=output, report=report)
    output.mkdir(parents=True, exist_ok=True)
    plan, ledger = make_plan(config, output), Ledger(output / "ledger")
    ledger.remove_partial_files()
    if retry_failed:
        for step in plan.steps:
            for source in found.sources:
                ledger.forget_failures(step, source.source_id)
    make_worker = functools.partial(_make_worker, config.model_dump_json(), str(folder), str(output))
    measure_all(_make_engine(engine, make_worker, workers, config), plan, ledger, folder, found.sources, report)
    return finish(found, config, plan, ledger, folder, output)


def finish(
    found: Input, config: CurationConfig, plan: Plan, ledger: Ledger, folder: Path, output: Path
) -> CurationResult:
    """Everything after the models: gates, people, references, tables, report. Takes seconds."""
    collected = collect(found, config, plan, ledger, folder)
    write_tables(collected, output / "tables")
    prune_media(collected, output)
    _write_text(output / "curation.yaml", config)
    page = write_report(collected, found, config, output)
    return _result(collected, found, output, page)


def make_plan(config: CurationConfig, output: Path) -> Plan:
    """Set every stage up, so that what is missing fails before the first video."""
    stages = config.stages.in_order()
    for stage in stages:
        if isinstance(stage, Write):
            stage.folder = str(output)
        stage.setup()
    return Plan(chain(stages), config.gates, config.run.early_exit)


def _make_worker(config_json: str, folder: str, output: str) -> Worker:
    config = CurationConfig.model_validate_json(config_json)
    return Worker(make_plan(config, Path(output)), Ledger(Path(output) / "ledger"), Path(folder))


def _make_engine(name: EngineName, make_worker: MakeWorker, workers: int, config: CurationConfig) -> Engine:
    if name == "ray":
        from iap_pipelines.curation.ray_engine import RayEngine

        return RayEngine(make_worker, workers, config.run.timeout_seconds)
    if name == "inline":
        return InlineEngine(make_worker)
    return LocalEngine(make_worker, workers, config.run.timeout_seconds)


def _write_text(path: Path, config: CurationConfig) -> None:
    settings = config.model_dump(mode="json")
    settings["stages"]["write"].pop("folder")
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def _result(collected: Collected, found: Input, output: Path, page: Path) -> CurationResult:
    statuses = Counter(outcome.status for outcome in collected.outcomes.values())
    statuses.update(reject.kind for reject in found.rejects)
    return CurationResult(
        folder=output,
        report=page,
        num_files=found.num_files,
        num_kept=statuses["kept"],
        num_rejected=statuses["rejected"],
        num_failed=statuses["failed"],
        num_clips=sum(outcome.num_kept_clips for outcome in collected.outcomes.values()),
        num_identities=len(collected.identities),
    )
