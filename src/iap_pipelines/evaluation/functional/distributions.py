"""How far generated clips are from real ones as a whole: FID, FVD and FAD are one formula on different features."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance

from iap_pipelines.evaluation.functional.intervals import CONFIDENCE_LEVEL, Interval


MIN_SAMPLES = 2
NUM_DRAWS = 200
"""Of the interval of a distance; each costs a singular value decomposition."""


class _Features(torch.nn.Module):
    """Features that were extracted before, handed through."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """Fréchet distance of two Gaussians fitted to features (torchmetrics' computation, double precision).

    FID with features of frames, FVD with features of clips, FAD with features of sound. It falls with the number of
    samples: compare only values of equally many, and from the same extractor.

    Args:
        real: features of real samples ``[N, D]``, N >= 2.
        generated: features of generated samples ``[M, D]``, M >= 2.

    Returns:
        Squared distance of means plus the trace term, in squared units of the features; 0 and above, lower is better.

    Raises:
        ValueError: for other shapes, or values that are not finite.

    >>> features = np.array([[0.0], [2.0]])
    >>> round(frechet_distance(features, features + 3), 6)
    9.0
    """
    real, generated = np.asarray(real, np.float64), np.asarray(generated, np.float64)
    for name, features in (("real", real), ("generated", generated)):
        if features.ndim != 2 or len(features) < MIN_SAMPLES or features.shape[1] != real.shape[-1]:
            raise ValueError(f"`{name}` must be features [N, D] of N >= 2 samples, but got {features.shape}.")
        if not np.isfinite(features).all():
            raise ValueError(f"`{name}` must be finite, but it contains NaN or infinity.")
    metric = FrechetInceptionDistance(feature=_Features(real.shape[1]))
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(generated), real=False)
    return max(0.0, float(metric.compute()))


def bootstrap_frechet(real: Sequence[np.ndarray], generated: Sequence[np.ndarray], *, seed: int) -> Interval:
    """`frechet_distance` with a percentile bootstrap interval, whole clips of each side drawn with replacement.

    A draw repeats some clips and misses others, which makes distances larger by itself. So the draws are shifted until
    their mean is the distance.

    Args:
        real: features of each real clip ``[n, D]``.
        generated: features of each generated clip ``[m, D]``.
        seed: of the draws.

    Returns:
        The distance and the ends of its 95 % interval, 0 and above; ``None`` for the ends with a single clip.

    >>> clips = [np.array([[0.0]]), np.array([[2.0]]), np.array([[4.0]])]
    >>> found = bootstrap_frechet(clips, [clip + 10 for clip in clips], seed=0)
    >>> round(found.value), found.low < 100 < found.high
    (100, True)
    """
    value = frechet_distance(np.concatenate(real), np.concatenate(generated))
    if min(len(real), len(generated)) < 2:
        return Interval(value, None, None)
    generator = np.random.default_rng(seed)
    draws = np.array([_distance(_draw(real, generator), _draw(generated, generator)) for _ in range(NUM_DRAWS)])
    tail = (1 - CONFIDENCE_LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail]) - draws.mean() + value
    return Interval(value, max(0.0, float(low)), float(high))


def _draw(clips: Sequence[np.ndarray], generator: np.random.Generator) -> np.ndarray:
    chosen = generator.integers(len(clips), size=len(clips))
    return np.concatenate([clips[index] for index in chosen]).astype(np.float64)


def _distance(real: np.ndarray, generated: np.ndarray) -> float:
    """The same number as `frechet_distance`, without a matrix of D x D where there are fewer samples.

    With centred features A and B, each over the root of its degrees of freedom, the eigenvalues of the product of the
    covariances are the squared singular values of A B'.
    """
    first, second = (_triangle(features) for features in (real, generated))
    shared = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    means = real.mean(axis=0) - generated.mean(axis=0)
    return float(means @ means + (first**2).sum() + (second**2).sum() - 2 * shared)


def _triangle(features: np.ndarray) -> np.ndarray:
    """A matrix with the covariance ``R' R`` of the features and at most D rows."""
    centred = (features - features.mean(axis=0)) / np.sqrt(max(len(features) - 1, 1))
    return np.linalg.qr(centred, mode="r") if len(centred) > centred.shape[1] else centred
