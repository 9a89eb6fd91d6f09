import numpy as np
import pytest

from iap_pipelines.evaluation.functional.binding import NOBODY
from iap_pipelines.evaluation.people import CELL_SECONDS, assign_tracks, merge_faces, speech_cells, turns
from iap_pipelines.evaluation.speaking import find_speaking_faces
from iap_pipelines.perception.interfaces import SyncScores, TimeSpan


ADA, BEN = np.eye(4)[0], np.eye(4)[1]
REFERENCES = np.stack([ADA, BEN])


def _seen(direction, frames=6, gaps=()):
    rows = np.tile(direction, (frames, 1)).astype(float)
    rows[list(gaps)] = np.nan
    return rows


def test_each_track_shows_the_subject_it_is_like():
    spans = [TimeSpan(0, 2)] * 2
    assert assign_tracks([_seen(BEN), _seen(ADA)], spans, REFERENCES) == [1, 0]


def test_two_faces_seen_together_are_two_people():
    """Even when both are more like the same reference."""
    both_like_ada = [_seen(ADA + 0.2 * BEN), _seen(ADA + 0.6 * BEN)]
    assert assign_tracks(both_like_ada, [TimeSpan(0, 2)] * 2, REFERENCES) == [0, 1]


def test_a_person_who_comes_back_is_one_subject():
    spans = [TimeSpan(0, 1), TimeSpan(2, 3), TimeSpan(2, 3)]
    assert assign_tracks([_seen(ADA), _seen(ADA), _seen(BEN)], spans, REFERENCES) == [0, 0, 1]


def test_a_bystander_is_nobody():
    spans = [TimeSpan(0, 2)] * 3
    labels = assign_tracks([_seen(ADA), _seen(np.eye(4)[2]), _seen(BEN)], spans, REFERENCES)
    assert labels == [0, NOBODY, 1]


def test_tracks_without_an_embedding_are_nobody():
    assert assign_tracks([np.full((6, 1), np.nan), _seen(ADA)], [TimeSpan(0, 1)] * 2, REFERENCES[:1]) == [NOBODY, 0]
    assert assign_tracks([_seen(ADA)], [TimeSpan(0, 1)], np.empty((0, 4))) == [NOBODY]


def test_merging_fills_gaps():
    merged = merge_faces([_seen(ADA, gaps=(3, 4, 5)), _seen(BEN, gaps=(0, 1, 2, 5))])
    np.testing.assert_array_equal(merged[:5], [ADA, ADA, ADA, BEN, BEN])
    assert np.isnan(merged[5]).all()


def test_turns_are_runs_of_one_voice_and_end_with_the_speech():
    spoken = speech_cells([TimeSpan(0, 2), TimeSpan(2.4, 4)], 4.0)
    assert spoken.sum() * CELL_SECONDS == pytest.approx(3.6)
    cells = np.arange(len(spoken))
    found = turns(np.where(cells < 25, 0, np.where(cells < 75, 1, NOBODY)), spoken)
    assert [turn.voice for turn in found] == [0, 1, 1, NOBODY]
    assert [turn.span.end for turn in found] == pytest.approx([1, 2, 3, 4])


def _scores(agreement, delays, best, times=None):
    """Agreement per cell at the delay `best`, little elsewhere."""
    times = np.arange(len(agreement)) * CELL_SECONDS if times is None else times
    shape = np.exp(-np.abs(np.subtract.outer(delays, best)) / 0.08)
    return SyncScores(times, delays, (shape[:, None] * agreement[None]).astype(np.float32))


def test_the_moving_mouth_speaks_at_the_delay_of_the_clip():
    delays = np.arange(-6, 7) * 0.04
    cells = np.arange(100)
    left, right = (cells < 50).astype(float), (cells >= 50).astype(float)
    spoken = np.ones(100, bool)
    found = turns(np.where(cells < 50, 0, 1), spoken)
    result = find_speaking_faces([_scores(left, delays, 0.12), None, _scores(right, delays, 0.12)], found)
    assert result.faces == (0, 2)
    assert result.delays[result.curve.argmax()] == pytest.approx(0.12)


def test_all_turns_of_a_voice_with_a_face_agree_as_one():
    """At the delay of the clip they agree by 1 and by 0.5; elsewhere, by nothing at most delays."""
    delays = np.arange(-6, 7) * 0.04
    agreement = np.repeat([1.0, 0.0, 0.5], 25)
    spoken = np.repeat([True, False, True], 25)
    shape = SyncScores(
        np.arange(75) * CELL_SECONDS, delays, np.where(np.abs(delays) < 0.01, 1, 0)[:, None] * agreement[None]
    )
    same = find_speaking_faces([shape], turns(np.zeros(75, int), spoken))
    assert same.agreements == (pytest.approx(0.75), pytest.approx(0.75))
    different = find_speaking_faces([shape], turns(np.repeat([0, 0, 1], 25), spoken))
    assert different.agreements == (pytest.approx(1.0), pytest.approx(0.5))
    flat = SyncScores(shape.times, delays, 0 * shape.scores)
    still = find_speaking_faces([flat], turns(np.zeros(75, int), spoken))
    assert still.agreements == (0, 0)


def test_a_turn_without_a_face_has_none():
    delays = np.arange(-2, 3) * 0.04
    times = np.arange(50) * CELL_SECONDS
    found = turns(np.repeat([0, 1], 50), np.ones(100, bool))
    result = find_speaking_faces([_scores(np.ones(50), delays, 0.0, times)], found)
    assert result.faces == (0, None)
    assert result.agreements[1] is None
    assert find_speaking_faces([None], found) is None
    assert find_speaking_faces([], found) is None
