"""The published 16 kHz audio VAE as a diffusers `MMAudioVAE`.

The checkpoint differs from the class in two ways. Its convolution weights are stored raw and normalised when loaded
(EDM2, https://arxiv.org/abs/2312.02696), and it was trained on log10 mels while the class computes natural logarithms.
Both differences are folded into the numbers, so that no code has to know of them.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from iap_pipelines.conversion.key_map import count_levels


LOG10_TO_LN = math.log(10.0)
"""ln(x) = LOG10_TO_LN * log10(x)."""

_NORM_EPSILON = 1e-4  # of the published normalisation
_STATISTICS = ("data_mean", "data_std")


def normalise_weight(weight: Tensor) -> Tensor:
    """
    Normalise one convolution weight as the published model does when it is loaded.

    Args:
        weight: raw weight ``[C_out, C_in, K]``.

    Returns:
        ``[C_out, C_in, K]``, each output channel of norm 1 (up to the epsilon), in the dtype of `weight`.
    """
    fan_in = weight[0].numel()
    norm = torch.linalg.vector_norm(weight.float(), dim=tuple(range(1, weight.ndim)), keepdim=True)
    scale = (_NORM_EPSILON + norm / math.sqrt(fan_in)) * math.sqrt(fan_in)
    return (weight.float() / scale).to(weight.dtype)


def convert_audio_vae_state_dict(
    state_dict: Mapping[str, Tensor], *, natural_log: bool = True, weights_are_normalised: bool = False
) -> dict[str, Tensor]:
    """
    Rename and fold a published audio VAE so that `MMAudioVAE` computes the same latents.

    Args:
        state_dict: names as published (`encoder.…`, `decoder.…`, `data_mean`, `data_std`).
        natural_log: move the statistics from log10 to ln, the mel of `MMAudioVAE`. Pass `False` to keep working on
            log10 mels, for comparisons only.
        weights_are_normalised: the checkpoint already holds normalised weights.

    Returns:
        Every key of the class but the two that its constructor computes (`mel_converter.mel_basis`,
        `mel_converter.hann_window`), prefixed with `vae.`.

    Raises:
        ValueError: if `state_dict` is not such a checkpoint.
    """
    missing = [
        name for name in (*_STATISTICS, "encoder.conv_in.weight", "decoder.conv_out.weight") if name not in state_dict
    ]
    if missing:
        raise ValueError(
            f"`state_dict` must be a published audio VAE with the keys `encoder.…`, `decoder.…`, `data_mean` and "
            f"`data_std`, but {missing} are missing."
        )
    return {
        f"vae.{name}": audio_vae_value(
            name, tensor, natural_log=natural_log, weights_are_normalised=weights_are_normalised
        )
        for name, tensor in state_dict.items()
    }


def audio_vae_value(
    name: str, tensor: Tensor, *, natural_log: bool = True, weights_are_normalised: bool = False
) -> Tensor:
    """What `MMAudioVAE` stores for the published parameter `name`; see `convert_audio_vae_state_dict`."""
    if name in _STATISTICS:
        return tensor * LOG10_TO_LN if natural_log else tensor
    if name.endswith(".weight") and not weights_are_normalised:
        return normalise_weight(tensor)
    return tensor


def audio_vae_config(state_dict: Mapping[str, Tensor]) -> dict[str, int | list[int]]:
    """
    Read the constructor arguments of `MMAudioVAE` off the shapes of a published 16 kHz checkpoint.

    Args:
        state_dict: as for `convert_audio_vae_state_dict`.

    Returns:
        Keyword arguments for `MMAudioVAE`; the front end is that of the 16 kHz model (1024-point window, hop 256).
    """
    hidden_channels, mel_bins, _ = state_dict["encoder.conv_in.weight"].shape
    levels = count_levels(state_dict, "encoder.down.")
    widths = [state_dict[f"encoder.down.{level}.block.0.conv1.weight"].shape[0] for level in range(levels)]
    return {
        "mel_bins": mel_bins,
        "latent_channels": state_dict["decoder.conv_in.weight"].shape[1],
        "hidden_channels": hidden_channels,
        "channel_multipliers": [width // hidden_channels for width in widths],
        "layers_per_block": count_levels(state_dict, "encoder.down.0.block."),
        "sample_rate": 16_000,
        "n_fft": 1024,
        "hop_length": 256,
    }
