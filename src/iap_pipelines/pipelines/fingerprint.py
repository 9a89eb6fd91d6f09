"""Which model something belongs to: latents, keys and values, LoRA weights."""

import hashlib
import os

import torch
from diffusers.utils import logging

from iap_pipelines.identity_card import ModelReference


logger = logging.get_logger(__name__)


def model_fingerprint(transformer: torch.nn.Module) -> str | None:
    """
    Name the weights of a transformer, whatever their precision and wherever they were loaded from.

    It is a hash of the names, sizes and signs of the one-dimensional parameters (biases and norms). Signs survive
    every cast, and those parameters are neither quantised nor touched by LoRA; training moves them. Weights that only
    references use are left out, since a slim checkpoint lacks them.

    Returns:
        64 hexadecimal digits, or `None` while weights are on the meta device (sequential offload).
    """
    parameters = {
        name.replace(".base_layer", ""): parameter
        for name, parameter in transformer.named_parameters()
        if parameter.ndim == 1 and "lora_" not in name and "identity" not in name
    }
    digest = hashlib.sha256()
    for name, parameter in sorted(parameters.items()):
        if parameter.is_meta:
            return None
        digest.update(f"{name}:{parameter.numel()}:".encode())
        digest.update(parameter.detach().signbit().cpu().numpy().tobytes())
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
