# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""`VoiceIdentityEncoder`: the log-mel spectrogram of a voice to a unit vector, for scoring and linking.

It is trained apart from every generator that it scores. Letters: B recordings, T mel frames, M mel bands, C channels
of the layers, D channels of an embedding.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from .configuration_voice_identity import VoiceIdentityConfig


@dataclass
class VoiceIdentityOutput(ModelOutput):
    """
    Args:
        embeddings: `[B, D]` of length 1; the cosine of two is the similarity of two voices.
    """

    embeddings: Tensor | None = None


class VoiceIdentityLayer(nn.Module):
    """A convolution over time around which its input goes too. Padding stays zero."""

    def __init__(self, hidden_size: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(hidden_size, hidden_size, 3, padding=dilation, dilation=dilation)
        self.norm = nn.BatchNorm1d(hidden_size)

    def forward(self, hidden_states: Tensor, mask: Tensor) -> Tensor:
        return hidden_states + F.relu(self.norm(self.conv(hidden_states))) * mask


class VoiceIdentityEncoder(PreTrainedModel):
    r"""
    Tells who speaks: recordings of one voice lie close together, those of different voices far apart.

    Convolutions over time, then mean and deviation of every channel over the frames that it attends to (attentive
    statistics pooling, https://arxiv.org/abs/1803.10963), projection to the unit sphere.

    Args:
        config ([`VoiceIdentityConfig`]):
            Sizes.

    Example:
        >>> encoder = VoiceIdentityEncoder(VoiceIdentityConfig(embedding_size=16)).eval()
        >>> encoder(torch.zeros(2, 125, 80)).embeddings.shape
        torch.Size([2, 16])
    """

    config_class = VoiceIdentityConfig
    base_model_prefix = "voice_identity"
    main_input_name = "input_features"
    input_modalities = ("audio",)

    def __init__(self, config: VoiceIdentityConfig) -> None:
        super().__init__(config)
        self.norm_in = nn.BatchNorm1d(config.num_mel_bins)
        self.conv_in = nn.Conv1d(config.num_mel_bins, config.hidden_size, 5, padding=2)
        self.layers = nn.ModuleList(VoiceIdentityLayer(config.hidden_size, dilation) for dilation in config.dilations)
        self.attention = nn.Conv1d(config.hidden_size, config.hidden_size, 1)
        self.projection = nn.Linear(2 * config.hidden_size, config.embedding_size)
        self.post_init()

    def forward(
        self, input_features: Tensor, attention_mask: Tensor | None = None, return_dict: bool = True
    ) -> VoiceIdentityOutput | tuple[Tensor]:
        """
        Embed recordings.

        Args:
            input_features: log-mel spectrograms `[B, T, M]`, as [`LogMelFeatureExtractor`] makes them.
            attention_mask: `[B, T]`, 0 on padding; `None` where nothing is padding.
            return_dict: whether to return a [`VoiceIdentityOutput`] or a plain tuple.

        Returns:
            Embeddings `[B, D]` of length 1.

        Raises:
            ValueError: for another shape.
        """
        if input_features.ndim != 3 or input_features.shape[-1] != self.config.num_mel_bins:
            raise ValueError(
                f"`input_features` must have the shape [B, T, {self.config.num_mel_bins}], got "
                f"{list(input_features.shape)}."
            )
        if attention_mask is None:
            attention_mask = input_features.new_ones(input_features.shape[:2])
        mask = attention_mask[:, None].to(input_features.dtype)
        hidden_states = self.norm_in(input_features.transpose(1, 2)) * mask
        hidden_states = F.relu(self.conv_in(hidden_states)) * mask
        for layer in self.layers:
            hidden_states = layer(hidden_states, mask)
        embeddings = F.normalize(self.projection(self._pool(hidden_states, mask)), dim=-1)
        return VoiceIdentityOutput(embeddings=embeddings) if return_dict else (embeddings,)

    def _pool(self, hidden_states: Tensor, mask: Tensor) -> Tensor:
        """`[B, C, T]` to mean and deviation `[B, 2 C]` under each channel's own weights over time."""
        scores = self.attention(hidden_states).masked_fill(mask == 0, torch.finfo(hidden_states.dtype).min)
        weights = scores.softmax(dim=-1)
        mean = (weights * hidden_states).sum(dim=-1)
        variance = (weights * (hidden_states - mean[..., None]).square()).sum(dim=-1)
        return torch.cat([mean, (variance + 1e-5).sqrt()], dim=1)
