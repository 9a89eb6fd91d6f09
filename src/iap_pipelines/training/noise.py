"""The random part of a training step: noise and noise levels of every sample and draw."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from iap_pipelines.data.training_dataset import TrainingSample
from iap_pipelines.training.config import FlowSettings, LogitNormalSigmas, UniformSigmas
from iap_pipelines.training.flow_matching import sample_logit_normal, sample_noise, sample_uniform, shift_sigma


class NoiseDraw(NamedTuple):
    """Noise and its levels for B samples with R draws each; `None` for a tower that does not run."""

    video: Tensor | None
    """`[B * R, C, F, h, w]`"""
    audio: Tensor | None
    """`[B * R, L, C_audio]`"""
    video_sigma: Tensor | None
    """`[B * R]`, 0 (clean) to 1 (noise)"""
    audio_sigma: Tensor | None
    """`[B * R]`"""


def draw_sigmas(num_draws: int, sigmas: LogitNormalSigmas | UniformSigmas, generator: np.random.Generator) -> Tensor:
    """Noise levels `[num_draws]`."""
    if isinstance(sigmas, UniformSigmas):
        drawn = sample_uniform(num_draws, generator)
    else:
        drawn = sample_logit_normal(num_draws, sigmas.mean, sigmas.std, generator)
    return shift_sigma(drawn, sigmas.shift)


def draw_noise(sample: TrainingSample, flow: FlowSettings, generator: np.random.Generator) -> NoiseDraw:
    """
    Noise one sample.

    Args:
        sample: whose shapes count.
        flow: distribution of noise levels; with both towers, `independent_times` of the draws have two levels.
        generator: decides everything.
    """
    num_draws = len(sample.audio if sample.video is None else sample.video)
    video_sigma = audio_sigma = draw_sigmas(num_draws, flow.sigmas, generator)
    if sample.video is not None and sample.audio is not None:
        own = draw_sigmas(num_draws, flow.sigmas, generator)
        is_independent = torch.from_numpy(generator.random(num_draws) < flow.independent_times)
        audio_sigma = torch.where(is_independent, own, video_sigma)
    return NoiseDraw(
        video=None if sample.video is None else sample_noise(sample.video.shape, generator),
        audio=None if sample.audio is None else sample_noise(sample.audio.shape, generator),
        video_sigma=None if sample.video is None else video_sigma,
        audio_sigma=None if sample.audio is None else audio_sigma,
    )


def stack_draws(draws: Sequence[NoiseDraw]) -> NoiseDraw:
    """Put the draws of several samples into one batch."""
    return NoiseDraw(*(None if field[0] is None else torch.cat(field) for field in zip(*draws, strict=True)))
