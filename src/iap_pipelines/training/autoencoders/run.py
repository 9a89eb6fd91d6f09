"""From a configuration to a trained codec."""

import torch

from iap_pipelines.training.autoencoders.audio_vae import AudioVAEObjective
from iap_pipelines.training.autoencoders.config import AudioVAEConfig, CodecConfig, VideoVAEConfig
from iap_pipelines.training.autoencoders.trainer import CodecTrainer, Objective
from iap_pipelines.training.autoencoders.video_vae import VideoVAEObjective
from iap_pipelines.training.autoencoders.vocoder import VocoderObjective


def build_objective(config: CodecConfig) -> Objective:
    """The objective for a configuration; its initial weights depend on the seed only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if isinstance(config, VideoVAEConfig):
            return VideoVAEObjective(config)
        if isinstance(config, AudioVAEConfig):
            return AudioVAEObjective(config)
        return VocoderObjective(config)


def train_codec(config: CodecConfig, *, stop_at: int | None = None) -> CodecTrainer:
    """
    Train a codec, or go on where its folder's newest checkpoint ends, and export it.

    Args:
        config: the run.
        stop_at: total number of steps after which to stop early; `None` trains all phases.

    Returns:
        The trainer at its last step.
    """
    trainer = CodecTrainer(config, config.phases, build_objective(config))
    trainer.run(stop_at=stop_at)
    return trainer
