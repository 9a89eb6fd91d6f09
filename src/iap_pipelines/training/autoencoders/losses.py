"""What a good reconstruction is. Pure functions; every result is a scalar mean, lower is better.

Letters: B batch, C channels, F frames, H height, W width, N samples, L latents.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


LOG_FLOOR = 1e-5
"""Magnitudes below this count as silence, as in the mel of the audio VAE."""


def pixel_difference(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """
    Mean absolute difference, each pixel as often as its weight says.

    Args:
        prediction: ``[B, C, F, H, W]``.
        target: the same shape.
        weight: ``[B, 1, F, H, W]``.
    """
    return ((prediction - target).abs() * weight).mean()


def edge_difference(prediction: Tensor, target: Tensor, num_scales: int, weight: Tensor) -> Tensor:
    """
    Mean absolute difference of horizontal and vertical image gradients, at full size and at each halving.

    A thin dark line costs little in pixels but much in gradients; summed over octaves this stands in for a perceptual
    loss, without a network to download.

    Args:
        prediction: ``[B, C, F, H, W]``.
        target: the same shape.
        num_scales: octaves, the first at full size.
        weight: ``[B, 1, F, H, W]``, how often each pixel counts.

    Returns:
        Mean over octaves, a scalar.
    """
    error = (prediction - target).transpose(1, 2).flatten(0, 1)  # gradients are linear: filter the difference once
    weight = weight.transpose(1, 2).flatten(0, 1)
    total = error.new_zeros(())
    for scale in range(num_scales):
        if scale:
            error, weight = F.avg_pool2d(error, 2), F.avg_pool2d(weight, 2)
        total = total + (error.diff(dim=-1).abs() * weight[..., 1:]).mean()
        total = total + (error.diff(dim=-2).abs() * weight[..., 1:, :]).mean()
    return total / num_scales


def motion_difference(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """
    Mean absolute difference of frame-to-frame changes; 0 for single frames.

    Args:
        prediction: ``[B, C, F, H, W]``.
        target: the same shape.
        weight: ``[B, 1, F, H, W]``, how often each pixel counts.
    """
    if prediction.shape[2] == 1:
        return prediction.new_zeros(())
    return ((prediction - target).diff(dim=2).abs() * weight[:, :, 1:]).mean()


def kl_divergence(mean: Tensor, logvar: Tensor) -> Tensor:
    """Mean over elements of the divergence of a normal posterior from the standard normal, in nats."""
    return 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).mean()


def moment_distance(latents: Tensor) -> Tensor:
    """
    Squared distance of each channel's mean from 0 and standard deviation from 1, over batch and time.

    Args:
        latents: ``[B, C, L]``.

    Returns:
        Mean over channels, a scalar.
    """
    channels = latents.transpose(0, 1).flatten(1)
    return (channels.mean(dim=1).square() + (channels.std(dim=1) - 1.0).square()).mean()


def magnitude_spectrum(waveform: Tensor, window_length: int) -> Tensor:
    """
    Magnitudes of a short-time Fourier transform, periodic Hann window, hop a quarter of it.

    Args:
        waveform: ``[B, N]``.
        window_length: samples.

    Returns:
        ``[B, window_length // 2 + 1, N // hop + 1]``.
    """
    window = torch.hann_window(window_length, dtype=waveform.dtype, device=waveform.device)
    spectrum = torch.stft(waveform, window_length, window_length // 4, window=window, return_complex=True)
    return torch.view_as_real(spectrum).square().sum(-1).add(1e-9).sqrt()  # the gradient of abs() at 0 is nan


def spectrum_difference(
    prediction: Tensor, target: Tensor, window_lengths: Sequence[int] = (256, 512, 1024)
) -> Tensor:
    """
    Spectral convergence plus difference of log magnitudes, at several resolutions (https://arxiv.org/abs/1910.11480).

    Args:
        prediction: ``[B, N]``.
        target: the same shape.
        window_lengths: samples; short windows see onsets, long ones pitch.

    Returns:
        Mean over resolutions, a scalar.
    """
    total = prediction.new_zeros(())
    for window_length in window_lengths:
        ours, theirs = magnitude_spectrum(prediction, window_length), magnitude_spectrum(target, window_length)
        convergence = torch.linalg.vector_norm(ours - theirs) / torch.linalg.vector_norm(theirs).clamp(min=LOG_FLOOR)
        logarithms = (ours.clamp(min=LOG_FLOOR).log() - theirs.clamp(min=LOG_FLOOR).log()).abs().mean()
        total = total + convergence + logarithms
    return total / len(window_lengths)


def discriminator_loss(real_scores: Sequence[Tensor], fake_scores: Sequence[Tensor]) -> Tensor:
    """Least squares: real pieces should score 1, made ones 0. Mean over discriminators."""
    pairs = zip(real_scores, fake_scores, strict=True)
    return torch.stack([(real - 1).square().mean() + fake.square().mean() for real, fake in pairs]).mean()


def adversarial_loss(fake_scores: Sequence[Tensor]) -> Tensor:
    """Least squares: made pieces should score 1. Mean over discriminators."""
    return torch.stack([(fake - 1).square().mean() for fake in fake_scores]).mean()


def feature_difference(real_features: Sequence[Tensor], fake_features: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of a discriminator's features, each layer relative to the size of its real features."""
    terms = [
        (real.detach() - fake).abs().mean() / real.detach().abs().mean().clamp(min=LOG_FLOOR)
        for real, fake in zip(real_features, fake_features, strict=True)
    ]
    return torch.stack(terms).mean()


def peak_signal_to_noise(prediction: Tensor, target: Tensor, peak_to_peak: float = 2.0) -> Tensor:
    """
    Peak signal-to-noise ratio; higher is better.

    Args:
        prediction: any shape.
        target: the same shape.
        peak_to_peak: distance of the largest from the smallest possible value, 2 for [-1, 1].

    Returns:
        Decibels, a scalar.

    >>> float(peak_signal_to_noise(torch.zeros(4), torch.full((4,), 0.2)).round())
    20.0
    """
    return 10 * torch.log10(peak_to_peak**2 / (prediction - target).square().mean().clamp(min=1e-12))
