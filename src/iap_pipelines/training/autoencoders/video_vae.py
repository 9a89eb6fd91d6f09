"""The video VAE: frames first, then clips. Stock `AutoencoderKLWan` in its Wan 2.2 form.

Letters: B batch, C latent channels, F frames, H height, W width.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image
from torch import Tensor, nn

from iap_pipelines.training.autoencoders.config import VideoPhase, VideoVAEConfig, VideoVAEModel
from iap_pipelines.training.autoencoders.data import FrameCache, to_uint8
from iap_pipelines.training.autoencoders.export import save_both_precisions
from iap_pipelines.training.autoencoders.losses import (
    edge_difference,
    kl_divergence,
    motion_difference,
    peak_signal_to_noise,
    pixel_difference,
)
from iap_pipelines.training.autoencoders.trainer import MODEL, Turn
from iap_pipelines.training.autoencoders.wan import decode_unclamped, single_frames, start_from_frames


_INITIAL_LOGVAR = -5.0  # at 0 the noise drowns the first latents, and hundreds of steps go by in grey
_NUM_VALIDATION_CLIPS = 12
_NUM_STATISTICS_CLIPS = 200


def build_video_vae(config: VideoVAEModel) -> AutoencoderKLWan:
    """A new VAE that treats clips as separate frames; draws its weights from torch's default generator."""
    vae = AutoencoderKLWan(
        base_dim=config.base_dim,
        decoder_base_dim=config.decoder_base_dim,
        z_dim=config.z_dim,
        dim_mult=list(config.dim_mult),
        num_res_blocks=config.num_res_blocks,
        temperal_downsample=[False] * (len(config.dim_mult) - 3) + [True, True],
        latents_mean=[0.0] * config.z_dim,
        latents_std=[1.0] * config.z_dim,
        is_residual=True,
        in_channels=3 * config.patch_size**2,
        out_channels=3 * config.patch_size**2,
        patch_size=config.patch_size,
        scale_factor_temporal=4,
        scale_factor_spatial=16,
    )
    start_from_frames(vae)
    with torch.no_grad():
        vae.quant_conv.bias[config.z_dim :] = _INITIAL_LOGVAR
    return vae


@torch.no_grad()
def latent_statistics(vae: AutoencoderKLWan, clips: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
    """
    Mean and standard deviation of each latent channel over whole clips.

    Args:
        vae: the VAE.
        clips: each ``[1, 3, F, H, W]`` in [-1, 1].

    Returns:
        Two tensors ``[C]``.
    """
    latents = [vae.encode(clip).latent_dist.mode().transpose(0, 1).flatten(1) for clip in clips]
    channels = torch.cat(latents, dim=1)
    return channels.mean(dim=1), channels.std(dim=1)


class VideoVAEObjective:
    """
    Reconstruct pieces of clips.

    Args:
        config: the run; its cache must have frames of `train` and `validation`.
    """

    def __init__(self, config: VideoVAEConfig) -> None:
        self.config = config
        if config.init_from is None:
            self.vae = build_video_vae(config.model)
        else:
            self.vae = AutoencoderKLWan.from_pretrained(config.init_from)
        self.vae.train()
        if config.freeze_encoder:
            self.vae.encoder.requires_grad_(False)
            self.vae.quant_conv.requires_grad_(False)
        self.modules: dict[str, nn.Module] = {MODEL: self.vae}
        self.frames = FrameCache(config.cache, "train")
        self.validation_frames = FrameCache(config.cache, "validation")

    def learning_rate_factor(self, module: str) -> float:
        return 1.0

    def turns(self, phase: VideoPhase, generator: torch.Generator) -> Iterator[Turn]:
        pieces = self.frames.sample(phase.batch_size, phase.num_frames, generator, crop_size=phase.crop_size)
        mirrored = torch.rand(phase.batch_size, 1, 1, 1, 1, generator=generator) < self.config.flip_probability
        clips, faces = (torch.where(mirrored, part.flip(-1), part) for part in pieces)
        weight = 1 + (self.config.face_weight - 1) * faces
        with single_frames(self.vae) if phase.num_frames == 1 else nullcontext():
            with torch.set_grad_enabled(not self.config.freeze_encoder):
                posterior = self.vae.encode(clips).latent_dist
            latents = posterior.sample(generator=generator)
            reconstruction = decode_unclamped(self.vae, latents)
            yield self._turn(reconstruction, clips, weight, posterior)

    def _turn(
        self, reconstruction: Tensor, clips: Tensor, weight: Tensor, posterior: DiagonalGaussianDistribution
    ) -> Turn:
        terms = {
            "pixels": pixel_difference(reconstruction, clips, weight),
            "edges": edge_difference(reconstruction, clips, self.config.edge_scales, weight),
            "motion": motion_difference(reconstruction, clips, weight),
            "kl": kl_divergence(posterior.mean, posterior.logvar),
        }
        loss = (
            terms["pixels"]
            + self.config.edge_weight * terms["edges"]
            + self.config.motion_weight * terms["motion"]
            + self.config.kl_weight * terms["kl"]
        )
        return Turn(MODEL, loss, terms)

    def after_step(self) -> None:
        """Nothing to restore."""

    def validate(self, model: nn.Module, pictures: Path) -> dict[str, float]:
        ratios, first_frames, rows = [], [], []
        for clip in self.validation_frames.clips(_NUM_VALIDATION_CLIPS):
            latents = model.encode(clip).latent_dist.mode()
            reconstruction = model.decode(latents).sample
            ratios.append(float(peak_signal_to_noise(reconstruction, clip)))
            first_frames.append(float(peak_signal_to_noise(reconstruction[:, :, :1], clip[:, :, :1])))
            rows.append((clip[0], reconstruction[0]))
        draw_comparison(rows, pictures.with_suffix(".png"))
        return {"psnr_db": sum(ratios) / len(ratios), "first_frame_psnr_db": sum(first_frames) / len(first_frames)}

    def export(self, model: nn.Module, folder: Path) -> None:
        if not self.config.freeze_encoder:
            mean, std = latent_statistics(model, self.frames.clips(_NUM_STATISTICS_CLIPS))
            model.register_to_config(latents_mean=mean.tolist(), latents_std=std.clamp(min=1e-4).tolist())
        save_both_precisions(model, folder)


def draw_comparison(pairs: list[tuple[Tensor, Tensor]], path: Path, *, every: int = 6) -> None:
    """
    Draw every `every`-th frame of originals, each row above its reconstruction.

    Args:
        pairs: original and reconstruction, each ``[3, F, H, W]`` in [-1, 1]; sizes may differ between pairs.
        path: a PNG file.
        every: frames per drawn frame.
    """
    rows = [torch.cat(list(to_uint8(clip[:, ::every])), dim=1) for pair in pairs for clip in pair]
    width = max(row.shape[1] for row in rows)
    padded = [nn.functional.pad(row, (0, 0, 0, width - row.shape[1])) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(torch.cat(padded, dim=0).numpy()).save(path)
