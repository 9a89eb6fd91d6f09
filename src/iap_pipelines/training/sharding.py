"""Tensors that may be spread over processes (FSDP2), and copies of a model that are not."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from iap_pipelines.training.training_model import IAPTrainingModel


def whole(tensor: Tensor) -> Tensor:
    """A sharded tensor put together, any other as it is. Every process has to call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def placed_like(tensor: Tensor, example: Tensor) -> Tensor:
    """A whole tensor on the device of `example`, and sharded as it is if it is."""
    if isinstance(example, DTensor):
        return distribute_tensor(tensor.to(example.device), example.device_mesh, example.placements)
    return tensor.to(example.device)


def move_to_device(value: object, device: torch.device) -> object:
    """Tensors of nested NamedTuples on another device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        return type(value)(*(move_to_device(entry, device) for entry in value))
    return value


def outline(model: IAPTrainingModel) -> IAPTrainingModel:
    """A copy without weights (they are on the meta device), to be taken before a model is sharded."""
    empty = {
        id(parameter): nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
        for parameter in model.parameters()
    }
    return copy.deepcopy(model, empty)


def fill_outline(outline: IAPTrainingModel, tensors: Mapping[str, Tensor], device: torch.device) -> IAPTrainingModel:
    """
    Give an outline weights.

    Args:
        outline: from [`outline`]; becomes the result.
        tensors: whole ones, by the names of `state_dict()`; they are shared, not copied.
        device: where the result shall be.
    """
    outline.load_state_dict({name: tensor.to(device) for name, tensor in tensors.items()}, assign=True)
    outline.text_encoder.tie_weights()  # its input embedding has two names, of which only one is averaged
    return outline
