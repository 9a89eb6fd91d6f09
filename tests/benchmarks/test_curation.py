"""The benchmarks of curation: truth is read, compared, and a wrong result is seen."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.curation import watch_memory, worker_memory, write_copies
from benchmarks.curation_length import write_repeated
from benchmarks.curation_media import judge, unheard_seconds
from benchmarks.media_truth import read_truth
from iap_pipelines.curation.collect import collect
from iap_pipelines.curation.config import CurationConfig
from iap_pipelines.curation.discovery import find_sources
from iap_pipelines.curation.engines import InlineEngine
from iap_pipelines.curation.gates import Thresholds
from iap_pipelines.curation.ledger import Ledger
from iap_pipelines.curation.measure import measure_all
from iap_pipelines.curation.records import ClipTurn
from iap_pipelines.curation.results import Reject
from iap_pipelines.curation.walk import Worker
from iap_pipelines.media import export_to_av, probe
from iap_pipelines.types import AudioSamples
from tests.curation.toy_people import people_plan
from tests.curation.toys import write_sources
from tests.media.clips import moving_ramp, tone


MANIFEST = """file,kind,identity,speaking,duration,width,height,fps,frames,video_codec,audio_codec,sample_rate,notes
one.mp4,video,ada,ada,,,,,,,,,
two.mp4,video,ada;ben,ada;ben,,,,,,,,,
dub.mp4,composite,cy,ben,,,,,,,,,somebody else's voice
late.mp4,composite,ada,ada,,,,,,,,,audio 400 ms late
gone.mp4,video,,,,,,,,,,,nobody
odd.mp4,bad,,,1.0,479,275,16.0,16,h264,aac,16000,an odd size
mute.mp4,bad,,,4.0,480,276,16.0,64,h264,,,no audio stream
broken.mp4,bad,,,unreadable,,,,,,,,first third of a file
"""
LABELS = """file,start,end,what,identity,side
two.mp4,0,0.5,speech,ada,left
two.mp4,0.5,1,speech,ben,right
"""
TEXTS = {
    "one": "ada", "two": "ada+ben", "dub": "cy/ben", "late": "nobody nobody", "gone": "nobody", "odd": "ben",
    "mute": "ada nobody", "broken": "",
}  # fmt: skip


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
    assert {name: set(known.reasons) for name, known in truth.items() if known.kind == "bad"} == {
        "odd.mp4": {"too_short"}, "mute.mp4": {"no_audio"}, "broken.mp4": {"unreadable"}
    }  # fmt: skip
    assert not read_truth(folder / "in", Thresholds(min_clip_seconds=0.5))["odd.mp4"].reasons
    labels = ({"what": "shot", "start": "0", "end": "2", "identity": "ada;ben"},)
    assert replace(truth["one.mp4"], labels=labels).people_at(1.0) == ("ada", "ben")


@pytest.fixture
def rows(folder, monkeypatch):
    monkeypatch.setattr("benchmarks.curation_media.CHANGE_SECONDS", 0.1)
    monkeypatch.setattr("benchmarks.curation_media.read_sound", lambda path: AudioSamples(tone(1.0), 16000))

    def judged(collected=None, thresholds=None):
        found = judge(collected or _collect(folder), read_truth(folder / "in", thresholds), folder / "in")
        return {row.target: row for row in found}

    return judged


def test_what_is_right_and_wrong_is_seen(folder, rows):
    collected = _collect(folder)
    found = rows(collected)
    nobody = found["gone.mp4: rejected, no_face or no_speech or silent"]
    assert nobody.reached and nobody.found == "no_face"
    dub = found["dub.mp4: rejected, dubbed or offscreen_speech or other_voice"]
    assert not dub.reached, "the toys have no gate against a dub of a person with one clip"
    assert found["two.mp4: lines given to who says them"].found.startswith("100.0 % right")
    assert found["two.mp4: lines given to who says them"].reached
    assert found["appearances of one person linked"].found == "1 of 1 pairs"
    assert found["different people merged"].reached
    assert found["files that may be kept: kept"].found == "2 of 2"
    assert found["late.mp4: 400 ms within 80 ms"].found == "not measured"
    merged = replace(collected, subjects=tuple(replace(one, identity_id="x") for one in collected.subjects))
    wrong = rows(merged)
    assert not wrong["different people merged"].reached
    assert "ada+ben" in wrong["different people merged"].found


def test_a_wrong_reason_is_seen(rows):
    found = rows()
    late = found["late.mp4: rejected, sound_out_of_sync"]
    assert (late.found, late.reached) == ("2 x no_face", False)
    assert (found["broken.mp4: rejected, unreadable"].found, found["broken.mp4: rejected, unreadable"].reached) == (
        "ValueError",
        False,
    )
    assert not found["mute.mp4: rejected, no_audio"].reached
    assert not found["odd.mp4: rejected, too_short"].reached, "it is kept"
    assert rows(thresholds=Thresholds(min_clip_seconds=0.5))["odd.mp4: handled"].reached, "nothing is stated of it"


def test_pairs_that_are_not_compared_are_told(folder, rows):
    collected = _collect(folder)
    walked = next(item for item in collected.walked.values() if item.known.source.path == "one.mp4")
    (clip,) = walked.kept
    walked.rejects[clip.clip_id] = Reject(
        record_id=clip.clip_id, level="clip", stage="gate", kind="rejected", reason="x"
    )
    found = rows(replace(collected, subjects=tuple(s for s in collected.subjects if s.clip_id != clip.clip_id)))
    told = found["appearances of one person linked"].found
    assert told == "0 of 0 pairs; 1 more were not compared: a clip of theirs is rejected"
    assert found["files that may be kept: kept"].found == "1 of 2; not one.mp4: x"


def test_speech_that_nobody_heard_is_seen(folder):
    samples = np.zeros(3 * 16000, np.float32)
    for start, end in ((0.0, 1.0), (1.5, 3.0)):  # a pause of half a second
        samples[round(start * 16000) : round(end * 16000)] = 0.3
    sound = AudioSamples(torch.from_numpy(samples)[None], 16000)
    (turn,) = (turn for item in _collect(folder).walked.values() for turn in _turns(item, "one.mp4"))
    heard = [replace(turn, start_seconds=0.0, end_seconds=0.9), replace(turn, start_seconds=1.55, end_seconds=3.0)]
    assert unheard_seconds(sound, 0.0, 3.0, heard) == 0, "a pause and what a detector takes off"
    assert unheard_seconds(sound, 0.0, 3.0, heard[1:]) == pytest.approx(1.0)
    assert unheard_seconds(None, 0.0, 3.0, heard) == 3.0


def _turns(walked, path):
    return walked.known.all(ClipTurn) if walked.known.source.path == path else ()


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


def test_memory_of_the_workers_over_their_life():
    found = {1: [10.0, 10.0], 2: [100.0, 300.0, 200.0, 200.0, 210.0, 205.0, 230.0, 220.0], 3: [90.0] * 4}
    assert worker_memory(found, workers=2) == [300.0, 200.0, 210.0, 230.0]
    assert worker_memory({}, workers=2) == []
    assert worker_memory({1: [50.0]}, workers=1)[0] == 50.0


def test_a_clip_is_repeated_until_it_is_long_enough(tmp_path):
    clip = export_to_av(moving_ramp(50), tone(2.0), tmp_path / "a.mp4", frame_rate=25.0, sampling_rate=16000)
    write_repeated(clip, 10.0, tmp_path / "in" / "long.mp4")
    found = probe(tmp_path / "in" / "long.mp4")
    assert found.pictures.num_frames == 5 * 50
    assert found.pictures.duration_seconds == pytest.approx(5 * 2.0 + 4 * 0.2, abs=0.2)
    assert found.sound.duration_seconds == pytest.approx(found.pictures.duration_seconds, abs=0.2)
