"""Runs over toy sources: crashes, hangs and errors fail alone, whatever the engine, and nothing is lost."""

import functools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from iap_pipelines.curation.discovery import find_sources
from iap_pipelines.curation.engines import InlineEngine, LocalEngine, WorkerSetupError
from iap_pipelines.curation.ledger import Ledger
from iap_pipelines.curation.measure import measure_all
from iap_pipelines.curation.records import Clip
from iap_pipelines.curation.stage import SourceFile
from iap_pipelines.curation.walk import read_only, walk
from tests.curation.toys import toy_plan, toy_worker, write_sources


HEALTHY = {"a": "100 10 120", "b": "200", "c": "50 raise 60", "empty": "", "blind": "no_video"}
POISON = {**HEALTHY, "crash": "70 abort 80", "stuck": "90 hang"}


def _run(folder, make_engine, plan=None, diary=None, seconds=0.0):
    make_worker = functools.partial(toy_worker, folder / "in", folder / "out", diary, seconds)
    plan = plan or toy_plan(diary, seconds)
    ledger = Ledger(folder / "out")
    sources = find_sources(folder / "in").sources
    measure_all(make_engine(make_worker), plan, ledger, folder / "in", sources)
    return _outcome(folder, plan, sources)


def _outcome(folder, plan, sources):
    """Path and start of each clip (or the source alone) to the reason it is rejected for, `None` when it is kept."""
    found = {}
    for source in sources:
        walked = walk(plan, Ledger(folder / "out"), folder / "in" / source.path, source, read_only)
        if source.source_id in walked.rejects:
            found[source.path] = walked.rejects[source.source_id].reason
        for clip in walked.known.all(Clip) if walked.known.has(Clip) else ():
            reject = walked.rejects.get(clip.clip_id)
            found[source.path, clip.start_seconds] = reject and reject.reason
    return found


def _shards(folder):
    """Every shard without the time it took."""
    import pyarrow.parquet as pq

    return {
        path.relative_to(folder).as_posix(): pq.read_table(path).drop_columns("seconds").to_pylist()
        for path in sorted(folder.rglob("*.parquet"))
    }


EXPECTED = {
    ("a.mp4", 0.0): None,
    ("a.mp4", 1.0): "dark",
    ("a.mp4", 2.0): None,
    ("b.mp4", 0.0): None,
    ("c.mp4", 0.0): None,
    ("c.mp4", 1.0): "RuntimeError",
    ("c.mp4", 2.0): None,
    "empty.mp4": "ValueError",
    "blind.mp4": "no_video",
}


def _local(num_workers=2, timeout_seconds=60.0):
    return lambda make_worker: LocalEngine(make_worker, num_workers, timeout_seconds)


@pytest.fixture(scope="module")
def inline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inline")
    write_sources(folder / "in", **HEALTHY)
    assert _run(folder, InlineEngine) == EXPECTED
    return folder


def test_processes_give_the_same_ledger(inline, tmp_path):
    write_sources(tmp_path / "in", **HEALTHY)
    assert _run(tmp_path, _local()) == EXPECTED
    assert _shards(tmp_path / "out") == _shards(inline / "out")


def test_what_crashes_or_hangs_is_put_aside_and_nothing_else(tmp_path):
    write_sources(tmp_path / "in", **POISON)
    outcome = _run(tmp_path, _local(timeout_seconds=20.0))
    assert outcome == EXPECTED | {
        ("crash.mp4", 0.0): None,
        ("crash.mp4", 1.0): "worker_died",
        ("crash.mp4", 2.0): None,
        ("stuck.mp4", 0.0): None,
        ("stuck.mp4", 1.0): "timed_out",
    }


def test_a_worker_that_dies_once_is_survived(tmp_path):
    write_sources(tmp_path / "in", unlucky="100 die_once 120", other="100")
    assert set(_run(tmp_path, _local()).values()) == {None}


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    """SIGKILL again and again; what a shard holds is never measured twice, and the end is the same."""
    texts = {f"s{number}": f"{100 + number} 110 120" for number in range(8)}
    for name in ("whole", "killed"):
        write_sources(tmp_path / name / "in", **texts)
    _run(tmp_path / "whole", InlineEngine)

    diary = tmp_path / "diary"
    script = (
        "import functools, sys; from pathlib import Path\n"
        "from iap_pipelines.curation.engines import InlineEngine\n"
        "from tests.curation.test_measure import _run\n"
        "_run(Path(sys.argv[1]), InlineEngine, diary=Path(sys.argv[2]), seconds=0.05)\n"
    )
    (tmp_path / "run.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)) + os.pathsep + os.getcwd()}
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "killed"), str(diary)]
    num_kills = 0
    while True:
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        finished_before = _num_lines(diary)
        while process.poll() is None and _num_lines(diary) < finished_before + 10:
            time.sleep(0.02)
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        num_kills += 1
    assert process.returncode == 0
    assert num_kills >= 2
    plan = toy_plan(diary, 0.05)
    sources = find_sources(tmp_path / "killed" / "in").sources
    assert _outcome(tmp_path / "killed", plan, sources) == _outcome(
        tmp_path / "whole", toy_plan(), find_sources(tmp_path / "whole" / "in").sources
    )
    # Each kill can cost the source under way, which has three clips, and no other.
    repeated = sum(count - 1 for count in Counter(diary.read_text().split()).values())
    assert repeated <= 3 * num_kills
    for step_folder in (tmp_path / "killed" / "out").iterdir():
        assert {path.suffix for path in step_folder.iterdir() if not path.name.startswith(".")} <= {
            ".parquet",
            ".json",
        }


