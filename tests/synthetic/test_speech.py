import numpy as np
import pytest

from iap_pipelines.synthetic.sound import SAMPLING_RATE, resample, trim
from iap_pipelines.synthetic.speech import lay_out, mouth_movement
from iap_pipelines.synthetic.vocabulary import ADJECTIVES, NOUNS, SPOKEN_WORDS, draw_words


def tone(frequency, seconds, rate=SAMPLING_RATE):
    return np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate).astype(np.float32)


def test_resampling_keeps_pitch_in_seconds():
    resampled = resample(tone(440, 0.5, 24_000), 24_000, SAMPLING_RATE)
    expected = tone(440, 0.5)
    assert len(resampled) == len(expected)
    assert np.abs(resampled - expected)[200:-200].max() < 0.01


def test_resampling_removes_what_the_new_rate_cannot_carry():
    assert np.abs(resample(tone(10_000, 0.2, 24_000), 24_000, SAMPLING_RATE))[200:-200].max() < 0.02


def test_trim_leaves_the_sound():
    sound = np.pad(tone(300, 0.2), (4000, 6000))
    assert 0.19 < len(trim(sound)) / SAMPLING_RATE < 0.24


def test_words_end_with_a_noun():
    words = draw_words(3, np.random.default_rng(0))
    assert set(words[:2]) <= set(ADJECTIVES) and words[2] in NOUNS
    assert set(ADJECTIVES) | set(NOUNS) == set(SPOKEN_WORDS)


@pytest.fixture
def utterance(bank):
    lines = [(1, ("red", "apple")), (0, ("boat",))]
    return lay_out(lines, [bank.words(0), bank.words(1)], 2 * SAMPLING_RATE, np.random.default_rng(0))


def test_word_times_are_where_the_sound_is(utterance):
    for track, subject in zip(utterance.tracks, (0, 1), strict=True):
        spoken = np.zeros(len(track), bool)
        for word in utterance.words:
            if word.subject == subject:
                # Times are rounded to a tenth of a millisecond: less than two samples.
                spoken[round(word.start * SAMPLING_RATE) - 2 : round(word.end * SAMPLING_RATE) + 2] = True
        assert not track[~spoken].any()
        assert np.sqrt(np.mean(track[spoken] ** 2)) > 0.02


def test_people_take_turns(utterance):
    assert [word.word for word in utterance.words] == ["red", "apple", "boat"]
    assert all(a.end <= b.start for a, b in zip(utterance.words, utterance.words[1:], strict=False))


def test_too_many_words_do_not_fit(bank):
    lines = [(0, tuple(SPOKEN_WORDS))]
    assert lay_out(lines, [bank.words(0)], 2 * SAMPLING_RATE, np.random.default_rng(0)) is None


def test_the_mouth_follows_loudness():
    track = np.concatenate(
        [np.zeros(SAMPLING_RATE // 2), 0.05 * tone(200, 0.5), 0.2 * tone(200, 0.5), np.zeros(SAMPLING_RATE // 2)]
    )
    opening, rounding = mouth_movement(track, 25, 12.5)
    assert opening.shape == rounding.shape == (25,)
    assert not opening[:6].any() and not opening[-6:].any()
    assert 0 < opening[8] < opening[15] <= 1


def test_low_sounds_round_the_lips():
    _, round_lips = mouth_movement(0.2 * tone(350, 1.0), 12, 12.5)
    _, spread_lips = mouth_movement(0.2 * tone(2200, 1.0), 12, 12.5)
    assert round_lips.mean() > 0.5 and spread_lips.mean() < -0.5
