import numpy as np
import pytest

from iap_pipelines.perception.mfcc import mfcc


def _by_hand(samples):
    """The first window, written out from the definition, one loop per sum."""
    signal = samples * 32768
    window = [signal[0]] + [signal[n] - 0.97 * signal[n - 1] for n in range(1, 400)]
    spectrum = [
        abs(sum(window[n] * np.exp(-2j * np.pi * k * n / 512) for n in range(400))) ** 2 / 512 for k in range(257)
    ]
    mels = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 28)
    edges = [int(513 * 700 * (10 ** (mel / 2595) - 1) / 16000) for mel in mels]
    bands = []
    for left, middle, right in zip(edges, edges[1:], edges[2:], strict=False):
        total = sum(spectrum[k] * (k - left) / (middle - left) for k in range(left, middle))
        total += sum(spectrum[k] * (right - k) / (right - middle) for k in range(middle, right))
        bands.append(np.log(total))
    cepstrum = []
    for i in range(13):
        value = sum(band * np.cos(np.pi * i * (2 * j + 1) / 52) for j, band in enumerate(bands))
        value *= np.sqrt((1 if i == 0 else 2) / 26)
        cepstrum.append(value * (1 + 11 * np.sin(np.pi * i / 22)))
    return [np.log(sum(spectrum)), *cepstrum[1:]]


def test_against_the_definition():
    samples = np.random.default_rng(0).normal(size=400).astype(np.float32) * 0.1
    assert mfcc(samples)[0].tolist() == pytest.approx(_by_hand(samples.astype(float)), rel=1e-4, abs=1e-3)


def test_a_hundred_vectors_a_second():
    assert mfcc(np.zeros(16_000, np.float32)).shape == (99, 13)
    assert mfcc(np.zeros(1, np.float32)).shape == (1, 13)
    assert np.isfinite(mfcc(np.zeros(800, np.float32))).all()


def test_louder_changes_the_energy_alone():
    samples = np.random.default_rng(1).normal(size=4_000).astype(np.float32) * 0.01
    quiet, loud = mfcc(samples), mfcc(10 * samples)
    np.testing.assert_allclose(loud[:, 1:], quiet[:, 1:], atol=1e-2)
    np.testing.assert_allclose(loud[:, 0] - quiet[:, 0], 2 * np.log(10), atol=1e-3)
