"""Whether lips and sound agree, and by how much one is late. Letters: F frames, D channels, L lags."""

from typing import NamedTuple

import numpy as np


SYNCNET_MAX_SHIFT = 15
"""Video frames; `vshift` of the published SyncNet evaluation."""

_PAIRWISE_EPSILON = 1e-6
"""Added to each difference by `torch.nn.functional.pairwise_distance`, with which LSE was defined."""


class LipSync(NamedTuple):
    """Result of `lip_sync`."""

    offset_ms: float
    """How much later the sound is than the lips, in milliseconds; 0 is best."""
    confidence: float
    """Best score minus the median over all lags, in units of the score; higher is better."""


class SyncNetScores(NamedTuple):
    """Result of `syncnet_scores`."""

    offset_frames: int
    """How many video frames the sound is later than the lips; 0 is best."""
    lse_c: float
    """LSE-C, confidence: median minus smallest mean distance; higher is better."""
    lse_d: float
    """LSE-D: smallest mean distance of lips and sound; lower is better."""


def lip_sync(scores: np.ndarray, lags_ms: np.ndarray) -> LipSync:
    """Read offset and confidence off a curve of agreement over lags.

    Args:
        scores: agreement of the lips with the sound ``[L]``, higher is better; entry l belongs to lips compared with
            sound that is heard ``lags_ms[l]`` later.
        lags_ms: milliseconds ``[L]``; positive: the sound is late.

    Raises:
        ValueError: for fewer than three lags, or scores that are not finite.

    >>> lip_sync(np.array([0.0, 0.25, 0.75, 0.25, 0.5]), np.array([-80.0, -40.0, 0.0, 40.0, 80.0]))
    LipSync(offset_ms=0.0, confidence=0.5)
    """
    scores, lags_ms = np.asarray(scores, np.float64), np.asarray(lags_ms, np.float64)
    if scores.ndim != 1 or len(scores) < 3 or scores.shape != lags_ms.shape:
        raise ValueError(
            f"`scores` and `lags_ms` must be [L] with L >= 3, but have the shapes {scores.shape} and {lags_ms.shape}."
        )
    if not np.isfinite(scores).all():
        raise ValueError("`scores` must be finite, but it contains NaN or infinity.")
    best = int(scores.argmax())
    return LipSync(float(lags_ms[best]), float(scores[best] - np.median(scores)))


def syncnet_scores(lips: np.ndarray, sound: np.ndarray, *, max_shift: int = SYNCNET_MAX_SHIFT) -> SyncNetScores:
    """LSE-C and LSE-D (Chung and Zisserman 2016; Prajwal et al. 2020) from SyncNet embeddings.

    Args:
        lips: embeddings ``[F, D]`` of windows of mouth pictures, one per video frame.
        sound: embeddings ``[F, D]`` of the windows of sound at the same times.
        max_shift: largest shift tried in either direction, in video frames.

    Returns:
        For each shift s, the mean over f of ``|lips[f] - sound[f + s]|`` (zero vectors beyond the ends, as published);
        LSE-D is the smallest, LSE-C the median minus the smallest.

    Raises:
        ValueError: for shapes that differ, or no frame.

    >>> moved = np.eye(4)
    >>> syncnet_scores(moved[:3], moved[1:], max_shift=1).offset_frames
    -1
    """
    lips, sound = np.asarray(lips, np.float64), np.asarray(sound, np.float64)
    if lips.ndim != 2 or lips.shape != sound.shape or len(lips) == 0:
        raise ValueError(f"`lips` and `sound` must both be [F, D], F >= 1, but got {lips.shape} and {sound.shape}.")
    padded = np.pad(sound, ((max_shift, max_shift), (0, 0)))
    distances = np.array(
        [
            np.linalg.norm(lips - padded[shift : shift + len(lips)] + _PAIRWISE_EPSILON, axis=1).mean()
            for shift in range(2 * max_shift + 1)
        ]
    )
    best = int(distances.argmin())
    return SyncNetScores(best - max_shift, float(np.median(distances) - distances[best]), float(distances[best]))
