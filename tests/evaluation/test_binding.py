import numpy as np
import pytest

from iap_pipelines.evaluation.functional import binding


FACES = np.array([0, 0, 0, 1, 1, 1, -1, -1, 0, 1])
VOICES = np.array([0, 0, 1, 1, 1, 0, 0, -1, 0, -1])
SPEECH = np.array([1, 1, 1, 1, 1, 1, 1, 1, 0, 1], bool)


def test_by_hand():
    share, confusion = binding(FACES, VOICES, SPEECH, 2)
    assert share == pytest.approx(4 / 9)
    assert confusion.tolist() == [[2, 1, 0], [1, 2, 1], [1, 0, 1]]


def test_swapping_the_voices_turns_right_into_wrong():
    swap = np.array([1, 0, -1])
    everybody = np.array([0, 0, 1, 1, 1])
    all_speech = np.ones(5, bool)
    assert binding(everybody, everybody, all_speech, 2).share == 1
    assert binding(everybody, swap[everybody], all_speech, 2).share == 0


def test_naming_the_references_otherwise_changes_nothing():
    swap = np.array([1, 0, -1])
    one, other = binding(FACES, VOICES, SPEECH, 2), binding(swap[FACES], swap[VOICES], SPEECH, 2)
    assert one.share == other.share
    assert (one.confusion[np.ix_([1, 0, 2], [1, 0, 2])] == other.confusion).all()


def test_every_speech_cell_is_counted_once():
    assert binding(FACES, VOICES, SPEECH, 2).confusion.sum() == SPEECH.sum()


def test_no_speech_is_no_score():
    assert binding(FACES, VOICES, np.zeros(10, bool), 2).share is None


def test_unknown_references_are_refused():
    with pytest.raises(ValueError, match="`voices`"):
        binding(FACES, VOICES + 1, SPEECH, 2)
    with pytest.raises(ValueError, match="same grid"):
        binding(FACES[:5], VOICES, SPEECH, 2)
