"""LoRA adapters of the transformer: load, save, combine, fuse."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.loaders.lora_base import LoraBaseMixin, _fetch_state_dict
from huggingface_hub.utils import validate_hf_hub_args
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from iap_pipelines.pipelines.fingerprint import check_adapter


class IAPLoraLoaderMixin(LoraBaseMixin):
    """Load LoRA layers into [`IAPTransformer3DModel`]. Specific to [`IAPPipeline`]."""

    _lora_loadable_modules = ["transformer"]
    transformer_name = "transformer"

    @classmethod
    @validate_hf_hub_args
    def lora_state_dict(
        cls,
        pretrained_model_name_or_path_or_dict: str | os.PathLike | dict[str, Tensor],
        *,
        weight_name: str | None = None,
        return_lora_metadata: bool = False,
        **hub_kwargs: Any,
    ) -> dict[str, Tensor] | tuple[dict[str, Tensor], dict[str, Any] | None]:
        """
        Read LoRA weights without loading them. Only safetensors files are read.

        Args:
            pretrained_model_name_or_path_or_dict: a repository, a folder, a file, or a state dict.
            weight_name: file to read in a repository or folder.
            return_lora_metadata: also return the adapter's configuration.
            hub_kwargs: `cache_dir`, `force_download`, `proxies`, `local_files_only`, `token`, `revision`, `subfolder`.
        """
        defaults = dict.fromkeys(
            ("cache_dir", "force_download", "proxies", "local_files_only", "token", "revision", "subfolder")
        )
        unknown = set(hub_kwargs) - set(defaults)
        if unknown:
            raise TypeError(f"`lora_state_dict` got unexpected arguments {sorted(unknown)}.")
        state_dict, metadata = _fetch_state_dict(
            pretrained_model_name_or_path_or_dict=pretrained_model_name_or_path_or_dict,
            weight_name=weight_name,
            use_safetensors=True,
            user_agent={"file_type": "attn_procs_weights", "framework": "pytorch"},
            allow_pickle=False,
            **(defaults | hub_kwargs),
        )
        return (state_dict, metadata) if return_lora_metadata else state_dict

    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: str | os.PathLike | dict[str, Tensor],
        adapter_name: str | None = None,
        hotswap: bool = False,
        low_cpu_mem_usage: bool = True,
        **kwargs: Any,
    ) -> None:
        """
        Load LoRA weights into the transformer.

        Args:
            pretrained_model_name_or_path_or_dict: see [`lora_state_dict`].
            adapter_name: name to give the adapter; `default_{i}` if `None`.
            hotswap: replace the weights of the adapter of that name in place.
            low_cpu_mem_usage: load without first initialising random LoRA weights.
            kwargs: see [`lora_state_dict`].

        Raises:
            ValueError: these are no LoRA weights, or they say that they were learned on another model.
        """
        state_dict, metadata = self.lora_state_dict(
            pretrained_model_name_or_path_or_dict, return_lora_metadata=True, **kwargs
        )
        foreign = [key for key in state_dict if "lora" not in key]
        if foreign:
            raise ValueError(f"Invalid LoRA checkpoint: keys without 'lora' in their name, such as {foreign[:3]}.")
        check_adapter(metadata, self.transformer, self.transformer_name)
        self.transformer.load_lora_adapter(
            state_dict,
            network_alphas=None,
            adapter_name=adapter_name,
            metadata=metadata,
            _pipeline=self,
            low_cpu_mem_usage=low_cpu_mem_usage,
            hotswap=hotswap,
        )

    @classmethod
    def save_lora_weights(
        cls,
        save_directory: str | os.PathLike,
        transformer_lora_layers: dict[str, torch.nn.Module | Tensor] | None = None,
        is_main_process: bool = True,
        weight_name: str | None = None,
        save_function: Callable | None = None,
        safe_serialization: bool = True,
        transformer_lora_adapter_metadata: dict[str, Any] | None = None,
    ) -> None:
        """
        Write LoRA weights as safetensors.

        Args:
            save_directory: where to.
            transformer_lora_layers: state dict of the adapter, as `get_peft_model_state_dict` gives it.
            is_main_process: whether this process writes.
            weight_name: file name; `pytorch_lora_weights.safetensors` if `None`.
            save_function: replaces the default writer.
            safe_serialization: must be `True`; this project writes no pickles.
            transformer_lora_adapter_metadata: the adapter's configuration, stored beside the weights.
        """
        if not safe_serialization:
            raise ValueError("`safe_serialization=False` would write a pickle; only safetensors files are written.")
        cls._save_lora_weights(
            save_directory=save_directory,
            lora_layers={cls.transformer_name: transformer_lora_layers},
            lora_metadata={cls.transformer_name: transformer_lora_adapter_metadata},
            is_main_process=is_main_process,
            weight_name=weight_name,
            save_function=save_function,
            safe_serialization=safe_serialization,
        )

    def fuse_lora(
        self,
        components: tuple[str, ...] | list[str] = ("transformer",),
        lora_scale: float = 1.0,
        safe_fusing: bool = False,
        adapter_names: list[str] | None = None,
    ) -> None:
        """
        Add the adapters to the weights, which makes them free to run.

        Args:
            components: which components to fuse.
            lora_scale: how strongly.
            safe_fusing: refuse to fuse weights that would become NaN.
            adapter_names: which adapters; all active ones if `None`.
        """
        super().fuse_lora(
            components=list(components), lora_scale=lora_scale, safe_fusing=safe_fusing, adapter_names=adapter_names
        )

    def unfuse_lora(self, components: tuple[str, ...] | list[str] = ("transformer",)) -> None:
        """Undo `fuse_lora` on `components`."""
        super().unfuse_lora(components=list(components))


def active_adapters(model: nn.Module) -> list[str]:
    """Names of the adapters that act, in the order in which they were activated; none while they are disabled."""
    layers = (module for module in model.modules() if isinstance(module, BaseTunerLayer))
    return list(
        dict.fromkeys(name for layer in layers if not layer.disable_adapters for name in layer.active_adapters)
    )


@contextmanager
def only_adapters(model: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """
    Inside, exactly these adapters act, each with its own weight.

    `set_adapters` would also decide which parameters have gradients and reset the weights.
    """
    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    kept = [layer._active_adapter for layer in layers]
    try:
        for layer in layers:
            layer._active_adapter = list(names)
        yield
    finally:
        for layer, active in zip(layers, kept, strict=True):
            layer._active_adapter = active


def owned_adapters(model: nn.Module) -> set[str]:
    """Names of the adapters that were trained on somebody's references alone: they act only for a named owner."""
    configs = getattr(model, "peft_config", {})
    return {name for name, config in configs.items() if (config.auto_mapping or {}).get("binding") == "references"}


def fused_adapters(model: nn.Module) -> set[str]:
    """Names of the adapters that were added to the weights."""
    layers = (module for module in model.modules() if isinstance(module, BaseTunerLayer))
    return {name for layer in layers for name in layer.merged_adapters}
