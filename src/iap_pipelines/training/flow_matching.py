"""Flow matching: straight paths between clean latents and noise, and how noise levels are drawn.

A path runs from clean latents at sigma 0 to noise at sigma 1, `x(sigma) = (1 - sigma) x0 + sigma noise`; its velocity
`noise - x0` is what the model learns. Any point and its velocity give both ends back: `x0 = x - sigma v`, which is
what the scheduler of the pipeline does. The model is told the timestep `1000 sigma`.

B is the number of samples.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


NUM_TRAIN_TIMESTEPS = 1000
"""The timestep of pure noise."""


def add_noise(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """The point of each path at `sigma` `[B]`; `clean` and `noise` are `[B, ...]`."""
    sigma = _like(sigma, clean)
    return (1 - sigma) * clean + sigma * noise


def velocity(clean: Tensor, noise: Tensor) -> Tensor:
    """The direction from clean latents to noise, the same all along a path."""
    return noise - clean


def clean_from_velocity(sample: Tensor, velocity: Tensor, sigma: Tensor) -> Tensor:
    """Where a path through `sample` at `sigma` `[B]` begins: the model's estimate of the clean latents."""
    return sample - _like(sigma, sample) * velocity


def timestep(sigma: Tensor) -> Tensor:
    """What the model is told: 0 (clean) to 1000 (noise)."""
    return sigma * NUM_TRAIN_TIMESTEPS


def shift_sigma(sigma: Tensor, shift: float) -> Tensor:
    """
    Move noise levels in [0, 1] towards noise: `shift * s / (1 + (shift - 1) * s)` (arXiv 2403.03206, eq. 23).

    Args:
        sigma: any shape.
        shift: 1 changes nothing, larger is noisier. Must be positive.
    """
    return shift * sigma / (1 + (shift - 1) * sigma)


def sample_uniform(num_samples: int, generator: np.random.Generator) -> Tensor:
    """Noise levels `[num_samples]`, uniform in [0, 1)."""
    return torch.from_numpy(generator.random(num_samples, dtype=np.float32))


def sample_logit_normal(num_samples: int, mean: float, std: float, generator: np.random.Generator) -> Tensor:
    """Noise levels `[num_samples]` whose logit is normal: the middle of the path more often than its ends."""
    normal = torch.from_numpy(generator.standard_normal(num_samples, dtype=np.float32))
    return torch.sigmoid(mean + std * normal)


def sample_noise(shape: Sequence[int], generator: np.random.Generator) -> Tensor:
    """Standard normal noise of a shape."""
    return torch.from_numpy(generator.standard_normal(tuple(shape), dtype=np.float32))


def mean_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over everything but samples: `[B]`."""
    return (prediction.float() - target.float()).square().flatten(1).mean(dim=1)


def motion_error(prediction: Tensor, target: Tensor) -> Tensor:
    """
    Squared error of what changes over time: of the difference from each clip's mean over its frames.

    Args:
        prediction: `[B, C, F, h, w]`.
        target: `[B, C, F, h, w]`.

    Returns:
        `[B]`, 0 for single frames.
    """
    error = prediction.float() - target.float()
    return (error - error.mean(dim=2, keepdim=True)).square().flatten(1).mean(dim=1)


def euler_sigmas(num_steps: int, shift: float) -> Tensor:
    """Falling noise levels `[num_steps + 1]` from 1 to 0, shifted as in training."""
    return shift_sigma(torch.linspace(1, 0, num_steps + 1), shift)


def euler_step(sample: Tensor, velocity: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Walk along `velocity` from the noise level `sigmas[0]` to `sigmas[1]`."""
    return sample + (sigmas[1] - sigmas[0]) * velocity


def _like(sigma: Tensor, sample: Tensor) -> Tensor:
    return sigma.to(sample).reshape(-1, *[1] * (sample.ndim - 1))
