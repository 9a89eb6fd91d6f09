# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""Configuration of [`FaceIdentityEncoder`]."""

from transformers import PreTrainedConfig


class FaceIdentityConfig(PreTrainedConfig):
    r"""
    Configuration of a [`FaceIdentityEncoder`].

    Args:
        image_size (`tuple[int, int]`, defaults to `(96, 80)`):
            Height and width that pictures are scaled to before the first layer.
        stem_size (`int`, defaults to `32`):
            Channels after the stem.
        hidden_sizes (`tuple[int]`, defaults to `(32, 64, 128)`):
            Channels of the stages; each after the first halves height and width.
        depths (`tuple[int]`, defaults to `(1, 1, 1)`):
            Residual layers per stage.
        embedding_size (`int`, defaults to `128`):
            Channels D of the embedding.

    Example:
        >>> FaceIdentityConfig(embedding_size=64).embedding_size
        64
    """

    model_type = "face_identity"

    image_size: tuple[int, int] | list[int] = (96, 80)
    stem_size: int = 32
    hidden_sizes: tuple[int, ...] | list[int] = (32, 64, 128)
    depths: tuple[int, ...] | list[int] = (1, 1, 1)
    embedding_size: int = 128
