"""Names of the published dual tower in our transformer.

The published checkpoint holds every parameter twice over: each layer repeats most of its weights as `*_prime` for identity
tokens. Only the video tower reads its copies, and the last layer reads only those that make keys and values. The rest is
dead: 6.04 billion parameters never touched and 0.11 billion whose result is thrown away.
"""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor


# Whole-name patterns, tried in order. `{tower}` is `video` or `audio`; `\1` and so on are the pattern's groups.
_TOP_LEVEL = (
    (r"patch_embedding\.(weight|bias)", r"{tower}_patch_embedding.proj.\1"),
    (r"patch_embedding\.0\.(weight|bias)", r"{tower}_patch_embedding.proj.\1"),
    (r"patch_embedding\.2\.w1\.weight", r"{tower}_patch_embedding.gate.weight"),
    (r"patch_embedding\.2\.w2\.weight", r"{tower}_patch_embedding.down.weight"),
    (r"patch_embedding\.2\.w3\.weight", r"{tower}_patch_embedding.up.weight"),
    (r"text_embedding\.0\.(weight|bias)", r"{tower}_condition_embedder.text_embedder.linear_1.\1"),
    (r"text_embedding\.2\.(weight|bias)", r"{tower}_condition_embedder.text_embedder.linear_2.\1"),
    (r"time_embedding\.0\.(weight|bias)", r"{tower}_condition_embedder.time_embedder.linear_1.\1"),
    (r"time_embedding\.2\.(weight|bias)", r"{tower}_condition_embedder.time_embedder.linear_2.\1"),
    (r"time_projection\.1\.(weight|bias)", r"{tower}_condition_embedder.time_proj.\1"),
    (r"head\.modulation", r"{tower}_head.modulation.scale_shift_table"),
    (r"head\.head\.(weight|bias)", r"{tower}_head.proj_out.\1"),
)
_STREAM = (
    (r"modulation(?:\.modulation)?", r"modulation.scale_shift_table"),
    (r"self_attn\.([qkv])\.(weight|bias)", r"attn1.to_\1.\2"),
    (r"self_attn\.o\.(weight|bias)", r"attn1.to_out.0.\1"),
    (r"self_attn\.norm_([qk])\.weight", r"attn1.norm_\1.weight"),
    (r"ffn\.0\.(weight|bias)", r"ffn.net.0.proj.\1"),
    (r"ffn\.2\.(weight|bias)", r"ffn.net.2.\1"),
)
_CROSS = (
    (r"norm3\.(weight|bias)", r"norm2.\1"),
    (r"cross_attn\.([qkv])\.(weight|bias)", r"attn2.to_\1.\2"),
    (r"cross_attn\.o\.(weight|bias)", r"attn2.to_out.0.\1"),
    (r"cross_attn\.norm_([qk])\.weight", r"attn2.norm_\1.weight"),
    (r"cross_attn\.([kv])_fusion\.(weight|bias)", r"attn2.add_\1_proj.\2"),
    (r"cross_attn\.pre_attn_norm_fusion\.(weight|bias)", r"attn2.norm_added.\1"),
    (r"cross_attn\.norm_k_fusion\.weight", r"attn2.norm_added_k.weight"),
)
_LAST_LAYER_IDENTITY = ("modulation", "attn1.to_k", "attn1.to_v", "attn1.norm_k")


def transformer_key(official_key: str, num_layers: int) -> str | None:
    """
    Our name of one official parameter.

    Args:
        official_key: name in the published checkpoint, such as `video_model.blocks.0.self_attn.q_prime.weight`.
        num_layers: layers of the checkpoint; the last one's identity stream is smaller.

    Returns:
        Our name, or `None` if the published model never reads this parameter, or reads it without effect.

    Raises:
        KeyError: the name is not one the published model has.
    """
    match = re.fullmatch(r"(video|audio)_model\.(.+)", official_key)
    if match is None:
        raise KeyError(official_key)
    tower, name = match.groups()
    block = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if block is None:
        return _rename(name, _TOP_LEVEL, official_key).format(tower=tower)
    layer, name = int(block[1]), block[2]
    prefix = f"blocks.{layer}.{tower}."
    if "_prime" not in name:
        return prefix + _rename(name, _STREAM + _CROSS, official_key)
    ours = _rename(name.replace("_prime", ""), _STREAM + _CROSS, official_key)
    is_read = tower == "video" and not ours.startswith(("attn2", "norm2"))
    if layer == num_layers - 1:
        is_read = is_read and ours.startswith(_LAST_LAYER_IDENTITY)
    return f"{prefix}identity.{ours}" if is_read else None


def _rename(name: str, rules: tuple[tuple[str, str], ...], official_key: str) -> str:
    for pattern, replacement in rules:
        match = re.fullmatch(pattern, name)
        if match is not None:
            return match.expand(replacement)
    raise KeyError(official_key)


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


def count_layers(official_keys: Iterable[str]) -> int:
    """Layers of an official checkpoint, from the names of its parameters."""
    layers = (re.match(r"(?:video|audio)_model\.blocks\.(\d+)\.", key) for key in official_keys)
    return 1 + max((int(match[1]) for match in layers if match), default=-1)


def convert_iap_transformer_single_file(checkpoint: dict[str, Tensor], **kwargs: object) -> dict[str, Tensor]:
    """
    What diffusers' `from_single_file` calls on a file it has read.

    Args:
        checkpoint: official state dict, or one that already has our names.
        kwargs: diffusers passes the configuration here; the names alone suffice.
    """
    if any(key.startswith(("video_model.", "audio_model.")) for key in checkpoint):
        return convert_transformer_state_dict(checkpoint, count_layers(checkpoint))
    return checkpoint
