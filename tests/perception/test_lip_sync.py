"""Lips and sound: the linear model on a mouth that the test makes, SyncNet's shape, and both senses' clocks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from onnx import helper, numpy_helper

from iap_pipelines.perception.backends import load_lip_sync_model
from iap_pipelines.perception.interfaces import FaceClip
from iap_pipelines.perception.lip_sync_fit import TalkingExample, fit_weights, leave_one_person_out
from iap_pipelines.perception.lip_sync_linear import LinearLipSync, standard_scores
from iap_pipelines.perception.mouth import MouthSeries, measure_mouth
from iap_pipelines.types import AudioSamples
from tests.perception.onnx_models import save_model


RATE = 16_000


def babble(seed, seconds=6.0):
    """Noise whose loudness goes up and down at random, a few times a second, and that loudness at 100 Hz."""
    generator = np.random.default_rng(seed)
    knots = generator.uniform(0, 1, int(seconds * 6) + 2) ** 2
    loudness = np.interp(np.arange(int(seconds * 100)) / 100, np.arange(len(knots)) / 6, knots)
    samples = generator.normal(0, 0.1, int(seconds * RATE)) * np.interp(
        np.arange(int(seconds * RATE)) / RATE, np.arange(len(loudness)) / 100, loudness
    )
    return AudioSamples(torch.from_numpy(samples.astype(np.float32)).clamp(-1, 1)[None], RATE), loudness


def mouth_of(loudness, late=0.0, rate=25.0, start=0.7, end=5.3):
    """A mouth that opens with the loudness; ``late`` is how late the sound is."""
    times = np.arange(start, end, 1 / rate)
    opening = np.interp(times + late, np.arange(len(loudness)) / 100, loudness)
    motion = np.abs(np.gradient(opening)) * 20
    # Six patterns that follow each other, as lips, teeth and tongue do.
    patterns = np.cos(np.pi * np.outer(np.arange(1, 7), (np.arange(192) + 0.5) / 192))
    levels = np.stack([np.interp(times + late - 0.03 * k, np.arange(len(loudness)) / 100, loudness) for k in range(6)])
    looks = 100 + 20 * levels.T @ patterns
    return MouthSeries(times, *(values.astype(np.float32) for values in (0.1 * opening, motion, looks)))


@pytest.fixture(scope="module")
def examples():
    pairs = [babble(seed) for seed in range(8)]
    return [TalkingExample(f"p{i}", mouth_of(loudness), audio) for i, (audio, loudness) in enumerate(pairs)]


@pytest.fixture(scope="module")
def model(examples):
    return LinearLipSync(fit_weights(examples))


def _mean(scores):
    return np.nanmean(scores.scores, axis=1)


@pytest.mark.parametrize("late", [-0.32, 0.0, 0.2, 0.4])
@pytest.mark.parametrize("rate", [16.0, 25.0, 30.0])
def test_delay_is_found(model, late, rate):
    audio, loudness = babble(100)
    scores = model.compare_mouth(mouth_of(loudness, late, rate), audio)
    assert scores.delays[_mean(scores).argmax()] == pytest.approx(late, abs=0.041)
    assert _mean(scores).max() > 0.25


def test_another_sound_does_not_fit(model):
    audio, loudness = babble(100)
    own = _mean(model.compare_mouth(mouth_of(loudness), audio)).max()
    other = _mean(model.compare_mouth(mouth_of(loudness), babble(101)[0])).max()
    assert own > other + 0.2


def test_the_clock_of_the_source(model):
    """The same moment with another zero: a clip from the middle of a source gives the same scores."""
    audio, loudness = babble(100)
    mouth = mouth_of(loudness)
    moved = replace(mouth, times=mouth.times + 20.0)
    here, there = model.compare_mouth(mouth, audio), model.compare_mouth(moved, audio, audio_start=20.0)
    np.testing.assert_allclose(there.scores, here.scores, atol=1e-3)
    np.testing.assert_allclose(there.times, here.times + 20.0)


def test_sound_that_is_missing_is_not_a_number(model):
    audio, loudness = babble(100)
    short = AudioSamples(audio.samples[:, : 3 * RATE], RATE)
    scores = model.compare_mouth(mouth_of(loudness), short)
    known = np.isfinite(scores.scores[15])
    assert known[scores.times < 2.7].all()
    assert not known[scores.times > 3.2].any()


def test_silence_and_a_still_mouth_score_nothing(model):
    audio, loudness = babble(100)
    silent = AudioSamples(torch.zeros(1, 6 * RATE), RATE)
    assert np.nanmax(np.abs(_mean(model.compare_mouth(mouth_of(loudness), silent)))) < 1e-3
    constant = (np.full(shape, 0.05, np.float32) for shape in (100, 100, (100, 192)))
    still = MouthSeries(np.arange(1, 5, 0.04), *constant)
    assert np.nanmax(np.abs(model.compare_mouth(still, audio).scores)) < 1e-3


def test_strangers_are_scored_as_strangers(examples):
    result = leave_one_person_out(examples)
    assert result.area > 0.9
    assert result.within_120_ms > 0.8
    assert result.own > result.other + 0.2


def test_standard_scores():
    scores = standard_scores(np.array([[1.0, 5], [2, 5], [3, 5]]))
    np.testing.assert_allclose(scores[:, 0], [-1.2247, 0, 1.2247], atol=1e-3)
    assert (scores[:, 1] == 0).all()


def _face_clip(openings):
    """A drawn face: a dark mouth that opens on a light skin, with its 68 points."""
    crops = np.full((len(openings), 192, 192, 3), 180, np.uint8)
    points = np.zeros((len(openings), 68, 2), np.float32)
    points[:, 36:42], points[:, 42:48] = (70, 80), (122, 80)
    points[:, 27], points[:, 8] = (96, 80), (96, 170)
    points[:, 48:60] = (96, 130)
    for frame, opening in enumerate(openings):
        half = 45 * opening
        points[frame, [61, 62, 63], 1], points[frame, [67, 66, 65], 1] = 130 - half, 130 + half
        points[frame, 60:68, 0] = 96
        crops[frame, round(130 - half) : round(130 + half) + 1, 80:112] = 40
    return FaceClip(np.arange(len(openings)) / 25, crops, points)


def test_mouth_opening_over_height_of_the_face():
    openings = np.array([0.0, 0.1, 0.2, 0.1, 0.0])
    mouth = measure_mouth(_face_clip(openings))
    np.testing.assert_allclose(mouth.opening, openings, atol=1e-5)
    assert mouth.motion[1:].min() > 1
    darkness = -mouth.looks.reshape(5, 12, 16)[:, 4:8, 5:11].mean(axis=(1, 2))
    assert (np.diff(darkness) > 0).tolist() == [True, True, False, False]


def test_a_mouth_without_looks_cannot_be_compared(model):
    audio, loudness = babble(100)
    with pytest.raises(ValueError, match="`looks`"):
        model.compare_mouth(replace(mouth_of(loudness), looks=None), audio)


def test_motion_is_per_40_ms_at_any_rate():
    slow = _face_clip(np.array([0.0, 0.2, 0.0, 0.2]))
    fast = FaceClip(slow.times / 2, slow.crops, slow.points)
    np.testing.assert_allclose(measure_mouth(fast).motion, 2 * measure_mouth(slow).motion, rtol=1e-4)
    still = _face_clip(np.full(4, 0.1))
    assert measure_mouth(still).motion.max() == 0


@pytest.fixture
def tiny_syncnet(tmp_path):
    """Both networks give two numbers that only depend on how much there is: brightness, and energy."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2, 3, 4], keepdims=0)]
    nodes += [
        helper.make_node("Unsqueeze", ["mean", "axis"], ["column"]),
        helper.make_node("Mul", ["column", "w"], ["y"]),
    ]
    see = _save(tmp_path / "see.onnx", nodes, ["B", 3, 5, 224, 224], [[1 / 255, 0]])
    nodes = [
        helper.make_node("Gather", ["x", "first"], ["energy"], axis=2),
        helper.make_node("ReduceMean", ["energy"], ["mean"], axes=[1, 2], keepdims=0),
        *nodes[1:],
    ]
    hear = _save(tmp_path / "hear.onnx", nodes, ["B", 1, 13, 20], [[1 / 30, 0]], first=True)
    return load_lip_sync_model({"type": "syncnet", "sound_path": str(hear), "face_path": str(see)})


