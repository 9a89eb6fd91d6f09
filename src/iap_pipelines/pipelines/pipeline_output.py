"""What the pipeline returns."""

from dataclasses import dataclass

import numpy as np
import PIL.Image
import torch
from diffusers.utils import BaseOutput

from iap_pipelines.provenance import Provenance


@dataclass
class IAPPipelineOutput(BaseOutput):
    """
    Generated clips.

    Args:
        frames (`torch.Tensor`, `np.ndarray` or `list[list[PIL.Image.Image]]`):
            `[B, F, H, W, 3]` in [0, 1] for `output_type="np"`, `[B, F, 3, H, W]` in [0, 1] for `"pt"`, one list of
            images per clip for `"pil"`, latents `[B, C, F, h, w]` for `"latent"`.
        audio (`torch.Tensor`):
            Waveforms `[B, 1, N]` in [-1, 1] at the pipeline's `sampling_rate`, or latents `[B, L, C_audio]` for
            `"latent"`.
        provenance (`tuple[Provenance, ...]`):
            Per clip, the model and the digests of the references that it was made from, for the manifest that
            `export_to_av` signs.
    """

    frames: torch.Tensor | np.ndarray | list[list[PIL.Image.Image]]
    audio: torch.Tensor
    provenance: tuple[Provenance, ...] = ()
