import numpy as np
import pytest

from iap_pipelines.curation.sync import measure_sync
from iap_pipelines.perception.interfaces import SyncScores, TimeSpan
from tests.curation.mouths import DELAYS, talking


@pytest.mark.parametrize("delay", [-0.5, -0.2, 0.0, 0.05, 0.4])
def test_offset_is_found_where_it_is(delay):
    sync = measure_sync(talking((1, 8), delay=delay, noise=0.3).sync, [TimeSpan(1, 8)])
    assert sync.offset == pytest.approx(delay, abs=0.03)
    assert sync.score == pytest.approx(0.5, abs=0.1)
    assert sync.confidence > 0.3
    assert sync.seconds == pytest.approx(7.0, abs=0.05)
    assert (sync.score_in_place > 0.3) == (abs(delay) <= 0.12)


def test_only_speech_counts():
    track = talking((1, 4), delay=0.2, noise=0.1)
    assert measure_sync(track.sync, [TimeSpan(1, 4)]).score > 0.4
    assert measure_sync(track.sync, [TimeSpan(5, 9)]).score < 0.1


def test_what_cannot_be_compared():
    track = talking((1, 4))
    assert measure_sync(track.sync, []) is None
    assert measure_sync(track.sync, [TimeSpan(0, 0.3)]) is None
    assert measure_sync(track.sync, [TimeSpan(20, 25)]) is None
    empty = SyncScores(np.zeros(0), DELAYS, np.zeros((31, 0), np.float32))
    assert measure_sync(empty, [TimeSpan(0, 9)]) is None


def test_delays_that_reach_beyond_the_sound_do_not_win_by_chance():
    track = talking((0, 10), delay=0.0, noise=0.1)
    scores = track.sync.scores.copy()
    scores[0] = np.nan
    scores[0, 0] = 50.0
    sync = measure_sync(SyncScores(track.sync.times, DELAYS, scores), [TimeSpan(0, 10)])
    assert sync.offset == pytest.approx(0, abs=0.03)
