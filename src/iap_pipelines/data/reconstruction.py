"""Pictures and sound through the codecs and back: what a perfect generator would deliver.

Letters: F frames, N pictures, H height, W width, S samples of sound.
"""

from pathlib import Path
from typing import Self

import torch
from diffusers import AutoencoderKLWan, MMAudioVAE
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder
from torch import Tensor, nn


class CodecReconstruction:
    """
    The three codecs of a pipeline, in float32 on the CPU.

    Args:
        vae: of pictures.
        audio_vae: of sound.
        vocoder: of the audio VAE's spectrograms.
    """

    def __init__(self, vae: AutoencoderKLWan, audio_vae: MMAudioVAE, vocoder: LTX2Vocoder) -> None:
        self.vae, self.audio_vae, self.vocoder = (part.float().eval() for part in (vae, audio_vae, vocoder))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load `vae`, `audio_vae` and `vocoder` of a pipeline folder."""
        parts = {"vae": AutoencoderKLWan, "audio_vae": MMAudioVAE, "vocoder": LTX2Vocoder}
        return cls(*(part.from_pretrained(folder, subfolder=name) for name, part in parts.items()))

    def video(self, frames: Tensor, *, noise: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """
        A clip there and back.

        Args:
            frames: uint8 `[F, H, W, 3]`, F one more than a multiple of the temporal factor.
            noise: deviation of noise added to the latents, in units of their own deviation.
            generator: of the noise.

        Returns:
            uint8 `[F, H, W, 3]`.
        """
        return self._pictures(frames.permute(3, 0, 1, 2)[None], noise, generator)[0].permute(1, 2, 3, 0)

    def stills(self, pictures: Tensor, *, noise: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """Single pictures there and back, uint8 `[N, H, W, 3]` each alone; see [`CodecReconstruction.video`]."""
        coded = self._pictures(pictures.permute(0, 3, 1, 2)[:, :, None], noise, generator)
        return coded[:, :, 0].permute(0, 2, 3, 1)

    @torch.no_grad()
    def _pictures(self, pictures: Tensor, noise: float, generator: torch.Generator | None) -> Tensor:
        latents = self.vae.encode(pictures.float() / 127.5 - 1).latent_dist.mode()
        if noise:
            std = torch.tensor(self.vae.config.latents_std).view(1, -1, 1, 1, 1)
            latents = latents + noise * std * torch.randn(latents.shape, generator=generator)
        decoded = self.vae.decode(latents, return_dict=False)[0].clamp(-1, 1)
        return ((decoded + 1) * 127.5).round().to(torch.uint8)

    @torch.no_grad()
    def sound(self, samples: Tensor, *, noise: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """
        Sound there and back.

        Args:
            samples: float `[N, S]` at the codec's rate.
            noise: deviation of noise added to the latents, whose own deviation is 1.
            generator: of the noise.

        Returns:
            float `[N, S]` in [-1, 1]; the rest behind the last whole latent is silent.
        """
        latents = self.audio_vae.encode(samples).latent_dist.mode()
        if noise:
            latents = latents + noise * torch.randn(latents.shape, generator=generator)
        mel = self.audio_vae.decode(latents, return_dict=False)[0]
        decoded = self.vocoder(mel[:, None], time_last=True)[:, 0, : samples.shape[1]].clamp(-1, 1)
        return nn.functional.pad(decoded, (0, samples.shape[1] - decoded.shape[1]))
