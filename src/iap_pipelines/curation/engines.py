"""Workers in processes of their own. A worker that dies or hangs takes down one task, and the engine says which."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Protocol, Self

from iap_pipelines.curation.stage import SourceFile


_MAX_FAILED_STARTS = 3
"""Workers in a row that may end while they load their models, before the run is stopped."""


@dataclass(frozen=True)
class Task:
    """One source to be measured.

    Args:
        source: which.
        careful: commit after every unit.
    """

    source: SourceFile
    careful: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Args:
        task: which.
        death: ``None`` when it was done; else ``worker_died`` or ``timed_out``.
        detail: of the death.
    """

    task: Task
    death: str | None = None
    detail: str = ""


class WorkerSetupError(ChildProcessError):
    """A worker could not begin, or could not write its results; the whole run stops with the reason."""


MakeWorker = Callable[[], Callable[..., None]]
"""Called in the worker's process; pickled by name."""


class Engine(Protocol):
    """Where workers run. Used as a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    @property
    def has_room(self) -> bool:
        """Whether a task can be given now."""
        ...

    @property
    def is_busy(self) -> bool:
        """Whether a task is under way."""
        ...

    def give(self, task: Task) -> None:
        """Start a task on an idle worker."""
        ...

    def wait(self) -> Outcome:
        """Wait until a task ends."""
        ...


@dataclass(eq=False)
class _Process:
    process: multiprocessing.process.BaseProcess
    connection: Connection
    task: Task | None = None
    deadline: float = 0.0
    is_ready: bool = False


class LocalEngine:
    """Processes of this machine.

    Args:
        make_worker: makes the callable that measures a source.
        num_workers: processes.
        timeout_seconds: longest time for one source; who takes longer is killed.
    """

    def __init__(self, make_worker: MakeWorker, num_workers: int, timeout_seconds: float) -> None:
        self._make_worker = make_worker
        self._num_workers = num_workers
        self._timeout_seconds = timeout_seconds
        # Forked from a clean server: forking this process would copy the locks of loaded models in whatever state
        # they are, and a spawned one would import torch again, which takes seconds for every worker that has died.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["iap_pipelines.curation.walk"])
        self._workers: list[_Process] = []
        self._failed_starts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            self._stop(worker)
        self._workers.clear()

    @property
    def has_room(self) -> bool:
        return sum(worker.task is not None for worker in self._workers) < self._num_workers

    @property
    def is_busy(self) -> bool:
        return any(worker.task is not None for worker in self._workers)

    def give(self, task: Task) -> None:
        worker = next((worker for worker in self._workers if worker.task is None), None)
        if worker is None:
            worker = self._start()
        worker.task = task
        worker.deadline = time.monotonic() + self._timeout_seconds
        try:
            worker.connection.send(task)
        except OSError:
            pass  # it has just died, which `wait` will see

    def wait(self) -> Outcome:
        while True:
            busy = [worker for worker in self._workers if worker.task is not None]
            if not busy:
                raise RuntimeError("no task is under way")
            left = min(worker.deadline for worker in busy) - time.monotonic()
            watched = {item: worker for worker in busy for item in (worker.connection, worker.process.sentinel)}
            ready = wait(list(watched), timeout=max(left, 0))
            for worker in dict.fromkeys(watched[item] for item in ready):  # both items of one that has died are ready
                outcome = self._hear(worker)
                if outcome is not None:
                    return outcome
            for worker in busy:
                if time.monotonic() >= worker.deadline and worker in self._workers:
                    return self._bury(worker, "timed_out", f"it took longer than {self._timeout_seconds:g} s")

    def _hear(self, worker: _Process) -> Outcome | None:
        try:
            message = worker.connection.recv() if worker.connection.poll() else None
        except (EOFError, OSError):
            message = None
        if message == "ready":
            worker.is_ready, self._failed_starts = True, 0
            worker.deadline = time.monotonic() + self._timeout_seconds
            return None
        if message == "done":
            task, worker.task = worker.task, None
            return Outcome(task)
        if message is not None:
            raise WorkerSetupError(message)
        worker.process.join(1)
        if worker.is_ready:
            return self._bury(worker, "worker_died", f"exit code {worker.process.exitcode}")
        self._failed_starts += 1
        if self._failed_starts >= _MAX_FAILED_STARTS:
            raise WorkerSetupError(
                f"{self._failed_starts} workers ended before they had loaded their models (exit code "
                f"{worker.process.exitcode})"
            )
        task = self._bury(worker, "worker_died", "").task
        self.give(task)
        return None

    def _bury(self, worker: _Process, death: str, detail: str) -> Outcome:
        self._workers.remove(worker)
        self._stop(worker)
        return Outcome(worker.task, death, detail)

    def _start(self) -> _Process:
        mine, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._make_worker), daemon=True)
        with _one_thread_each():
            process.start()
        theirs.close()
        worker = _Process(process, mine)
        self._workers.append(worker)
        return worker

    def _stop(self, worker: _Process) -> None:
        worker.process.kill()
        worker.process.join()
        worker.connection.close()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Threads of several processes on one machine wait for each other by spinning: 25 times slower when measured.

    The number has to be in the environment before the worker imports anything.
    """
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _serve(connection: Connection, make_worker: MakeWorker) -> None:
    """The life of a worker's process."""
    try:
        measure = make_worker()
        connection.send("ready")
        while True:
            task = connection.recv()
            measure(task.source, careful=task.careful)
            connection.send("done")
    except (EOFError, KeyboardInterrupt):
        return
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")


class InlineEngine:
    """This very process: for debugging, and for stages that are known not to crash. Nothing is survived.

    Args:
        make_worker: makes the callable that measures a source.
    """

    def __init__(self, make_worker: MakeWorker) -> None:
        self._measure = make_worker()
        self._task: Task | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    @property
    def has_room(self) -> bool:
        return self._task is None

    @property
    def is_busy(self) -> bool:
        return self._task is not None

    def give(self, task: Task) -> None:
        self._task = task

    def wait(self) -> Outcome:
        task, self._task = self._task, None
        self._measure(task.source, careful=task.careful)
        return Outcome(task)
