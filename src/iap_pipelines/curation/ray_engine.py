"""Workers as actors of Ray core, on one machine or many that share a file system. Needs the extra ``[ray]``.

Ray's own retries are not used: Ray Data retries a task that kills its worker for ever, and drops whole blocks where it
is told to skip errors. An actor that dies is one death of its source, counted by the runner as everywhere.
"""

import time
from typing import Any, Self

from iap_pipelines.curation.engines import MakeWorker, Outcome, Task, WorkerSetupError


_START_SECONDS = 300.0
"""Added for an actor's first task: its process starts and loads its models before."""


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
        self._busy: dict[Any, tuple[Any, Task, float]] = {}

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
        for actor in [*self._idle, *(actor for actor, _, _ in self._busy.values())]:
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
        allowed = self._timeout_seconds
        if self._idle:
            actor = self._idle.pop()
        else:
            actor, allowed = self._actor.remote(self._make_worker), allowed + _START_SECONDS
        promise = actor.measure.remote(task)
        self._busy[promise] = (actor, task, time.monotonic() + allowed)

    def wait(self) -> Outcome:
        while True:
            left = min(deadline for _, _, deadline in self._busy.values()) - time.monotonic()
            done, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=max(left, 0))
            if done:
                return self._finish(done[0])
            for promise, (actor, task, deadline) in list(self._busy.items()):
                if time.monotonic() >= deadline:
                    del self._busy[promise]
                    self._ray.kill(actor)
                    return Outcome(task, "timed_out", f"it took longer than {self._timeout_seconds:g} s")

    def _finish(self, promise: Any) -> Outcome:
        actor, task, _ = self._busy.pop(promise)
        try:
            error = self._ray.get(promise)
        except self._ray.exceptions.RayActorError:
            return Outcome(task, "worker_died", "its Ray actor died")
        if error is not None:
            raise WorkerSetupError(error)
        self._idle.append(actor)
        return Outcome(task)


class _Actor:
    """Loads its models with the first task, so that their errors come back as values."""

    def __init__(self, make_worker: MakeWorker) -> None:
        self._make_worker = make_worker
        self._measure = None

    def measure(self, task: Task) -> str | None:
        try:
            if self._measure is None:
                self._measure = self._make_worker()
            self._measure(task.source, careful=task.careful)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None
