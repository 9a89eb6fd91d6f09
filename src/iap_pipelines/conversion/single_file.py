"""`IAPTransformer3DModel.from_single_file`: an official checkpoint loaded directly, without a converted folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from iap_pipelines.conversion.components import plan_transformer


class _LoadedCheckpoint:
    """A state dict that is in memory already."""

    path = Path("checkpoint")
    files = ()

    def __init__(self, state_dict: Mapping[str, Tensor]) -> None:
        self.layout = {key: tensor.to("meta") for key, tensor in state_dict.items()}
        self._state_dict = state_dict

    def read(self, key: str) -> Tensor:
        return self._state_dict[key]


def convert_iap_transformer_single_file(
    checkpoint: Mapping[str, Tensor], config: Mapping[str, Any], initialise_identity: bool = False, **kwargs: Any
) -> dict[str, Tensor]:
    """
    The mapping function that diffusers calls for `IAPTransformer3DModel.from_single_file(file, config=folder)`.

    Args:
        checkpoint: official state dict.
        config: configuration of the model that is being loaded.
        initialise_identity: pass it to `from_single_file` for a base checkpoint, see [`plan_transformer`].
        kwargs: what else diffusers hands to mapping functions.

    Returns:
        State dict of `IAPTransformer3DModel`, complete.

    Raises:
        ConversionError: a key is unknown, or one that the model needs is missing or of another shape.
    """
    plan = plan_transformer(_LoadedCheckpoint(checkpoint), initialise_identity=initialise_identity, config=config)
    plan.check()
    return dict(plan.tensors())
