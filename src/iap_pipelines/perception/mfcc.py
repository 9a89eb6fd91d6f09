"""Mel-frequency cepstral coefficients as SyncNet was trained with, a hundred vectors a second.

The definition is that of the package python_speech_features 0.6 with its defaults (which SyncNet used): pre-emphasis
0.97, rectangular windows of 25 ms every 10 ms, 512-point FFT, 26 triangular mel bands up to 8 kHz, sinusoidal lifter
22, and the logarithm of the energy in place of the first coefficient. Samples are scaled to 16-bit integers, as it
reads them.
"""

from functools import cache

import numpy as np
from scipy.fft import dct

from iap_pipelines.perception.packages import SAMPLING_RATE


NUM_COEFFICIENTS = 13
RATE = 100
"""Vectors per second."""
_WINDOW, _HOP, _FFT = SAMPLING_RATE // 40, SAMPLING_RATE // RATE, 512
_NUM_BANDS, _LIFTER, _PRE_EMPHASIS = 26, 22, 0.97
_TINY = np.finfo(np.float64).eps


def mfcc(samples: np.ndarray) -> np.ndarray:
    """Coefficients ``[T, 13]`` of sound at 16 kHz in [-1, 1], ``[N]``; vector t begins at t / 100 seconds."""
    signal = samples.astype(np.float64) * 32768
    signal = np.append(signal[:1], signal[1:] - _PRE_EMPHASIS * signal[:-1])
    num_windows = 1 + max(0, -(-(len(signal) - _WINDOW) // _HOP))
    signal = np.pad(signal, (0, max(0, (num_windows - 1) * _HOP + _WINDOW - len(signal))))
    windows = np.lib.stride_tricks.sliding_window_view(signal, _WINDOW)[::_HOP][:num_windows]
    power = np.abs(np.fft.rfft(windows, _FFT)) ** 2 / _FFT
    energy = np.maximum(power.sum(axis=1), _TINY)
    bands = np.log(np.maximum(power @ _mel_bands().T, _TINY))
    coefficients = dct(bands, type=2, axis=1, norm="ortho")[:, :NUM_COEFFICIENTS]
    coefficients *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(NUM_COEFFICIENTS) / _LIFTER)
    coefficients[:, 0] = np.log(energy)
    return coefficients.astype(np.float32)


@cache
def _mel_bands() -> np.ndarray:
    """Triangles ``[26, 257]``, evenly spaced in mel from 0 to 8 kHz."""
    highest = 2595 * np.log10(1 + SAMPLING_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, highest, _NUM_BANDS + 2) / 2595) - 1)
    edges = np.floor((_FFT + 1) * hertz / SAMPLING_RATE)
    bins = np.arange(_FFT // 2 + 1)
    left, middle, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - left) / (middle - left), (right - bins) / (right - middle)
    return np.where(bins < middle, rising, falling) * ((bins >= left) & (bins < right))
