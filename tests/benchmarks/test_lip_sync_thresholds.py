"""Thresholds of lip sync: chosen on foreign voices, and on people who were left out."""

import numpy as np
import pytest
import torch

from benchmarks.lip_sync_thresholds import Talking, Thresholds, fitted_without, judge, moved
from iap_pipelines.curation.sync import Sync
from iap_pipelines.perception.interfaces import TimeSpan
from iap_pipelines.perception.lip_sync_fit import TalkingExample
from iap_pipelines.perception.mouth import MouthSeries
from iap_pipelines.types import AudioSamples


RATE, SECONDS = 16_000, 6.0


def _talking(person: str, seed: int) -> Talking:
    """A mouth that opens as far as noise is loud."""
    generator = np.random.default_rng(seed)
    times = np.arange(0, SECONDS, 0.04)
    level = np.convolve(generator.uniform(0, 1, len(times)), np.ones(3) / 3, mode="same") ** 2
    samples = np.repeat(level, round(0.04 * RATE)) * generator.normal(0, 0.2, round(SECONDS * RATE))
    looks = np.outer(level, np.linspace(0, 50, 192)) + generator.normal(0, 1, (len(times), 192))
    motion = 2 + 10 * np.abs(np.gradient(level))
    mouth = MouthSeries(times, *(values.astype(np.float32) for values in (0.3 * level, motion, looks)))
    audio = AudioSamples(torch.from_numpy(samples.clip(-1, 1).astype(np.float32))[None], RATE)
    return Talking(TalkingExample(person, mouth, audio), (TimeSpan(0.2, SECONDS - 0.2),))


@pytest.fixture(scope="module")
def talking():
    return [_talking(person, seed) for seed, person in enumerate(("ada", "ben", "cy", "cy"))]


def test_own_voices_fit_people_who_were_left_out(talking):
    judged = judge(talking, fitted_without(talking))
    assert len(judged.own) == 4 and len(judged.late) == 12
    assert len(judged.foreign) == 3 + 3 + 2 + 2, "two clips of one person are not foreign to each other"
    assert judged.area == 1.0
    near = [abs(sync.offset - seconds) <= 0.08 for seconds, sync in judged.late]
    assert np.mean(near) >= 0.75, [(seconds, sync.offset) for seconds, sync in judged.late]


def test_a_person_is_not_in_the_fit_that_judges_them(talking):
    model_for = fitted_without(talking)
    assert model_for("ada").revision != model_for("ben").revision
    alone = fitted_without([one for one in talking if one.person != "ada"] + [_talking("ada", 99)])
    assert alone("ada").revision == model_for("ada").revision


def test_sound_is_moved():
    audio = AudioSamples(torch.arange(1, 17.0)[None] / 16, 16)
    later, (span,) = moved(audio, [TimeSpan(0.25, 0.5)], 0.25)
    assert later.samples[0].tolist() == [0.0] * 4 + [value / 16 for value in range(1, 13)]
    assert (span.start, span.end) == (0.5, 0.75)
    earlier, spans = moved(audio, [TimeSpan(0.0, 0.25), TimeSpan(0.125, 0.75)], -0.25)
    assert earlier.samples[0, :2].tolist() == [5 / 16, 6 / 16] and earlier.num_samples == 16
    assert [(span.start, span.end) for span in spans] == [(0.0, 0.5)]


def _sync(in_place: float, best: float) -> Sync:
    return Sync(offset=0.0, score=best, score_in_place=in_place, confidence=0.0, seconds=5.0)


def test_one_foreign_voice_in_twenty_may_pass():
    foreign = [_sync(score, score + 0.1) for score in np.arange(100) / 1000]
    own = [_sync(score, score) for score in (0.1, 0.3)]
    chosen = Thresholds.choose(foreign, own, min_late_gain=0.05)
    assert np.mean([sync.score_in_place >= chosen.min_sync_score for sync in foreign]) == 0.05
    assert np.mean([sync.score > chosen.min_late_score for sync in foreign]) == 0.05
    assert chosen.min_open_score == pytest.approx(0.2 - 3 * 0.1)
    assert Thresholds.choose(foreign, own, min_late_gain=0.2).min_late_score == -1.0, "nobody gains so much"
