"""Voices and turns with an embedder that hears pitch."""

import numpy as np
import pytest
import torch

from iap_pipelines.curation.speech import diarize, loudness_decibels, smooth_path
from iap_pipelines.perception.interfaces import TimeSpan
from iap_pipelines.types import AudioSamples


RATE = 16_000
PITCHES = (200.0, 500.0, 1100.0)


class PitchEmbedder:
    """The share of each pitch in the sound, as a unit vector."""

    name, revision = "pitch", "test"

    def embed(self, audio):
        spectrum = np.abs(np.fft.rfft(audio.samples[0].numpy()))
        step = RATE / audio.num_samples
        shares = [spectrum[int((pitch - 30) / step) : int((pitch + 30) / step) + 1].sum() for pitch in PITCHES]
        vector = np.array(shares) + 1e-6
        return vector / np.linalg.norm(vector)


def _voices(*pieces):
    """Tones of numbered voices, each for some seconds; ``None`` is silence."""
    sound = [
        np.zeros(round(seconds * RATE))
        if voice is None
        else 0.3 * np.sin(2 * np.pi * PITCHES[voice] * np.arange(round(seconds * RATE)) / RATE)
        for voice, seconds in pieces
    ]
    return AudioSamples(torch.from_numpy(np.concatenate(sound).astype(np.float32))[None], RATE)


def test_turns_of_voices_between_pauses():
    audio = _voices((0, 3), (None, 0.5), (1, 2.5), (None, 0.5), (0, 3))
    spans = [TimeSpan(0, 3), TimeSpan(3.5, 6), TimeSpan(6.5, 9.5)]
    result = diarize(audio, spans, PitchEmbedder())
    assert [(turn.start, turn.end, turn.speaker) for turn in result.turns] == [(0, 3, 0), (3.5, 6, 1), (6.5, 9.5, 0)]
    assert [voice.seconds for voice in result.voices] == [6, 2.5]
    assert all(voice.purity > 0.99 for voice in result.voices)


def test_a_change_without_a_pause_is_found():
    result = diarize(_voices((0, 4.3), (1, 4.7)), [TimeSpan(0, 9)], PitchEmbedder())
    first, second = result.turns
    assert (first.speaker, second.speaker) == (0, 1)
    assert first.end == second.start == pytest.approx(4.3, abs=0.3)


def test_three_voices_and_the_order_of_first_words():
    result = diarize(
        _voices((2, 3), (0, 3), (1, 3), (2, 3)),
        [TimeSpan(3.0 * i, 3.0 * (i + 1)) for i in range(4)],
        PitchEmbedder(),
    )
    assert [turn.speaker for turn in result.turns] == [0, 1, 2, 0]
    assert result.voices[0].embedding.argmax() == 2


def test_a_cough_is_no_voice():
    audio = _voices((0, 4), (1, 0.6), (0, 4))
    spans = [TimeSpan(0, 4), TimeSpan(4, 4.6), TimeSpan(4.6, 8.6)]
    assert {turn.speaker for turn in diarize(audio, spans, PitchEmbedder()).turns} == {0}


def test_no_speech_no_turns():
    result = diarize(_voices((None, 3)), [], PitchEmbedder())
    assert (result.turns, result.voices) == ((), ())
    assert diarize(_voices((0, 1)), [TimeSpan(0, 0.2)], PitchEmbedder()).turns == ()


def test_loudness():
    audio = _voices((0, 1), (None, 1))
    assert loudness_decibels(audio, [TimeSpan(0, 1)]) == pytest.approx(20 * np.log10(0.3 / 2**0.5), abs=0.01)
    assert loudness_decibels(audio, [TimeSpan(1, 2)]) is None
    assert loudness_decibels(audio, []) is None


def test_smooth_path_changes_only_when_it_pays():
    scores = np.array([[1.0, 0], [1, 0], [0, 0.4], [1, 0], [0, 1], [0, 1], [0, 1]])
    assert smooth_path(scores, 0.3).tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert smooth_path(scores, 0.0).tolist() == [0, 0, 1, 0, 1, 1, 1]
    assert smooth_path(scores, 10.0).tolist() == [1] * 7 or smooth_path(scores, 10.0).tolist() == [0] * 7


def test_smooth_path_is_the_best_of_all():
    generator = np.random.default_rng(0)
    for _ in range(10):
        scores, change = generator.normal(size=(5, 3)), float(generator.uniform(0, 1))

        def worth(path, scores=scores, change=change):
            return sum(scores[t, k] for t, k in enumerate(path)) - change * (np.diff(path) != 0).sum()

        best = max(worth(path) for path in np.ndindex(3, 3, 3, 3, 3))
        assert worth(smooth_path(scores, change)) == pytest.approx(best)
