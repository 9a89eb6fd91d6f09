"""The benchmarks of curation: truth is read, compared, and a wrong result is seen."""

import os
from dataclasses import replace

import pytest

from benchmarks.curation import watch_memory, write_copies
from benchmarks.curation_media import judge, read_truth, true_identity
from iap_pipelines.curation.collect import collect
from iap_pipelines.curation.config import CurationConfig
from iap_pipelines.curation.discovery import find_sources
from iap_pipelines.curation.engines import InlineEngine
from iap_pipelines.curation.ledger import Ledger
from iap_pipelines.curation.measure import measure_all
from iap_pipelines.curation.walk import Worker
from iap_pipelines.media import export_to_av, probe
from tests.curation.toy_people import people_plan
from tests.curation.toys import write_sources
from tests.media.clips import moving_ramp, tone


MANIFEST = """file,kind,identity,speaking,notes
one.mp4,video,ada,ada,
two.mp4,video,ada;ben,ada;ben,
dub.mp4,composite,cy,ben,somebody else's voice
late.mp4,composite,ada,ada,audio 400 ms late
gone.mp4,video,,,nobody
"""
LABELS = """file,start,end,what,identity,side
two.mp4,0,0.5,speech,ada,left
two.mp4,0.5,1,speech,ben,right
"""
TEXTS = {"one": "ada", "two": "ada+ben", "dub": "cy/ben", "late": "nobody nobody", "gone": "nobody"}


@pytest.fixture
def folder(tmp_path):
    write_sources(tmp_path / "in", **TEXTS)
    (tmp_path / "in" / "manifest.csv").write_text(MANIFEST)
    (tmp_path / "in" / "labels.csv").write_text(LABELS)
    return tmp_path


def _collect(folder):
    found = find_sources(folder / "in")
    plan, ledger = people_plan(folder / "out"), Ledger(folder / "out" / "ledger")
    engine = InlineEngine(lambda: Worker(plan, ledger, folder / "in"))
    measure_all(engine, plan, ledger, folder / "in", found.sources)
    return collect(found, CurationConfig(), plan, ledger, folder / "in")


def test_truth_is_read(folder):
    truth = read_truth(folder / "in")
    assert truth["two.mp4"].identities == ("ada", "ben")
    assert truth["late.mp4"].late_seconds == pytest.approx(0.4)
    assert [name for name, known in truth.items() if known.may_be_kept] == ["one.mp4", "two.mp4"]
    assert true_identity(truth["two.mp4"], 2, 2, 0.5) == "ben"
    assert true_identity(truth["two.mp4"], 1, 3, 0.5) is None


def test_what_is_right_and_wrong_is_seen(folder, monkeypatch):
    monkeypatch.setattr("benchmarks.curation_media.CHANGE_SECONDS", 0.1)
    collected = _collect(folder)
    rows = {row.target: row for row in judge(collected, read_truth(folder / "in"))}
    assert rows["gone.mp4: rejected"].reached and rows["gone.mp4: rejected"].found == "no_face"
    assert not rows["dub.mp4: rejected"].reached, "the toys have no gate against a dub of a person with one clip"
    assert rows["two.mp4: lines given to who says them"].found.startswith("100.0 % right")
    assert rows["appearances of one person linked"].found == "1 of 1 pairs"
    assert rows["different people merged"].reached
    assert rows["files that may be kept: kept"].found == "2 of 2"
    assert rows["late.mp4: 400 ms within 80 ms"].found == "not measured"
    merged = replace(collected, subjects=tuple(replace(one, identity_id="x") for one in collected.subjects))
    wrong = {row.target: row for row in judge(merged, read_truth(folder / "in"))}
    assert not wrong["different people merged"].reached
    assert "ada+ben" in wrong["different people merged"].found


def test_copies_are_sources_of_their_own(tmp_path):
    clip = export_to_av(moving_ramp(10), tone(0.4), tmp_path / "a.mp4", frame_rate=25.0, sampling_rate=16000)
    seconds = write_copies([clip], tmp_path / "copies", 3)
    found = find_sources(tmp_path / "copies")
    assert len(found.sources) == 3 and not found.rejects
    assert seconds == pytest.approx(3 * 0.4)
    assert probe(tmp_path / "copies" / "a-002.mp4") == probe(clip)


def test_memory_of_processes_below_is_watched():
    if not os.path.isdir("/proc/self"):
        pytest.skip("needs /proc")
    import subprocess
    import sys

    with watch_memory() as memory:
        subprocess.run([sys.executable, "-c", "import time; b = bytearray(10**8); time.sleep(1)"], check=True)
    assert max(map(max, memory.values())) > 100
