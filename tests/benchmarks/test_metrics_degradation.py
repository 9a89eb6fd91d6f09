"""Damage of known size, and curves from it; the real models are left to the command."""

import numpy as np
import pytest

from benchmarks.metrics_degradation import CURVES, DELAYS_MS, SHARES, damaged_clips, draw, mean_curve, table
from iap_pipelines.synthetic import World, WorldConfig, fill_bank


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    config = WorldConfig(
        num_identities=4,
        clips_per_identity=2,
        height=48,
        held_out_share=0.49,
        two_person_share=0,
        three_person_share=0,
        voice_backend="formant",
    )
    bank = fill_bank(tmp_path_factory.mktemp("bank"), 4, config.seed, voice_backend="formant")
    world = World(config, bank)
    clip_index = world.identities("test")[0] * config.clips_per_identity
    return world.render_clip(clip_index), list(damaged_clips(world, clip_index))


def _of(damaged, name):
    return [step for step in damaged if step.damage == name]


def test_each_kind_leaves_the_rest_alone(damaged):
    clip, steps = damaged
    for step in steps:
        assert np.array_equal(step.frames, clip.frames) == (step.damage != "faces" or step.amount == 0)
        assert np.array_equal(step.samples, clip.samples) == (step.damage == "faces" or step.amount == 0)
        assert step.samples.shape == clip.samples.shape


def test_faces_blend_in_equal_steps(damaged):
    clip, steps = damaged
    faces = _of(steps, "faces")
    assert [step.amount for step in faces] == list(SHARES)
    distances = [np.abs(step.frames.astype(int) - clip.frames).mean() for step in faces]
    assert distances[-1] > 1
    np.testing.assert_allclose(distances, np.array(SHARES) * distances[-1], atol=0.5)


def test_sound_moves_by_the_delay(damaged):
    clip, steps = damaged
    for step in _of(steps, "late sound"):
        count = int(step.amount * 16)
        assert not step.samples[:count].any()
        np.testing.assert_array_equal(step.samples[count:], clip.samples[: len(clip.samples) - count])
    assert [step.amount for step in _of(steps, "late sound")] == list(DELAYS_MS)


def test_voices_are_replaced_word_by_word(damaged):
    _, steps = damaged
    voices = _of(steps, "voices")
    shares = [step.amount for step in voices]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert len(voices[0].people) == 2


def test_curves(tmp_path):
    points = [(0.0, 1.0), (0.0, 0.8), (0.26, 0.5), (1.0, 0.1)]
    assert mean_curve(points) == ([0.0, 0.25, 1.0], [0.9, 0.5, 0.1])
    assert mean_curve([(80, 80.0), (160, 120.0)]) == ([80, 160], [80.0, 120.0])
    found = dict.fromkeys(CURVES, points)
    assert "0: 0.900, 0.25: 0.500, 1: 0.100" in table(found)
    draw(found, tmp_path / "curves.svg")
    draw(found, tmp_path / "again.svg")
    assert (tmp_path / "curves.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()
