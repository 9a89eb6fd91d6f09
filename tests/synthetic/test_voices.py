import numpy as np
import pytest

from iap_pipelines.synthetic.formant import FormantVoices
from iap_pipelines.synthetic.kokoro import Blend, KokoroVoices, draw_blend
from iap_pipelines.synthetic.vocabulary import SPOKEN_WORDS
from iap_pipelines.synthetic.voices import VoiceBank, fill_bank, open_backend


def spectrum(samples):
    """Power in 40 bands of equal ratio, in decibels, whatever the level."""
    power = np.abs(np.fft.rfft(samples, 65_536)) ** 2
    edges = np.geomspace(5, 26_000, 41).astype(int)
    bands = [power[low:high].mean() for low, high in zip(edges, edges[1:], strict=False)]
    level = 10 * np.log10(np.array(bands) + 1e-9)
    return level - level.mean()


def test_every_voice_says_every_word(bank):
    for index in range(4):
        words = bank.words(index)
        assert list(words) == list(SPOKEN_WORDS)
        for samples in words.values():
            assert 0.12 < len(samples) / 16_000 < 0.9
            assert 0.2 < np.abs(samples).max() <= 1


def test_voices_are_distinct_and_steady(bank):
    halves = [list(SPOKEN_WORDS)[::2], list(SPOKEN_WORDS)[1::2]]
    prints = np.array(
        [[spectrum(np.concatenate([bank.words(i)[w] for w in half])) for half in halves] for i in range(10)]
    )
    distance = np.abs(prints[:, None, 0] - prints[None, :, 1]).mean(-1)
    between = distance[~np.eye(10, dtype=bool)].mean()
    assert distance.diagonal().mean() < 0.65 * between


def test_filling_a_bank_again_changes_nothing(tmp_path):
    first = fill_bank(tmp_path / "a", 2, seed=1, voice_backend="formant")
    fill_bank(tmp_path / "b", 1, seed=1, voice_backend="formant")
    second = fill_bank(tmp_path / "b", 2, seed=1, voice_backend="formant")
    for name in ("voice-0000.npz", "voice-0001.npz"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()


def test_a_bank_belongs_to_one_world(tmp_path):
    fill_bank(tmp_path, 1, seed=1, voice_backend="formant")
    with pytest.raises(ValueError, match="`voice_bank`.*seed 1.*seed 2"):
        fill_bank(tmp_path, 1, seed=2, voice_backend="formant")


def test_a_voice_that_was_never_spoken_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="Voice 7"):
        VoiceBank(tmp_path).words(7)


def test_unknown_backends_are_refused():
    with pytest.raises(ValueError, match="`voice_backend`.*'espeak'"):
        open_backend("espeak", 1)


def test_without_style_vectors_the_error_teaches(tmp_path):
    with pytest.raises(FileNotFoundError, match="npm pack kokoro-js"):
        KokoroVoices(tmp_path, 1)


def test_formant_throats_depend_on_the_kind():
    voices = FormantVoices(seed=1)
    women, men = ([voices.throat(i).pitch for i in range(first, 40, 2)] for first in (0, 1))
    assert min(women) > max(men)


def test_blends_are_convex_and_of_one_kind():
    names = ["af_a", "af_b", "bf_c", "bf_d", "am_e", "am_f", "bm_g"]
    for seed in range(20):
        blend = draw_blend("woman", names, 1.0, np.random.default_rng(seed))
        assert sum(share for _, share in blend.weights) == pytest.approx(1, abs=1e-3)
        assert all(name[1] == "f" for name, _ in blend.weights)


def test_blend_distance():
    a, b = Blend((("x", 1.0),), 1.0), Blend((("y", 1.0),), 1.0)
    assert a.distance(a) == 0
    assert a.distance(b) == pytest.approx(1.0)
    assert a.distance(Blend((("x", 1.0),), 1.2)) == pytest.approx(2.5 * np.log(1.2))
