"""
Names of the UMT5 encoder as Wan publishes it (`models_t5_umt5-xxl-enc-bf16.pth`) in transformers' `UMT5EncoderModel`.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from iap_pipelines.conversion.key_map import KeyMap, count_levels


_LAYER = "encoder.block.{layer}.layer"
_KEYS = KeyMap(
    [
        ("token_embedding.weight", "shared.weight"),
        ("norm.weight", "encoder.final_layer_norm.weight"),
        ("blocks.{layer}.norm1.weight", f"{_LAYER}.0.layer_norm.weight"),
        ("blocks.{layer}.attn.{qkvo}.weight", f"{_LAYER}.0.SelfAttention.{{qkvo}}.weight"),
        ("blocks.{layer}.pos_embedding.embedding.weight", f"{_LAYER}.0.SelfAttention.relative_attention_bias.weight"),
        ("blocks.{layer}.norm2.weight", f"{_LAYER}.1.layer_norm.weight"),
        ("blocks.{layer}.ffn.gate.0.weight", f"{_LAYER}.1.DenseReluDense.wi_0.weight"),
        ("blocks.{layer}.ffn.fc1.weight", f"{_LAYER}.1.DenseReluDense.wi_1.weight"),
        ("blocks.{layer}.ffn.fc2.weight", f"{_LAYER}.1.DenseReluDense.wo.weight"),
    ],
    {"layer": r"\d+", "qkvo": "[qkvo]"},
)
_UNUSED_HALF = ("decoder.", "lm_head.")
_TIED = "encoder.embed_tokens.weight"


def text_encoder_key(official_key: str) -> str:
    """The name in `UMT5EncoderModel` of one published parameter. Raises `KeyError` for a name it does not have."""
    return _KEYS.to_ours(official_key)


def official_text_encoder_key(our_key: str) -> str:
    """The published name of one parameter of `UMT5EncoderModel`. Raises `KeyError` if there is none."""
    return _KEYS.to_official(our_key)


def is_dead_text_encoder_key(key: str, layout: Mapping[str, Tensor]) -> bool:
    """Whether a parameter of a whole transformers UMT5 is not the encoder's, or is its embedding once more."""
    return key.startswith(_UNUSED_HALF) or (key == _TIED and "shared.weight" in layout)


def text_encoder_config(layout: Mapping[str, Tensor]) -> dict[str, Any]:
    """
    Read the constructor arguments of `UMT5Config` off the shapes of an encoder.

    Args:
        layout: tensors under the names of `UMT5EncoderModel`; their values are not looked at.

    Raises:
        KeyError: a name that is needed for this is missing.
    """
    first = _LAYER.format(layer=0)
    vocab_size, d_model = layout["shared.weight"].shape
    num_buckets, num_heads = layout[f"{first}.0.SelfAttention.relative_attention_bias.weight"].shape
    return {
        "vocab_size": vocab_size,
        "d_model": d_model,
        "d_kv": layout[f"{first}.0.SelfAttention.q.weight"].shape[0] // num_heads,
        "d_ff": layout[f"{first}.1.DenseReluDense.wi_0.weight"].shape[0],
        "num_layers": count_levels(layout, "encoder.block."),
        "num_heads": num_heads,
        "relative_attention_num_buckets": num_buckets,
    }
