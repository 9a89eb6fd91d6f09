"""Which parameters belong to which part of the model, and which of them learn."""

import logging
import re
from collections.abc import Collection

from torch import nn

from iap_pipelines.training.training_model import IAPTrainingModel


logger = logging.getLogger(__name__)

_PATTERNS = {
    "lora": re.compile(r"transformer\..*\.lora_[AB]\."),
    "text_encoder": re.compile(r"text_encoder\."),
    "video": re.compile(r"transformer\.(video_|blocks\.\d+\.video\.)"),
    "audio": re.compile(r"transformer\.(audio_|blocks\.\d+\.audio\.)"),
    "identity": re.compile(r"transformer\.identity_embedding\."),
}


def part_of(name: str) -> str:
    """
    The part that a parameter of [`IAPTrainingModel`] belongs to: `video`, `audio`, `identity`, `text_encoder`, `lora`.

    Raises:
        ValueError: for a name that belongs to no part.

    >>> part_of("transformer.blocks.3.audio.attn1.to_q.weight")
    'audio'
    """
    for part, pattern in _PATTERNS.items():
        if pattern.match(name):
            return part
    raise ValueError(f"`name` {name!r} belongs to no part of the model.")


def is_layer_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter is a matrix inside a layer of a tower: no embedding, head, table or adapter."""
    return "transformer.blocks." in name and parameter.ndim == 2 and part_of(name) != "lora"


def select_trainable(model: IAPTrainingModel, trainable: Collection[str]) -> dict[str, nn.Parameter]:
    """
    Let the parameters of some parts learn and freeze all others.

    Args:
        model: whose `requires_grad` flags are set.
        trainable: parts that learn.

    Returns:
        The parameters that learn, by name.
    """
    learning = {}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(part_of(name) in trainable)
        if parameter.requires_grad:
            learning[name] = parameter
    missing = sorted(set(trainable) - {part_of(name) for name in learning})
    if missing:
        logger.warning("`trainable` names %s, but this model has nothing of it that could learn.", missing)
    return learning
