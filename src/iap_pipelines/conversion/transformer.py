"""Names of the published dual tower in our transformer.

The published checkpoint holds every parameter twice over: each layer repeats most of its weights as `*_prime` for
identity tokens. Only the video tower reads its copies, and the last layer reads only those that make keys and values.
The rest is dead: 6.04 billion parameters never touched and 0.11 billion whose result is thrown away.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from iap_pipelines.conversion.key_map import KeyMap


_FIELDS = {"tower": "video|audio", "layer": r"\d+", "qkv": "[qkv]", "kv": "[kv]", "qk": "[qk]", "p": "weight|bias"}

_TOP_LEVEL = [
    ("video_model.patch_embedding.{p}", "video_patch_embedding.proj.{p}"),
    ("audio_model.patch_embedding.0.{p}", "audio_patch_embedding.proj.{p}"),
    ("audio_model.patch_embedding.2.w1.weight", "audio_patch_embedding.gate.weight"),
    ("audio_model.patch_embedding.2.w2.weight", "audio_patch_embedding.down.weight"),
    ("audio_model.patch_embedding.2.w3.weight", "audio_patch_embedding.up.weight"),
    ("{tower}_model.text_embedding.0.{p}", "{tower}_condition_embedder.text_embedder.linear_1.{p}"),
    ("{tower}_model.text_embedding.2.{p}", "{tower}_condition_embedder.text_embedder.linear_2.{p}"),
    ("{tower}_model.time_embedding.0.{p}", "{tower}_condition_embedder.time_embedder.linear_1.{p}"),
    ("{tower}_model.time_embedding.2.{p}", "{tower}_condition_embedder.time_embedder.linear_2.{p}"),
    ("{tower}_model.time_projection.1.{p}", "{tower}_condition_embedder.time_proj.{p}"),
    ("{tower}_model.head.modulation", "{tower}_head.modulation.scale_shift_table"),
    ("{tower}_model.head.head.{p}", "{tower}_head.proj_out.{p}"),
]
# `@` is nothing for target tokens and `_prime` for identity tokens.
_STREAM = [
    ("modulation@", "modulation.scale_shift_table"),
    ("self_attn.{qkv}@.{p}", "attn1.to_{qkv}.{p}"),
    ("self_attn.o@.{p}", "attn1.to_out.0.{p}"),
    ("self_attn.norm_{qk}@.weight", "attn1.norm_{qk}.weight"),
    ("ffn@.0.{p}", "ffn.net.0.proj.{p}"),
    ("ffn@.2.{p}", "ffn.net.2.{p}"),
]
_CROSS = [
    ("norm3@.{p}", "norm2.{p}"),
    ("cross_attn@.{qkv}.{p}", "attn2.to_{qkv}.{p}"),
    ("cross_attn@.o.{p}", "attn2.to_out.0.{p}"),
    ("cross_attn@.norm_{qk}.weight", "attn2.norm_{qk}.weight"),
]
_FUSION = [
    ("cross_attn.{kv}_fusion.{p}", "attn2.add_{kv}_proj.{p}"),
    ("cross_attn.pre_attn_norm_fusion.{p}", "attn2.norm_added.{p}"),
    ("cross_attn.norm_k_fusion.weight", "attn2.norm_added_k.weight"),
]
_LAST_LAYER_IDENTITY = ("modulation.", "attn1.to_k.", "attn1.to_v.", "attn1.norm_k.")


def _in_blocks(rules: list[tuple[str, str]], mark: str, tower: str, ours: str) -> list[tuple[str, str]]:
    prefix = f"{tower}_model.blocks.{{layer}}."
    return [(prefix + official.replace("@", mark), ours + name) for official, name in rules]


_KEYS = KeyMap(
    _TOP_LEVEL
    + _in_blocks(_STREAM + _CROSS + _FUSION, "", "{tower}", "blocks.{layer}.{tower}.")
    + _in_blocks(_STREAM, "_prime", "video", "blocks.{layer}.video.identity."),
    _FIELDS,
)
_DEAD_KEYS = KeyMap(
    _in_blocks(_CROSS, "_prime", "{tower}", "{layer}.{tower}.")
    + _in_blocks(_STREAM, "_prime", "audio", "{layer}.audio."),
    _FIELDS,
)


def transformer_key(official_key: str, num_layers: int) -> str | None:
    """
    Our name of one official parameter.

    Args:
        official_key: name in the published checkpoint, such as `video_model.blocks.0.self_attn.q_prime.weight`. The
            base model wraps the modulation of a block once more (`modulation.modulation`); that name is known too.
        num_layers: layers of the checkpoint; the last one's identity stream is smaller.

    Returns:
        Our name, or `None` if the published model never reads this parameter, or reads it without effect.

    Raises:
        KeyError: the name is not one the published model has.
    """
    official_key = unwrapped_key(official_key)
    try:
        ours = _KEYS.to_ours(official_key)
    except KeyError:
        _DEAD_KEYS.to_ours(official_key)
        return None
    last_identity = f"blocks.{num_layers - 1}.video.identity."
    if ours.startswith(last_identity) and not ours.removeprefix(last_identity).startswith(_LAST_LAYER_IDENTITY):
        return None
    return ours


def unwrapped_key(official_key: str) -> str:
    """The name without the extra `.modulation` that base checkpoints give the modulation of their blocks."""
    is_wrapped = ".blocks." in official_key and official_key.endswith(".modulation.modulation")
    return official_key.removesuffix(".modulation") if is_wrapped else official_key


def official_transformer_key(our_key: str) -> str:
    """The official name of one of our parameters. Raises `KeyError` if there is none."""
    return _KEYS.to_official(our_key)


def base_transformer_key(our_key: str) -> str | None:
    """
    The official parameter that an identity parameter is a copy of before training; `None` for every other parameter.
    """
    return official_transformer_key(our_key.replace(".identity.", ".")) if ".identity." in our_key else None


def transformer_value(our_key: str, value: Tensor, num_layers: int) -> Tensor:
    """The tensor to store under `our_key`: the last identity stream keeps shift and scale of its attention only."""
    if our_key == f"blocks.{num_layers - 1}.video.identity.modulation.scale_shift_table":
        return value[:, :2].clone()
    return value


def convert_transformer_state_dict(state_dict: Mapping[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    """Convert a whole official state dict held in memory; see [`transformer_key`]."""
    converted = {}
    for official_key, value in state_dict.items():
        key = transformer_key(official_key, num_layers)
        if key is not None:
            converted[key] = transformer_value(key, value, num_layers)
    return converted


def transformer_config(layout: Mapping[str, Tensor], num_layers: int, attention_head_dim: int) -> dict[str, Any]:
    """
    Read the constructor arguments of `IAPTransformer3DModel` off the shapes of an official dual tower.

    Args:
        layout: tensors under official names (base checkpoints: unwrapped); their values are not looked at.
        num_layers: layers of the checkpoint.
        attention_head_dim: channels of one head.

    Raises:
        KeyError: a name that is needed for this is missing.
        ValueError: `attention_head_dim` does not divide the model's channels.
    """
    dim, in_channels, *patch_size = layout["video_model.patch_embedding.weight"].shape
    if dim % attention_head_dim != 0:
        raise ValueError(
            f"`attention_head_dim`={attention_head_dim} does not divide the {dim} channels of the checkpoint."
        )
    return {
        "patch_size": patch_size,
        "in_channels": in_channels,
        "audio_in_channels": layout["audio_model.patch_embedding.0.weight"].shape[1],
        "num_attention_heads": dim // attention_head_dim,
        "attention_head_dim": attention_head_dim,
        "ffn_dim": layout["video_model.blocks.0.ffn.0.weight"].shape[0],
        "num_layers": num_layers,
        "text_dim": layout["video_model.text_embedding.0.weight"].shape[1],
        "freq_dim": layout["video_model.time_embedding.0.weight"].shape[1],
        "audio_embed_dim": layout["audio_model.patch_embedding.2.w1.weight"].shape[0],
    }