def _num_lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_a_threshold_is_changed_without_measuring(tmp_path):
    write_sources(tmp_path / "in", **HEALTHY)
    diary = tmp_path / "diary"
    _run(tmp_path, InlineEngine, diary=diary)
    before = diary.read_text()
    looser = _run(tmp_path, InlineEngine, toy_plan(diary, min_luma=5), diary=diary)
    stricter = _run(tmp_path, InlineEngine, toy_plan(diary, min_luma=110), diary=diary)
    assert looser["a.mp4", 1.0] is None
    assert stricter["a.mp4", 0.0] == "dark"
    assert diary.read_text() == before


def test_failures_are_tried_again_when_asked(tmp_path):
    write_sources(tmp_path / "in", a="raise 100")
    diary = tmp_path / "diary"
    for _ in range(2):
        _run(tmp_path, InlineEngine, diary=diary)
    assert _num_lines(diary) == 2, "a failure is not tried again by itself"
    plan, (source,) = toy_plan(diary), find_sources(tmp_path / "in").sources
    assert [Ledger(tmp_path / "out").forget_failures(step, source.source_id) for step in plan.steps] == [0, 0, 1]
    _run(tmp_path, InlineEngine, diary=diary)
    assert _num_lines(diary) == 3


def _no_worker():
    raise ValueError("`weights` are missing: get them")


def test_a_worker_that_cannot_begin_stops_the_run_with_the_reason(tmp_path):
    write_sources(tmp_path / "in", a="100")
    with pytest.raises(WorkerSetupError, match="`weights` are missing: get them"):
        _run(tmp_path, lambda make_worker: LocalEngine(_no_worker, 1, 60.0))


def _dies_at_once():
    os._exit(3)


def test_workers_that_die_while_they_load_stop_the_run(tmp_path):
    write_sources(tmp_path / "in", a="100")
    with pytest.raises(WorkerSetupError, match="3 workers ended before"):
        _run(tmp_path, lambda make_worker: LocalEngine(_dies_at_once, 1, 60.0))


def _environment_worker():
    def measure(source: SourceFile, *, careful: bool = False) -> None:
        raise RuntimeError(f"threads: {os.environ.get('OMP_NUM_THREADS')}")

    return measure


def test_workers_compute_with_one_thread_each(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    write_sources(tmp_path / "in", a="100")
    with pytest.raises(WorkerSetupError, match="threads: 1"):
        _run(tmp_path, lambda make_worker: LocalEngine(_environment_worker, 1, 60.0))
    assert "OMP_NUM_THREADS" not in os.environ


def _same_on_ray(folder, texts, timeout_seconds):
    """Run on both engines; returns what they agree on."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'iap-pipelines[ray]'")
    from iap_pipelines.curation.ray_engine import RayEngine

    for name in ("local", "ray"):
        write_sources(folder / name / "in", **texts)
    on_ray = _run(folder / "ray", lambda make_worker: RayEngine(make_worker, 1, timeout_seconds))
    assert on_ray == _run(folder / "local", _local(1, timeout_seconds))
    shards = [_shards(folder / name / "out") for name in ("local", "ray")]
    for found in shards:  # how a death is worded differs
        for rows in found.values():
            for row in rows:
                row["detail"] = row["detail"] if row["error"] not in ("worker_died", "timed_out") else None
    assert shards[0] == shards[1]
    return on_ray


def test_ray_survives_the_death_of_an_actor_and_gives_the_same(tmp_path):
    outcome = _same_on_ray(tmp_path, {"a": "100 10 120", "crash": "70 abort 80", "c": "50 raise 60"}, 60.0)
    assert outcome["crash.mp4", 0.0] is None and outcome["crash.mp4", 2.0] is None
    assert (outcome["crash.mp4", 1.0], outcome["c.mp4", 1.0]) == ("worker_died", "RuntimeError")


@pytest.mark.slow
def test_ray_ends_what_hangs_in_the_same_time(tmp_path):
    """Also in the first task of an actor, whose start is not counted."""
    outcome = _same_on_ray(tmp_path, POISON, 20.0)
    assert outcome["stuck.mp4", 1.0] == "timed_out" and outcome["crash.mp4", 1.0] == "worker_died"
