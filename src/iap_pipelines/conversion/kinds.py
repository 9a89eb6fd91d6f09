"""Telling checkpoints apart by the names in them, so that a wrong file is refused by saying what it is."""

import re

from iap_pipelines.conversion.errors import ConversionError
from iap_pipelines.conversion.plan import Source


DUAL_TOWER = "an official dual tower"
WAN_VIDEO_VAE, DIFFUSERS_VIDEO_VAE = "a Wan video VAE", "an AutoencoderKLWan"
WAN_TEXT_ENCODER, TRANSFORMERS_TEXT_ENCODER = "a UMT5 encoder in Wan's form", "a UMT5 encoder in transformers' form"
AUDIO_VAE = "an MMAudio VAE"
VOCODER = "a BigVGAN vocoder"
_KINDS = {
    DUAL_TOWER: r"(video|audio)_model\..+",
    "an IAPTransformer3DModel, already converted": r"blocks\.\d+\.(video|audio)\..+",
    WAN_VIDEO_VAE: r"encoder\.(middle|downsamples)\..+",
    DIFFUSERS_VIDEO_VAE: r"encoder\.(mid_block|down_blocks)\..+",
    WAN_TEXT_ENCODER: r"blocks\.\d+\.attn\..+",
    TRANSFORMERS_TEXT_ENCODER: r"encoder\.block\.\d+\..+",
    AUDIO_VAE: r"encoder\.down\.\d+\..+",
    "an MMAudioVAE, already converted": r"vae\.encoder\.down\..+",
    VOCODER: r"resblocks\.\d+\..+",
    "an LTX2Vocoder, already converted": r"resnets\.\d+\..+",
    "a single Wan transformer": r"blocks\.\d+\.self_attn\..+",
}
"""What a checkpoint may be, and a name that tells."""
_OLD_VIDEO_VAE_KEYS = ("encoder.downsamples.0.residual.0.gamma", "encoder.down_blocks.0.norm1.gamma")


def require_kind(source: Source, argument: str, *wanted: str) -> str:
    """What `source` is, if that is one of the `wanted` kinds."""
    if WAN_VIDEO_VAE in wanted and any(key in source.layout for key in _OLD_VIDEO_VAE_KEYS):
        raise ConversionError(
            f"`{argument}` {source.path} is the Wan2.1 video VAE (16 latent channels). Take that of Wan2.2 "
            f"(`Wan2.2_VAE.pth`)."
        )
    kind = next(
        (kind for kind, pattern in _KINDS.items() if any(re.fullmatch(pattern, key) for key in source.layout)), None
    )
    if kind in wanted:
        return kind
    found = kind or f"something else, with keys such as {', '.join(f'`{key}`' for key in list(source.layout)[:3])}"
    raise ConversionError(f"`{argument}` {source.path} must be {' or '.join(wanted)}, but it is {found}.")
