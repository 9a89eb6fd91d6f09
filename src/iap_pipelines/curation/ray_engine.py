"""Workers as actors of Ray core, on one machine or many that share a file system. Needs the extra ``[ray]``.

Ray's own retries are not used: Ray Data retries a task that kills its worker for ever, and drops whole blocks where it
is told to skip errors. An actor that dies is one death of its source, counted by the runner as everywhere.
"""

import time
from dataclasses import dataclass
from typing import Any, Self

from iap_pipelines.curation.engines import MakeWorker, Outcome, Task, WorkerSetupError


_START_SECONDS = 300.0
"""Longest time in which an actor's process starts and loads its models. Not part of the time of a source: with it, a
source that hangs would be waited for minutes longer in every new actor."""


@dataclass(frozen=True)
class _Busy:
    actor: Any
    task: Task
    deadline: float
    is_loading: bool


class RayEngine:
    """Ray actors with one task each at a time.

    Args:
        make_worker: makes the callable that measures a source; the package has to be installed where actors run.
        num_workers: actors.
        timeout_seconds: longest time for one source; who takes longer is killed.
        num_gpus: of each actor; may be a fraction.
    """

    def __init__(self, make_worker: MakeWorker, num_workers: int, timeout_seconds: float, num_gpus: float = 0) -> None:
        try:
            import ray
        except ImportError as error:
            raise ImportError("Ray is not installed: pip install 'iap-pipelines[ray]'.") from error
        self._ray = ray
        self._make_worker = make_worker
        self._num_workers = num_workers
        self._timeout_seconds = timeout_seconds
        self._num_gpus = num_gpus
        self._started_ray = False
        self._idle: list[Any] = []
        self._busy: dict[Any, _Busy] = {}

    def __enter__(self) -> Self:
        if not self._ray.is_initialized():
            self._ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
            self._started_ray = True
        environment = {"env_vars": {"OMP_NUM_THREADS": "1"}}
        self._actor = self._ray.remote(_Actor).options(
            num_cpus=1, num_gpus=self._num_gpus, max_restarts=0, max_task_retries=0, runtime_env=environment
        )
        return self

    def __exit__(self, *error: object) -> None:
        for actor in [*self._idle, *(busy.actor for busy in self._busy.values())]:
            self._ray.kill(actor)
        self._idle.clear()
        self._busy.clear()
        if self._started_ray:
            self._ray.shutdown()

    @property
    def has_room(self) -> bool:
        return len(self._busy) < self._num_workers

    @property
    def is_busy(self) -> bool:
        return bool(self._busy)

    def give(self, task: Task) -> None:
        if self._idle:
            self._measure(self._idle.pop(), task)
        else:
            actor = self._actor.remote(self._make_worker)
            self._busy[actor.load.remote()] = _Busy(actor, task, time.monotonic() + _START_SECONDS, is_loading=True)

    def _measure(self, actor: Any, task: Task) -> None:
        promise = actor.measure.remote(task)
        self._busy[promise] = _Busy(actor, task, time.monotonic() + self._timeout_seconds, is_loading=False)

    def wait(self) -> Outcome:
        while True:
            left = min(busy.deadline for busy in self._busy.values()) - time.monotonic()
            done, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=max(left, 0))
            if done:
                outcome = self._finish(done[0])
                if outcome is not None:
                    return outcome
                continue
            for promise, busy in list(self._busy.items()):
                if time.monotonic() >= busy.deadline:
                    del self._busy[promise]
                    self._ray.kill(busy.actor)
                    allowed = _START_SECONDS if busy.is_loading else self._timeout_seconds
                    return Outcome(busy.task, "timed_out", f"it took longer than {allowed:g} s")

    def _finish(self, promise: Any) -> Outcome | None:
        """What came of a promise; ``None`` when an actor has loaded its models and begins with its task."""
        busy = self._busy.pop(promise)
        try:
            error = self._ray.get(promise)
        except self._ray.exceptions.RayActorError:
            return Outcome(busy.task, "worker_died", "its Ray actor died")
        if error is not None:
            raise WorkerSetupError(error)
        if busy.is_loading:
            self._measure(busy.actor, busy.task)
            return None
        self._idle.append(busy.actor)
        return Outcome(busy.task)


class _Actor:
    """Its errors come back as values, so that those of loading are told from deaths."""

    def __init__(self, make_worker: MakeWorker) -> None:
        self._make_worker = make_worker

    def load(self) -> str | None:
        try:
            self._worker = self._make_worker()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None

    def measure(self, task: Task) -> str | None:
        try:
            self._worker(task.source, careful=task.careful)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None
