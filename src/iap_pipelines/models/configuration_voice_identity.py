# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""Configuration of [`VoiceIdentityEncoder`]."""

from transformers import PreTrainedConfig


class VoiceIdentityConfig(PreTrainedConfig):
    r"""
    Configuration of a [`VoiceIdentityEncoder`].

    Args:
        num_mel_bins (`int`, defaults to `80`):
            Bands of the log-mel spectrogram.
        hidden_size (`int`, defaults to `128`):
            Channels of the layers.
        dilations (`tuple[int]`, defaults to `(1, 2, 3, 4)`):
            Of the residual layers, in mel frames.
        embedding_size (`int`, defaults to `128`):
            Channels D of the embedding.

    Example:
        >>> VoiceIdentityConfig(embedding_size=64).embedding_size
        64
    """

    model_type = "voice_identity"

    num_mel_bins: int = 80
    hidden_size: int = 128
    dilations: tuple[int, ...] | list[int] = (1, 2, 3, 4)
    embedding_size: int = 128
