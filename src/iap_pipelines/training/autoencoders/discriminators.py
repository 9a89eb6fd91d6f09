"""A small critic of waveforms: it looks at spectrograms, and at the wave folded by several periods.

Spectrograms judge noise and formants (https://arxiv.org/abs/2106.07889), folded waves judge pitch and phase
(https://arxiv.org/abs/2010.05646). Both are much narrower here than published: they share a CPU with the vocoder.
Letters: B batch, N samples, P period, K bins, T spectrogram frames.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from iap_pipelines.training.autoencoders.losses import LOG_FLOOR, magnitude_spectrum


_SPECTRAL_STRIDES = ((2, 1), (2, 2), (2, 1))
_PERIODIC_STRIDES = ((3, 1), (3, 1), (3, 1), (3, 1))


class Judgement(NamedTuple):
    """Scores ``[B, 1, …]`` of each part (1 is real, 0 is made), and the features of all their layers."""

    scores: list[Tensor]
    features: list[Tensor]


class _Layers(nn.Module):
    """2-D convolutions with leaky rectifiers; keeps what each of them makes."""

    def __init__(self, channels: int, kernel_size: tuple[int, int], strides: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        padding = (kernel_size[0] // 2, kernel_size[1] // 2)
        widths = [1] + [min(channels * 2**index, 4 * channels) for index in range(len(strides))]
        self.convolutions = nn.ModuleList(
            nn.utils.parametrizations.weight_norm(nn.Conv2d(before, after, kernel_size, stride, padding))
            for before, after, stride in zip(widths[:-1], widths[1:], strides, strict=True)
        )
        self.score = nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = []
        for convolution in self.convolutions:
            hidden_states = F.leaky_relu(convolution(hidden_states), 0.1)
            features.append(hidden_states)
        return self.score(hidden_states), features


class WaveformDiscriminator(nn.Module):
    """
    Judges pieces of a waveform.

    Args:
        channels: width of the first layers; later ones have up to four times as many.
        window_lengths: one part per spectrogram resolution, in samples.
        periods: one part per folding, in samples.
    """

    def __init__(
        self, channels: int, window_lengths: Sequence[int] = (512,), periods: Sequence[int] = (2, 3, 5, 7)
    ) -> None:
        super().__init__()
        self.window_lengths, self.periods = tuple(window_lengths), tuple(periods)
        self.spectral = nn.ModuleList(_Layers(channels, (5, 3), _SPECTRAL_STRIDES) for _ in self.window_lengths)
        self.periodic = nn.ModuleList(_Layers(channels, (5, 1), _PERIODIC_STRIDES) for _ in self.periods)

    def forward(self, waveform: Tensor) -> Judgement:
        """
        Args:
            waveform: ``[B, N]`` in [-1, 1].
        """
        scores, features = [], []
        for picture, layers in [*self._spectrograms(waveform), *self._foldings(waveform)]:
            score, kept = layers(picture)
            scores.append(score)
            features += kept
        return Judgement(scores, features)

    def _spectrograms(self, waveform: Tensor) -> list[tuple[Tensor, nn.Module]]:
        pictures = [magnitude_spectrum(waveform, length).clamp(min=LOG_FLOOR).log() for length in self.window_lengths]
        return [(picture[:, None], layers) for picture, layers in zip(pictures, self.spectral, strict=True)]

    def _foldings(self, waveform: Tensor) -> list[tuple[Tensor, nn.Module]]:
        pictures = []
        for period in self.periods:
            spare = waveform.shape[-1] % period
            folded = waveform[..., : waveform.shape[-1] - spare].unflatten(-1, (-1, period))  # [B, N / P, P]
            pictures.append(folded[:, None])
        return list(zip(pictures, self.periodic, strict=True))
