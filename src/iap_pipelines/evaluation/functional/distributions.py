"""How far generated clips are from real ones as a whole: FID, FVD and FAD are one formula on different features."""

import numpy as np
import torch
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance


MIN_SAMPLES = 2


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
