"""Adapters for one person: which layers get one, and how it is written."""

import re
from pathlib import Path

import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict
from torch import nn

from iap_pipelines.models.transformer_iap import IAPTransformer3DModel
from iap_pipelines.pipelines.fingerprint import LEARNED_ON, model_fingerprint
from iap_pipelines.pipelines.pipeline_iap import IAPPipeline
from iap_pipelines.training.config import LoraSettings
from iap_pipelines.training.training_model import IAPTrainingModel


_LAYER = re.compile(r"blocks\.(?P<layer>\d+)\.(?P<tower>video|audio)\.(?P<own>identity\.)?(?P<projection>.+)")


def add_adapter(model: IAPTrainingModel, settings: LoraSettings, seed: int) -> None:
    """
    Give a model an adapter that changes nothing yet.

    Args:
        model: gets the adapter, and acts with it from now on as `settings.binding` says.
        settings: see [`LoraSettings`].
        seed: of its weights.

    Raises:
        ValueError: if `projections` names layers that are not there, or that references do not pass.
    """
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=adapted_layers(model.transformer, settings),
        init_lora_weights="gaussian",
        auto_mapping={"base_model_class": type(model.transformer).__name__, "binding": settings.binding},
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model.transformer.add_adapter(config, settings.name)
    if settings.binding == "references":
        model.reference_adapter = settings.name
        for layer in model.transformer.modules():
            if isinstance(layer, BaseTunerLayer):
                layer._active_adapter = []  # as `only_adapters`, for good


def adapted_layers(transformer: IAPTransformer3DModel, settings: LoraSettings) -> list[str]:
    """
    Names of the linear layers that get adapters.

    Args:
        transformer: whose layers.
        settings: towers and projections; with `binding: references`, only layers that reference tokens pass.
    """
    chosen, found = [], set()
    for name, module in transformer.named_modules():
        match = _LAYER.fullmatch(name)
        if match is None or not isinstance(module, nn.Linear) or match["tower"] not in settings.towers:
            continue
        if match["projection"] not in settings.projections:
            continue
        if settings.binding == "references" and not _is_passed_by_references(transformer, match):
            continue
        chosen.append(name)
        found.add(match["projection"])
    missing = sorted(set(settings.projections) - found)
    if missing:
        which = "layers that references pass" if settings.binding == "references" else "layers"
        raise ValueError(
            f"`projections` names {missing}, but the towers {list(settings.towers)} have no such {which}."
        )
    return chosen


def _is_passed_by_references(transformer: IAPTransformer3DModel, match: re.Match) -> bool:
    has_own_weights = transformer.config.identity_weights[match["tower"]] == "separate"
    if bool(match["own"]) != has_own_weights:
        return False
    if int(match["layer"]) == transformer.config.num_layers - 1:  # where only their keys and values are read
        return match["projection"] in ("attn1.to_k", "attn1.to_v")
    return not match["projection"].startswith("attn2.")


@torch.no_grad()
def apply_audio_weight(model: IAPTrainingModel, settings: LoraSettings) -> None:
    """
    Multiply the audio tower's part of an adapter by `settings.audio_weight`, in place.

    Args:
        model: that has the adapter.
        settings: of the adapter.
    """
    for name, parameter in model.transformer.named_parameters():
        if f".lora_B.{settings.name}." in name and ".audio." in name:
            parameter.mul_(settings.audio_weight)


def save_adapter(transformer: IAPTransformer3DModel, settings: LoraSettings, folder: Path) -> None:
    """
    Write an adapter as `IAPPipeline.load_lora_weights` takes it.

    Args:
        transformer: that has the adapter.
        settings: of the adapter.
        folder: for `pytorch_lora_weights.safetensors`.
    """
    weights = get_peft_model_state_dict(transformer, adapter_name=settings.name)
    dtype = getattr(torch, settings.dtype)
    metadata = transformer.peft_config[settings.name].to_dict()
    metadata["target_modules"] = sorted(metadata["target_modules"])  # a set, which JSON does not know
    metadata["auto_mapping"] = metadata["auto_mapping"] | {LEARNED_ON: model_fingerprint(transformer)}
    IAPPipeline.save_lora_weights(
        folder,
        transformer_lora_layers={name: tensor.cpu().to(dtype) for name, tensor in weights.items()},
        transformer_lora_adapter_metadata=metadata,
    )
