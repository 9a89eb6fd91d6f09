"""The published 16 kHz vocoder (BigVGAN v1) as a diffusers `LTX2Vocoder`.

Three namings are in circulation: weight norm as a torch parametrisation (`parametrizations.weight.original0/1`),
weight norm under its older names (`weight_g`, `weight_v`), and weights from which it was removed. All become plain.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from iap_pipelines.conversion.audio_vae import LOG10_TO_LN


_MAGNITUDE = (".parametrizations.weight.original0", ".weight_g")
_DIRECTION = (".parametrizations.weight.original1", ".weight_v")
# Whole-name patterns for everything outside the residual blocks' activations, which are numbered in pairs.
_RENAMES = (
    (r"conv_pre\.(.+)", r"conv_in.\1"),
    (r"conv_post\.(.+)", r"conv_out.\1"),
    (r"activation_post\.(.+)", r"act_out.\1"),
    (r"ups\.(\d+)\.0\.(.+)", r"upsamplers.\1.\2"),
    (r"resblocks\.(\d+)\.(convs[12])\.(\d+)\.(.+)", r"resnets.\1.\2.\3.\4"),
)
_RENAMES_BACK = (
    (r"conv_in\.(.+)", r"conv_pre.\1"),
    (r"conv_out\.(.+)", r"conv_post.\1"),
    (r"act_out\.(.+)", r"activation_post.\1"),
    (r"upsamplers\.(\d+)\.(.+)", r"ups.\1.0.\2"),
    (r"resnets\.(\d+)\.(convs[12])\.(\d+)\.(.+)", r"resblocks.\1.\2.\3.\4"),
)
_ACTIVATION_BACK = re.compile(r"resnets\.(\d+)\.acts([12])\.(\d+)\.(.+)")
_ACTIVATION = re.compile(r"resblocks\.(\d+)\.activations\.(\d+)\.(.+)")


def remove_weight_norm(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """
    Replace each magnitude and direction by the weight ``g * v / ||v||``, the norm over all but the first dimension.

    Args:
        state_dict: any of the three namings, also mixed.

    Returns:
        The same parameters, with one `….weight` where there was a pair.

    Raises:
        ValueError: if one half of a pair is missing.
    """
    plain: dict[str, Tensor] = {}
    for name, tensor in state_dict.items():
        if name.endswith(_MAGNITUDE):
            _partner(state_dict, name, _MAGNITUDE, _DIRECTION)
        elif name.endswith(_DIRECTION):
            magnitude = state_dict[_partner(state_dict, name, _DIRECTION, _MAGNITUDE)]
            norm = torch.linalg.vector_norm(tensor, dim=tuple(range(1, tensor.ndim)), keepdim=True)
            plain[f"{_without_suffix(name, _DIRECTION)}.weight"] = tensor * (magnitude / norm)
        else:
            plain[name] = tensor
    return plain


def vocoder_key(official_key: str) -> str:
    """
    The name in `LTX2Vocoder` of one published parameter.

    Args:
        official_key: name after `remove_weight_norm`, such as `resblocks.4.activations.3.act.alpha`.

    Returns:
        Our name, such as `resnets.4.acts2.1.act.alpha`.

    Raises:
        ValueError: for a name that BigVGAN v1 does not have.
    """
    activation = _ACTIVATION.fullmatch(official_key)
    if activation is not None:
        block, index, rest = activation.groups()
        name = f"resnets.{block}.acts{int(index) % 2 + 1}.{int(index) // 2}.{rest}"
        return name.replace(".lowpass.filter", ".filter")
    for pattern, replacement in _RENAMES:
        if re.fullmatch(pattern, official_key):
            return re.sub(pattern, replacement, official_key).replace(".lowpass.filter", ".filter")
    raise ValueError(f"`state_dict` has the key `{official_key}`, which a BigVGAN v1 generator does not have.")


def official_vocoder_key(our_key: str) -> str:
    """
    The published name, without weight norm, of one parameter of `LTX2Vocoder`; the inverse of `vocoder_key`.

    Raises:
        KeyError: for a name that `LTX2Vocoder` in its BigVGAN form does not have.
    """
    activation = _ACTIVATION_BACK.fullmatch(our_key)
    if activation is not None:
        block, half, index, rest = activation.groups()
        name = f"resblocks.{block}.activations.{2 * int(index) + int(half) - 1}.{rest}"
        return name.replace(".downsample.filter", ".downsample.lowpass.filter")
    for pattern, replacement in _RENAMES_BACK:
        if re.fullmatch(pattern, our_key):
            return re.sub(pattern, replacement, our_key).replace(".downsample.filter", ".downsample.lowpass.filter")
    raise KeyError(our_key)


def convert_vocoder_state_dict(state_dict: Mapping[str, Tensor], *, natural_log: bool = True) -> dict[str, Tensor]:
    """
    Rename and fold a published vocoder so that `LTX2Vocoder` makes the same waveform.

    Args:
        state_dict: the `generator` entry of the checkpoint, in any of the three namings.
        natural_log: the vocoder will be given ln mels, as `MMAudioVAE` decodes them; the first convolution divides
            them back to log10. Pass `False` to feed it log10 mels, for comparisons only.

    Returns:
        A state dict that loads with ``strict=True``.

    Raises:
        ValueError: for a key that is not part of a BigVGAN v1 generator, and for half a weight-norm pair.
    """
    converted = {vocoder_key(name): tensor for name, tensor in remove_weight_norm(state_dict).items()}
    if natural_log:
        converted["conv_in.weight"] = converted["conv_in.weight"] / LOG10_TO_LN
    return converted


def vocoder_config(official: Mapping[str, object], *, sampling_rate: int = 16_000) -> dict[str, object]:
    """
    Translate a BigVGAN v1 configuration into the constructor arguments of `LTX2Vocoder`.

    Args:
        official: the published configuration (`num_mels`, `upsample_rates`, `upsample_kernel_sizes`,
            `upsample_initial_channel`, `resblock`, `resblock_kernel_sizes`, `resblock_dilation_sizes`, `activation`,
            `snake_logscale`); other keys concern its training and are not read.
        sampling_rate: samples per second of the waveform it makes.

    Returns:
        Keyword arguments for `LTX2Vocoder`.

    Raises:
        ValueError: for a variant that `LTX2Vocoder` cannot express.
    """
    expected = {"resblock": "1", "activation": "snakebeta", "snake_logscale": True}
    for name, value in expected.items():
        if official.get(name) != value:
            raise ValueError(f"`official[{name!r}]` must be {value!r}, but got {official.get(name)!r}.")
    return {
        "in_channels": official["num_mels"],
        "hidden_channels": official["upsample_initial_channel"],
        "out_channels": 1,
        "upsample_kernel_sizes": list(official["upsample_kernel_sizes"]),
        "upsample_factors": list(official["upsample_rates"]),
        "resnet_kernel_sizes": list(official["resblock_kernel_sizes"]),
        "resnet_dilations": [list(dilations) for dilations in official["resblock_dilation_sizes"]],
        "act_fn": "snakebeta",
        "antialias": True,
        "final_act_fn": "tanh",
        "final_bias": True,
        "output_sampling_rate": sampling_rate,
    }


def _without_suffix(name: str, suffixes: tuple[str, ...]) -> str:
    return next(name.removesuffix(suffix) for suffix in suffixes if name.endswith(suffix))


def _partner(state_dict: Mapping[str, Tensor], name: str, suffixes: tuple[str, ...], others: tuple[str, ...]) -> str:
    suffix = next(index for index, candidate in enumerate(suffixes) if name.endswith(candidate))
    partner = name.removesuffix(suffixes[suffix]) + others[suffix]
    if partner not in state_dict:
        raise ValueError(f"`state_dict` has `{name}` but not its other half `{partner}`.")
    return partner
