"""Small operations on mono samples, float32 ``[N]``."""

import numpy as np


SAMPLING_RATE = 16_000


def resample(samples: np.ndarray, from_rate: float, to_rate: float) -> np.ndarray:
    """Change the rate: low-pass in the spectrum, then cubic reading between samples. Any ratio of rates."""
    count = max(int(len(samples) * to_rate / from_rate), 1)
    padded = np.pad(samples, (64, 64))
    if to_rate < from_rate:
        spectrum = np.fft.rfft(padded)
        frequencies = np.fft.rfftfreq(len(padded), 1 / from_rate)
        edge = to_rate / 2
        spectrum *= np.clip((edge - frequencies) / (0.06 * edge), 0, 1)
        padded = np.fft.irfft(spectrum, len(padded))
    return _read_between(padded, 64 + np.arange(count) * (from_rate / to_rate)).astype(np.float32)


def _read_between(samples: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Catmull-Rom interpolation on a signal oversampled twice in the spectrum."""
    doubled = np.fft.irfft(np.fft.rfft(samples), 2 * len(samples)) * 2
    positions = 2 * positions
    whole = np.clip(positions.astype(int), 1, len(doubled) - 3)
    part = positions - whole
    a, b, c, d = (doubled[whole + step] for step in (-1, 0, 1, 2))
    return b + 0.5 * part * (c - a + part * (2 * a - 5 * b + 4 * c - d + part * (3 * (b - c) + d - a)))


def loudness(samples: np.ndarray, window: int) -> np.ndarray:
    """Root mean square around every sample, over ``window`` samples."""
    power = np.convolve(samples.astype(np.float64) ** 2, np.full(window, 1 / window), "same")
    return np.sqrt(np.maximum(power, 0))


def trim(samples: np.ndarray, *, below_db: float = -30.0, margin_seconds: float = 0.012) -> np.ndarray:
    """Cut silence off both ends and fade what is left in and out."""
    level = loudness(samples, SAMPLING_RATE // 100)
    loud = np.flatnonzero(level > level.max() * 10 ** (below_db / 20))
    margin = int(margin_seconds * SAMPLING_RATE)
    kept = samples[max(loud[0] - margin, 0) : loud[-1] + margin].astype(np.float32)
    ramp = np.linspace(0, 1, min(margin, len(kept) // 2), dtype=np.float32)
    kept = kept.copy()
    kept[: len(ramp)] *= ramp
    kept[len(kept) - len(ramp) :] *= ramp[::-1]
    return kept


def normalise(samples: np.ndarray, rms: float) -> np.ndarray:
    """Bring the louder half of the sound to one level, never over full scale."""
    level = loudness(samples, SAMPLING_RATE // 50)
    active = level[level > 0.25 * level.max()]
    gain = rms / max(float(np.sqrt(np.mean(active**2))), 1e-6)
    return samples * min(gain, 0.95 / max(float(np.abs(samples).max()), 1e-6))
