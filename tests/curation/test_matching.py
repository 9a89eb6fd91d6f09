"""Turns to faces, with mouths of which everything is known."""

from itertools import permutations

import numpy as np
import pytest

from iap_pipelines.curation.matching import match_turns
from iap_pipelines.curation.speech import Turn, Voice
from tests.curation.mouths import talking


def _voices(*similar_pairs, count=3):
    """Voices at right angles, except pairs that are alike."""
    vectors = np.eye(count + 1)[:count]
    for first, second in similar_pairs:
        vectors[second] = 0.8 * vectors[first] + 0.6 * vectors[second]
    return [Voice(vector, 5.0, 0.9) for vector in vectors]


def test_two_people_take_turns():
    left, right = talking((0, 5), seed=1), talking((5, 10), seed=2)
    matches = match_turns([Turn(0, 5, 0), Turn(5, 10, 1)], [left, right])
    assert [(match.track, match.verdict) for match in matches] == [(0, "matched"), (1, "matched")]
    assert all(match.margin > 0.1 for match in matches)


def test_both_mouths_always_move():
    everywhere = [(0, 10)]
    left, right = talking((0, 5), moves=everywhere, seed=1), talking((5, 10), moves=everywhere, seed=2)
    turns = [Turn(0, 5, 0), Turn(5, 10, 1)]
    assert [match.track for match in match_turns(turns, [left, right])] == [0, 1]
    assert [match.track for match in match_turns(turns, [right, left])] == [1, 0]


def test_order_of_faces_changes_nothing_else():
    tracks = [talking((0, 3), seed=1), talking((3, 6), seed=2), talking((6, 10), seed=3)]
    turns = [Turn(0, 3, 0), Turn(3, 6, 1), Turn(6, 10, 2)]
    for order in permutations(range(3)):
        matches = match_turns(turns, [tracks[i] for i in order])
        assert [order[match.track] for match in matches] == [0, 1, 2]


def test_all_voices_together_beat_each_alone():
    """Both voices fit the left mouth best, one of them much better: the other one has to be the right one's."""
    moves = [(0, 10)]
    left = talking((0, 10), moves=moves, strength=0.6, seed=1)
    right = talking((5, 10), moves=moves, strength=0.5, seed=2)
    matches = match_turns([Turn(0, 5, 0), Turn(5, 10, 1)], [left, right])
    assert [match.candidate for match in matches] == [0, 1]


def test_one_voice_of_two_mouths_is_cut_where_the_mouths_change():
    left, right = talking((0, 4.4), seed=1), talking((4.4, 10), seed=2)
    first, second = match_turns([Turn(0.2, 9.8, 0)], [left, right])
    assert (first.track, second.track) == (0, 1)
    assert first.turn.end == second.turn.start == pytest.approx(4.4, abs=0.3)
    assert (first.turn.start, second.turn.end) == (0.2, 9.8)


def test_two_like_voices_of_one_mouth_are_one():
    only, other = talking((0, 10), seed=1), talking(seed=2)
    turns = [Turn(0, 4, 0), Turn(4, 10, 1)]
    matches = match_turns(turns, [only, other], _voices((0, 1)))
    assert [match.track for match in matches] == [0, 0]
    apart = match_turns(turns, [only, other], _voices())
    assert all(match.track is None for match in apart)


def test_nobody_is_seen():
    (match,) = match_turns([Turn(0, 5, 0)], [])
    assert (match.verdict, match.track, match.candidate, match.sync) == ("off_screen", None, None, None)


def test_a_still_mouth_does_not_speak():
    (match,) = match_turns([Turn(1, 9, 0)], [talking()])
    assert (match.verdict, match.track) == ("off_screen", None)


def test_a_mouth_that_moves_against_the_voice_is_dubbed():
    (match,) = match_turns([Turn(1, 9, 0)], [talking((0, 10), strength=-1.5)])
    assert (match.verdict, match.track, match.candidate) == ("dubbed", None, 0)


def test_a_mouth_that_moves_neither_with_nor_against_the_voice_is_unconfirmed():
    (match,) = match_turns([Turn(1, 9, 0)], [talking(moves=[(0, 10)])])
    assert (match.verdict, match.track, match.candidate) == ("unconfirmed", 0, 0)


def test_late_sound_is_this_face_with_its_offset():
    (match,) = match_turns([Turn(1, 9, 0)], [talking((0, 10), delay=0.4)])
    assert (match.verdict, match.track) == ("late", 0)
    assert match.sync.offset == pytest.approx(0.4, abs=0.04)


def test_two_mouths_that_fit_alike_are_ambiguous():
    track = talking((0, 10), seed=3)
    (match,) = match_turns([Turn(1, 9, 0)], [track, track])
    assert (match.verdict, match.track, match.margin) == ("ambiguous", None, pytest.approx(0.0))


def test_more_voices_than_faces():
    matches = match_turns([Turn(0, 5, 0), Turn(5, 10, 1)], [talking((0, 5), seed=1)], _voices())
    assert [match.verdict for match in matches] == ["matched", "off_screen"]


def test_nothing_said():
    assert match_turns([], [talking()]) == []


def test_speech_is_neither_lost_nor_doubled():
    generator = np.random.default_rng(0)
    for seed in range(5):
        edges = np.sort(generator.uniform(0, 10, 8))
        turns = [
            Turn(float(start), float(end), int(generator.integers(3)))
            for start, end in zip(edges, edges[1:], strict=False)
            if end - start > 0.1
        ]
        tracks = [talking((0, 4), seed=10 + seed), talking((4, 7), seed=20 + seed), talking((7, 10), seed=30 + seed)]
        matches = match_turns(turns, tracks, _voices((0, 1)))
        assert sum(m.turn.duration for m in matches) == pytest.approx(sum(turn.duration for turn in turns))
        assert all(a.turn.end <= b.turn.start + 1e-9 for a, b in zip(matches, matches[1:], strict=False))
