import numpy as np
import pytest

from iap_pipelines.evaluation.functional.binding import NOBODY
from iap_pipelines.evaluation.people import (
    CELL_SECONDS,
    assign_tracks,
    label_voices,
    merge_faces,
    speech_cells,
    turns,
    voice_windows,
)
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


def test_windows_cover_the_speech():
    for speech in ([TimeSpan(0.2, 0.7)], [TimeSpan(0.1, 4.33), TimeSpan(5, 6.6)]):
        windows = voice_windows(speech)
        for span in speech:
            own = [window for window in windows if span.start <= window.start < span.end]
            assert own[0].start == span.start
            assert own[-1].end == span.end
            assert all(later.start < earlier.end for earlier, later in zip(own, own[1:], strict=False))


def test_voices_and_turns_by_hand():
    speech = [TimeSpan(0, 2), TimeSpan(2.4, 4)]
    spoken = speech_cells(speech, 4.0)
    assert spoken.sum() * CELL_SECONDS == pytest.approx(3.6)
    windows = voice_windows(speech)
    embeddings = np.stack([ADA if window.end <= 2 else BEN for window in windows])
    labels = label_voices(windows, embeddings, REFERENCES, spoken, 0.5)
    found = turns(labels, spoken)
    assert [turn.voice for turn in found] == [0, 1]
    assert [(turn.span.start, turn.span.end) for turn in found] == [pytest.approx((0, 2)), pytest.approx((2.4, 4))]


def test_a_strange_voice_is_nobodys():
    speech, spoken = [TimeSpan(0, 1)], speech_cells([TimeSpan(0, 1)], 1.0)
    labels = label_voices(voice_windows(speech), np.eye(4)[[2]], REFERENCES, spoken, 0.5)
    assert (labels == NOBODY).all()
    assert [turn.voice for turn in turns(labels, spoken)] == [NOBODY]


def test_a_change_of_voice_without_a_pause_is_found_in_time():
    speech, spoken = [TimeSpan(0, 6)], speech_cells([TimeSpan(0, 6)], 6.0)
    windows = voice_windows(speech)
    shares = [np.clip((3 - window.start) / window.duration, 0, 1) for window in windows]
    embeddings = np.stack([share * ADA + (1 - share) * BEN for share in shares])
    first, second = turns(label_voices(windows, embeddings, REFERENCES, spoken, 0.0), spoken)
    assert (first.voice, second.voice) == (0, 1)
    assert first.span.end == pytest.approx(3, abs=0.15)


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
