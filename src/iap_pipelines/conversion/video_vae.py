"""Names of the published Wan2.2 video VAE in diffusers' `AutoencoderKLWan`.

diffusers ships a name mapping for single files, but of the older VAE (16 channels), whose blocks are not nested.
"""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from iap_pipelines.conversion.key_map import KeyMap, count_levels


_RES_BLOCKS = 2
"""
Residual blocks per level of the encoder; the decoder has one more. What follows them in a level is its resampler.
"""

# Mean and standard deviation of the 48 latent channels: published with the model's code, not in its checkpoint.
LATENTS_MEAN = (
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891,
    0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502,
    -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723,
    -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
)  # fmt: skip
LATENTS_STD = (
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901,
    0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
    0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944,
    0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
)  # fmt: skip


def _residual(official: str, ours: str) -> list[tuple[str, str]]:
    return [
        (f"{official}.residual.0.gamma", f"{ours}.norm1.gamma"),
        (f"{official}.residual.2.{{p}}", f"{ours}.conv1.{{p}}"),
        (f"{official}.residual.3.gamma", f"{ours}.norm2.gamma"),
        (f"{official}.residual.6.{{p}}", f"{ours}.conv2.{{p}}"),
        (f"{official}.shortcut.{{p}}", f"{ours}.conv_shortcut.{{p}}"),
    ]


def _resampler(official: str, ours: str) -> list[tuple[str, str]]:
    return [
        (f"{official}.resample.1.{{p}}", f"{ours}.resample.1.{{p}}"),
        (f"{official}.time_conv.{{p}}", f"{ours}.time_conv.{{p}}"),
    ]


_KEYS = KeyMap(
    [
        ("conv1.{p}", "quant_conv.{p}"),
        ("conv2.{p}", "post_quant_conv.{p}"),
        ("{half}.conv1.{p}", "{half}.conv_in.{p}"),
        *_residual("encoder.downsamples.{level}.downsamples.{block}", "encoder.down_blocks.{level}.resnets.{block}"),
        *_resampler(
            f"encoder.downsamples.{{level}}.downsamples.{_RES_BLOCKS}", "encoder.down_blocks.{level}.downsampler"
        ),
        *_residual("decoder.upsamples.{level}.upsamples.{block}", "decoder.up_blocks.{level}.resnets.{block}"),
        *_resampler(f"decoder.upsamples.{{level}}.upsamples.{_RES_BLOCKS + 1}", "decoder.up_blocks.{level}.upsampler"),
        *_residual("{half}.middle.0", "{half}.mid_block.resnets.0"),
        ("{half}.middle.1.norm.gamma", "{half}.mid_block.attentions.0.norm.gamma"),
        ("{half}.middle.1.to_qkv.{p}", "{half}.mid_block.attentions.0.to_qkv.{p}"),
        ("{half}.middle.1.proj.{p}", "{half}.mid_block.attentions.0.proj.{p}"),
        *_residual("{half}.middle.2", "{half}.mid_block.resnets.1"),
        ("{half}.head.0.gamma", "{half}.norm_out.gamma"),
        ("{half}.head.2.{p}", "{half}.conv_out.{p}"),
    ],
    {"half": "encoder|decoder", "level": r"\d+", "block": r"\d+", "p": "weight|bias"},
)


def video_vae_key(official_key: str) -> str:
    """
    The name in `AutoencoderKLWan` of one published parameter. Raises `KeyError` for a name that Wan2.2 does not have.
    """
    return _KEYS.to_ours(official_key)


def official_video_vae_key(our_key: str) -> str:
    """The published name of one parameter of `AutoencoderKLWan`. Raises `KeyError` if there is none."""
    return _KEYS.to_official(our_key)


def video_vae_config(layout: Mapping[str, Tensor]) -> dict[str, Any]:
    """
    Read the constructor arguments of `AutoencoderKLWan` off the shapes of a Wan2.2 VAE.

    Args:
        layout: tensors under the names of `AutoencoderKLWan`; their values are not looked at.

    Raises:
        KeyError: a name that is needed for this is missing.
    """
    base_dim, in_channels = layout["encoder.conv_in.weight"].shape[:2]
    num_levels = count_levels(layout, "encoder.down_blocks.")
    widths = [layout[f"encoder.down_blocks.{level}.resnets.0.conv2.weight"].shape[0] for level in range(num_levels)]
    temporal = [
        f"encoder.down_blocks.{level}.downsampler.time_conv.weight" in layout for level in range(num_levels - 1)
    ]
    patch_size = math.isqrt(in_channels // 3)
    return {
        "base_dim": base_dim,
        "decoder_base_dim": layout["decoder.conv_out.weight"].shape[1],
        "z_dim": layout["post_quant_conv.weight"].shape[0],
        "dim_mult": [width // base_dim for width in widths],
        "num_res_blocks": _RES_BLOCKS,
        "temperal_downsample": temporal,  # spelled so in diffusers
        "latents_mean": list(LATENTS_MEAN),
        "latents_std": list(LATENTS_STD),
        "is_residual": True,
        "in_channels": in_channels,
        "out_channels": layout["decoder.conv_out.weight"].shape[0],
        "patch_size": patch_size,
        "scale_factor_temporal": 2 ** sum(temporal),
        "scale_factor_spatial": patch_size * 2 ** (num_levels - 1),
    }
