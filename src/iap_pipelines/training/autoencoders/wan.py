"""Training `AutoencoderKLWan` on one CPU: frames first at a third of the cost, then clips from where the frames ended.

The class works on chunks (1 frame, then 4 at a time) and remembers two frames per convolution. Gradients flow through
that memory, so whole clips can be trained through `encode` and `decode` as they are.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, WanResample, unpatchify
from torch import Tensor, nn


def _newest_tap(convolution: WanCausalConv3d, hidden_states: Tensor, cache_x: Tensor | None = None) -> Tensor:
    """One frame without memory: all but the newest temporal tap would multiply zeros."""
    if cache_x is not None or hidden_states.shape[2] != 1:
        raise ValueError(f"`hidden_states` must be one frame without memory, but got {hidden_states.shape[2]} frames.")
    left, _, top, _ = convolution._padding[:4]
    output = nn.functional.conv2d(
        hidden_states[:, :, 0], convolution.weight[:, :, -1], convolution.bias, padding=(top, left)
    )
    return output[:, :, None]


@contextmanager
def single_frames(vae: AutoencoderKLWan) -> Iterator[None]:
    """
    Within this context the VAE takes single frames only, and computes them with 2-D convolutions: the same numbers,
    about three times as fast.

    The temporal resampling layers are left alone; they do nothing for a first frame.
    """
    convolutions = [module for module in vae.modules() if isinstance(module, WanCausalConv3d)]
    convolutions = [convolution for convolution in convolutions if convolution.stride[0] == 1]
    for convolution in convolutions:
        convolution.forward = partial(_newest_tap, convolution)
    try:
        yield
    finally:
        for convolution in convolutions:
            del convolution.forward


@torch.no_grad()
def start_from_frames(vae: AutoencoderKLWan) -> None:
    """
    Make a new VAE treat a clip as separate frames, so that training on single frames is a start for clips.

    Single frames never reach the older taps of the temporal kernels nor the temporal resampling. Left random, they
    would disturb every clip once clips begin: here the taps are zero, time is halved by keeping the later frame of a
    pair, and doubled by repeating frames. The newest tap takes over the variance of the others.
    """
    for module in vae.modules():
        if isinstance(module, WanCausalConv3d) and module.kernel_size[0] > 1:
            module.weight[:, :, :-1].zero_()
            module.weight[:, :, -1] *= math.sqrt(module.kernel_size[0])
    for module in vae.modules():
        if isinstance(module, WanResample) and hasattr(module, "time_conv"):
            channels = module.dim
            copies = module.time_conv.out_channels // channels
            identity = torch.eye(channels).repeat(copies, 1)
            module.time_conv.weight.zero_()
            module.time_conv.weight[:, :, -1, 0, 0] = identity
            module.time_conv.bias.zero_()


def decode_unclamped(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """
    `vae.decode` without its clamp to [-1, 1], which would stop the gradient of every pixel that overshoots.

    Args:
        vae: the VAE.
        latents: ``[B, C, F', H', W']``, not normalised.

    Returns:
        ``[B, 3, F, H, W]``, F = 4 (F' - 1) + 1.
    """
    vae.clear_cache()
    hidden_states = vae.post_quant_conv(latents)
    chunks = []
    for index in range(latents.shape[2]):
        chunk = hidden_states[:, :, index : index + 1]
        chunks.append(vae.decoder(chunk, feat_cache=vae._feat_map, feat_idx=[0], first_chunk=index == 0))
    vae.clear_cache()
    return unpatchify(torch.cat(chunks, dim=2), patch_size=vae.config.patch_size)
