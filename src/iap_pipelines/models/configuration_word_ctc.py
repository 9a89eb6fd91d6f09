# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""Configuration of [`WordForCTC`]."""

from transformers import PreTrainedConfig


class WordCTCConfig(PreTrainedConfig):
    r"""
    Configuration of a [`WordForCTC`]. `id2label` names the words; label 0 is the blank of CTC.

    Args:
        num_mel_bins (`int`, defaults to `80`):
            Bands of the log-mel spectrogram.
        hidden_size (`int`, defaults to `96`):
            Channels of the layers.
        num_layers (`int`, defaults to `3`):
            Residual layers behind the two that each halve the number of frames.

    Example:
        >>> WordCTCConfig(id2label={0: "", 1: "red", 2: "blue"}).num_labels
        3
    """

    model_type = "word_ctc"

    num_mel_bins: int = 80
    hidden_size: int = 96
    num_layers: int = 3