def _save(path, nodes, shape, weights, first=False):
    integers = [numpy_helper.from_array(np.array([1], np.int64), "axis")]
    if first:
        integers.append(numpy_helper.from_array(np.array(0, np.int64), "first"))
    return save_model(path, {"x": shape}, nodes, {"w": weights}, {"y": ["B", 2]}, integers)


def test_syncnet_pairs_pictures_with_their_sound(tiny_syncnet):
    """Bright pictures stand for loud sound: the distance is smallest at the delay that the test made."""
    audio, _ = babble(3)
    samples = audio.samples.clone()
    loud = np.zeros(600)
    for start in (1.0, 2.1, 3.7, 4.4):
        loud[int(start * 100) : int(start * 100) + 40] = 1
    gain = torch.from_numpy(np.repeat(np.where(loud > 0, 1.0, 1e-4), 160).astype(np.float32))
    audio = AudioSamples(samples * gain[: samples.shape[1]], RATE)
    late = 0.24
    times = np.arange(0.8, 5.0, 0.04)
    bright = np.interp(times + late, np.arange(600) / 100, loud)
    crops = np.tile((255 * bright).astype(np.uint8)[:, None, None, None], (1, 8, 8, 3))
    face = FaceClip(times, crops, np.zeros((len(times), 68, 2), np.float32))
    scores = tiny_syncnet.compare(face, audio)
    assert scores.scores.shape == (31, len(times) - 4)
    assert scores.delays[_mean(scores).argmax()] == pytest.approx(late, abs=0.041)
    assert (scores.scores[np.isfinite(scores.scores)] <= 0).all()


def test_syncnet_needs_five_pictures(tiny_syncnet):
    face = FaceClip(np.arange(3) / 25, np.zeros((3, 8, 8, 3), np.uint8), np.zeros((3, 68, 2), np.float32))
    assert tiny_syncnet.compare(face, babble(1)[0]).scores.shape == (31, 0)
