"""Scores of clips of the drawn world: values worked out by hand, and what must hold whatever the numbers."""

import numpy as np
import pytest

from iap_pipelines.evaluation.drawn_world.scores import (
    GALLERY_SIZE,
    best_offset,
    is_nearest,
    is_nearest_of_all,
    is_straight,
    speaking_sides,
)


def _unit(generator, *shape):
    vectors = generator.standard_normal(shape)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_the_nearest_of_32_is_found_and_chance_is_one_in_32():
    generator = np.random.default_rng(0)
    gallery = _unit(generator, GALLERY_SIZE, 16)
    assert all(is_nearest(gallery[i], i, gallery, generator) for i in range(GALLERY_SIZE))
    assert not any(is_nearest(gallery[i], (i + 1) % GALLERY_SIZE, gallery, generator) for i in range(GALLERY_SIZE))
    hits = [is_nearest(query, 3, gallery, generator) for query in _unit(generator, 4000, 16)]
    hits_of_everybody = [
        sum(is_nearest(query, target, gallery, generator) for target in range(GALLERY_SIZE))
        for query in _unit(generator, 20, 16)
    ]
    assert np.mean(hits) < 0.15 and hits_of_everybody == [1] * 20


def test_a_larger_gallery_is_cut_to_32():
    generator = np.random.default_rng(1)
    gallery = _unit(generator, 300, 8)
    # Among 300 the target would be beaten by its many near neighbours; among 31 drawn ones less often.
    query = _unit(generator, 8)
    rank = int((gallery @ query > (gallery @ query)[5]).sum())
    hits = np.mean([is_nearest(query, 5, gallery, generator) for _ in range(2000)])
    expected = (1 - rank / 299) ** 31
    assert abs(hits - expected) < 0.05
    with pytest.raises(ValueError, match="`gallery` must hold 32 people, but holds 31"):
        is_nearest(query, 0, gallery[:31], generator)


def test_among_all_one_person_is_found_and_more_people_make_it_harder():
    generator = np.random.default_rng(2)
    gallery = _unit(generator, 160, 16)
    for query in _unit(generator, 20, 16):
        found = [target for target in range(160) if is_nearest_of_all(query, target, gallery)]
        assert found == [int((gallery @ query).argmax())]
        # Who is nearest of all is nearest of any 32.
        assert is_nearest(query, found[0], gallery, generator)


@pytest.mark.parametrize("offset", [-12, -3, 0, 1, 7, 12])
def test_the_offset_of_a_late_mouth_is_found(offset):
    sound = np.clip(np.random.default_rng(offset + 20).standard_normal(25), 0, None)
    assert best_offset(0.3 + 0.5 * np.roll(sound, offset), sound) == offset


def test_a_mouth_without_the_sound_is_in_time_as_often_as_chance_says():
    generator = np.random.default_rng(2)
    near = [abs(best_offset(generator.random(25), generator.random(25))) <= 1 for _ in range(3000)]
    assert abs(np.mean(near) - 3 / 25) < 0.02


def test_a_still_mouth_has_no_offset():
    assert best_offset(np.full(25, 0.4), np.random.default_rng(0).random(25)) is None
    assert best_offset(np.random.default_rng(0).random(25), np.zeros(25)) is None


def test_straight_is_not_crosswise():
    assert is_straight(np.array([[0.2, 0.1], [0.1, 0.2]]))
    assert not is_straight(np.array([[0.1, 0.2], [0.2, 0.1]]))
    assert not is_straight(np.full((2, 2), 0.5))
    assert not is_straight(np.array([[0.9, 0.1], [np.nan, np.nan]]))


def test_sound_belongs_to_the_mouth_that_moves():
    """The left one has a mouth that always looks half open; it is silent in the second half."""
    left = np.array([0.5, 0.5, 0.9, 1.0, 0.9, 0.5, 0.5, 0.5, 0.5, 0.5])
    right = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 0.4, 0.3, 0.0])
    sound = np.array([0, 0, 1, 1, 1, 0, 1, 1, 1, 0])
    sides = speaking_sides(np.stack([left, right], axis=1), sound)
    assert sides.tolist() == [-1, -1, 0, 0, 0, -1, 1, 1, 1, -1]
