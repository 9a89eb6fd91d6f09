"""Damage of known size."""

import numpy as np
import pytest

from benchmarks.damage import DELAYS_MS, KINDS, NOISE_LEVELS, SHARES, damaged_clips
from iap_pipelines.synthetic import World, WorldConfig, fill_bank


PICTURES = {"faces", "faces over time", "pasted picture", "held pictures"}


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


def _of(damaged, kind):
    return [step for step in damaged[1] if step.kind == kind]


def test_every_kind_begins_with_the_clip_and_leaves_the_rest_alone(damaged):
    clip, steps = damaged
    assert {step.kind for step in steps} == set(KINDS)
    for step in steps:
        is_picture = step.kind in PICTURES
        assert np.array_equal(step.frames, clip.frames) == (not is_picture or step.amount == 0)
        assert np.array_equal(step.samples, clip.samples) == (is_picture or step.amount == 0)
        assert (step.frames.shape, step.samples.shape) == (clip.frames.shape, clip.samples.shape)
        assert (step.frames.dtype, step.samples.dtype) == (np.uint8, np.float32)


def _distances(damaged, kind):
    clip, _ = damaged
    return np.array([np.abs(step.frames.astype(int) - clip.frames).mean() for step in _of(damaged, kind)])


@pytest.mark.parametrize("kind", ["faces", "pasted picture"])
def test_pictures_blend_in_equal_steps(damaged, kind):
    distances = _distances(damaged, kind)
    assert [step.amount for step in _of(damaged, kind)] == list(SHARES)
    assert distances[-1] > 1
    np.testing.assert_allclose(distances, np.array(SHARES) * distances[-1], atol=0.5)


def test_a_face_changes_over_time_from_none_to_all_of_it(damaged):
    last, whole = _of(damaged, "faces over time")[-1], _of(damaged, "faces")[-1]
    np.testing.assert_array_equal(last.frames[0], damaged[0].frames[0])
    np.testing.assert_array_equal(last.frames[-1], whole.frames[-1])


def test_pictures_stand_still_from_a_moment_on(damaged):
    clip, _ = damaged
    half, whole = (_of(damaged, "held pictures")[step] for step in (2, 4))
    np.testing.assert_array_equal(half.frames[:13], clip.frames[:13])
    assert (half.frames[12:] == clip.frames[12]).all()
    assert (whole.frames == clip.frames[0]).all()


def test_sound_moves_by_the_delay(damaged):
    clip, _ = damaged
    for step in _of(damaged, "late sound"):
        count = int(step.amount * 16)
        assert not step.samples[:count].any()
        np.testing.assert_array_equal(step.samples[count:], clip.samples[: len(clip.samples) - count])
    assert [step.amount for step in _of(damaged, "late sound")] == list(DELAYS_MS)


@pytest.mark.parametrize("kind", ["voices", "words"])
def test_the_last_words_are_replaced(damaged, kind):
    clip, _ = damaged
    words = [word for line in clip.record["lines"] for word in line["words"]]
    steps = _of(damaged, kind)
    assert [step.step for step in steps] == list(SHARES)
    for step in steps:
        first = round(words[-round(step.amount * len(words))]["start"] * 16_000) if step.amount else len(clip.samples)
        np.testing.assert_array_equal(step.samples[:first], clip.samples[:first])
        changed = np.flatnonzero(step.samples != clip.samples)
        assert (step.amount == 0) == (len(changed) == 0)
    assert steps[-1].amount == 1


def test_noise_is_a_share_of_the_sound(damaged):
    clip, _ = damaged
    for step, level in zip(_of(damaged, "noise"), NOISE_LEVELS, strict=True):
        noise = np.sqrt(np.mean((step.samples - clip.samples) ** 2))
        assert noise == pytest.approx(level * np.sqrt(np.mean(clip.samples**2)), rel=0.1, abs=1e-6)
