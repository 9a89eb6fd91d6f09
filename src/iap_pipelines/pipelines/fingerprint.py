"""Which model something belongs to: latents, keys and values, LoRA weights."""

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import torch
from diffusers.utils import logging

from iap_pipelines.identity_card import ModelReference
from iap_pipelines.provenance.digests import holds_weights


logger = logging.get_logger(__name__)

LEARNED_ON = "base_model_fingerprint"
"""Entry of an adapter's `auto_mapping` (which peft keeps as it is): the model that it was learned on."""


def model_fingerprint(transformer: torch.nn.Module) -> str | None:
    """
    Name the weights of a transformer, whatever their precision and wherever they were loaded from.

    It is a hash of the names, sizes and signs of the one-dimensional parameters (biases and norms). Signs survive
    every cast, and those parameters are neither quantised nor touched by LoRA; training moves them. Weights that only
    references use are left out, since a slim checkpoint lacks them.

    Returns:
        64 hexadecimal digits, or `None` while weights are on the meta device (sequential offload) or on disk (group
        offload to disk).
    """
    if not holds_weights(transformer):
        return None
    parameters = {
        name.replace(".base_layer", ""): parameter
        for name, parameter in transformer.named_parameters()
        if parameter.ndim == 1 and "lora_" not in name and "identity" not in name
    }
    digest = hashlib.sha256()
    for name, parameter in sorted(parameters.items()):
        digest.update(f"{name}:{parameter.numel()}:".encode())
        # In float32, since float8 (layerwise casting) has no such operation.
        digest.update(parameter.detach().float().signbit().cpu().numpy().tobytes())
    return digest.hexdigest()


def check_model(
    expected: ModelReference, transformer: torch.nn.Module, loaded_from: str | os.PathLike[str] | None, who: str
) -> None:
    """
    Refuse what was made for another model.

    Args:
        expected: the model that it was made for.
        transformer: of the pipeline that is to use it.
        loaded_from: repository or folder of that pipeline, if known.
        who: whom the message is about.

    Raises:
        ValueError: fingerprints differ, or names where a fingerprint is missing.
    """
    found = model_fingerprint(transformer) if expected.fingerprint else None
    if found:
        is_same = found == expected.fingerprint
    else:
        is_same = loaded_from is None or os.fspath(loaded_from) == expected.name
    if not is_same:
        revision = f" (revision {expected.revision})" if expected.revision else ""
        source = f" ({loaded_from})" if loaded_from else ""
        raise ValueError(
            f"{who} belongs to the model {expected.name!r}{revision}, but this pipeline has another one{source}. Load "
            "that model, or make a card of the references for this one."
        )
    if not found and loaded_from is None:
        logger.warning("%s belongs to the model %r; whether this is it cannot be told.", who, expected.name)


def check_adapter(metadata: Mapping[str, Any] | None, transformer: torch.nn.Module, component: str) -> None:
    """
    Refuse LoRA weights that were learned on another model; those that do not say on which are taken.

    Args:
        metadata: configuration that is stored with the weights, by dotted key.
        transformer: that is to get them.
        component: name of it in the keys of `metadata`.

    Raises:
        ValueError: fingerprints differ.
    """
    expected = ((metadata or {}).get(f"{component}.auto_mapping") or {}).get(LEARNED_ON)
    found = model_fingerprint(transformer) if expected else None
    if found and found != expected:
        raise ValueError(
            f"These LoRA weights were learned on another model (fingerprint {expected[:12]}) than this pipeline's "
            f"({found[:12]}). Load the model that their card names, or learn them again on this one."
        )
