# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""`LogMelFeatureExtractor`: waveforms to the log-mel spectrograms that the voice and word models read."""

from collections.abc import Sequence

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_mmaudio import MMAudioMelSpectrogram
from torch import Tensor
from transformers import BatchFeature, SequenceFeatureExtractor


class LogMelFeatureExtractor(SequenceFeatureExtractor):
    r"""
    Natural logarithm of mel magnitudes, the front end of the audio VAE (diffusers' `MMAudioMelSpectrogram`).

    Args:
        feature_size (`int`, defaults to `80`):
            Mel bands M.
        sampling_rate (`int`, defaults to `16000`):
            Samples per second.
        hop_length (`int`, defaults to `256`):
            Samples per frame.
        n_fft (`int`, defaults to `1024`):
            Samples per window.
        padding_value (`float`, defaults to `0.0`):
            What fills up shorter recordings.

    Example:
        >>> features = LogMelFeatureExtractor()([torch.zeros(32000), torch.zeros(16000)], sampling_rate=16000)
        >>> features.input_features.shape, features.attention_mask.sum(dim=1).tolist()
        (torch.Size([2, 125, 80]), [125, 62])
    """

    model_input_names = ["input_features", "attention_mask"]

    def __init__(
        self,
        feature_size: int = 80,
        sampling_rate: int = 16_000,
        hop_length: int = 256,
        n_fft: int = 1024,
        padding_value: float = 0.0,
        **kwargs,  # noqa: ANN003  (what transformers stores along)
    ) -> None:
        super().__init__(feature_size, sampling_rate, padding_value, **kwargs)
        self.hop_length = hop_length
        self.n_fft = n_fft

    def __call__(
        self, raw_speech: Tensor | np.ndarray | Sequence[Tensor | np.ndarray], *, sampling_rate: int
    ) -> BatchFeature:
        """
        Make the features of one or several recordings.

        Args:
            raw_speech: mono samples `[N]` in [-1, 1], or a list of them, of any lengths.
            sampling_rate: of the samples; must be that of the extractor.

        Returns:
            `input_features` `[B, T, M]` with T = N // hop_length of the longest, and `attention_mask` `[B, T]`.

        Raises:
            ValueError: for another rate, or a recording shorter than half a window.
        """
        if sampling_rate != self.sampling_rate:
            raise ValueError(
                f"`sampling_rate` must be {self.sampling_rate}, got {sampling_rate}: resample the sound first."
            )
        is_one = isinstance(raw_speech, Tensor | np.ndarray) and raw_speech.ndim == 1
        waveforms = [
            torch.as_tensor(samples, dtype=torch.float32) for samples in ([raw_speech] if is_one else raw_speech)
        ]
        shortest = min(len(waveform) for waveform in waveforms)
        if shortest <= self.n_fft // 2:
            raise ValueError(
                f"`raw_speech` has a recording of {shortest} samples, but more than {self.n_fft // 2} are needed."
            )
        spectrogram = MMAudioMelSpectrogram(self.sampling_rate, self.n_fft, self.feature_size, self.hop_length)
        features = [spectrogram(waveform[None])[0].T for waveform in waveforms]
        mask = [torch.ones(len(feature), dtype=torch.long) for feature in features]
        return BatchFeature(
            {
                "input_features": torch.nn.utils.rnn.pad_sequence(
                    features, batch_first=True, padding_value=self.padding_value
                ),
                "attention_mask": torch.nn.utils.rnn.pad_sequence(mask, batch_first=True),
            }
        )
