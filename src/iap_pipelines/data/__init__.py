"""Training data: datasets of clips with known people, folders of them, their latents, conditions and batches."""

from typing import Any


_FROM_DATASETS = {"IdentityClips": "identity_clips", "identity_features": "features"}
"""Loaded when asked for: they need `datasets`, which training on latents does not."""


def __getattr__(name: str) -> Any:
    if name not in _FROM_DATASETS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_FROM_DATASETS[name]}"), name)
