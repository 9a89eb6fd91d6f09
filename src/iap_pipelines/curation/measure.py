"""All sources through the stages: gives out tasks, survives workers, and puts what kills them aside."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from iap_pipelines.curation.engines import Engine, Outcome, Task
from iap_pipelines.curation.ledger import Ledger
from iap_pipelines.curation.stage import SourceFile
from iap_pipelines.curation.walk import Plan, next_missing, quarantine


logger = logging.getLogger(__name__)


def measure_all(
    engine: Engine,
    plan: Plan,
    ledger: Ledger,
    input_folder: Path,
    sources: Sequence[SourceFile],
    report: Callable[[str, int, int], None] | None = None,
) -> None:
    """Fill the ledger with what it lacks.

    A source whose worker dies or hangs is tried a second time, and then committed unit by unit: the unit that kills a
    worker again is written down as failed, and the rest goes on. So every source ends after a bounded number of tries.

    Args:
        engine: where workers run; not entered yet.
        plan: stages and gates.
        ledger: where measurements go.
        input_folder: where sources lie.
        sources: what is to be complete.
        report: called with ``"curate"``, the number of sources that are complete, and their total.
    """
    waiting = deque(Task(source) for source in sources if next_missing(plan, ledger, input_folder, source) is not None)
    num_done = len(sources) - len(waiting)
    with engine:
        while waiting or engine.is_busy:
            if report is not None:
                report("curate", num_done, len(sources))
            while waiting and engine.has_room:
                engine.give(waiting.popleft())
            outcome = engine.wait()
            if outcome.death is None or not _is_unfinished(outcome, plan, ledger, input_folder):
                num_done += 1
            else:
                waiting.append(Task(outcome.task.source, careful=True))
    if report is not None:
        report("curate", num_done, len(sources))


def _is_unfinished(outcome: Outcome, plan: Plan, ledger: Ledger, input_folder: Path) -> bool:
    """After a death: put the unit that was being measured aside if it is known; whether anything is left to do."""
    source = outcome.task.source
    missing = next_missing(plan, ledger, input_folder, source)
    if missing is None:
        return False
    logger.warning("%s: %s (%s) in stage %r.", source.path, outcome.death, outcome.detail, missing.step.stage.name)
    if outcome.task.careful:
        quarantine(ledger, source, missing, outcome.death, outcome.detail)
    return next_missing(plan, ledger, input_folder, source) is not None
