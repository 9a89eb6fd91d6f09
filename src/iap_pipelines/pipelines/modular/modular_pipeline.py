# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""What the blocks run on: components, and the steps that they share with `IAPPipeline`."""

import os
from types import FunctionType

from diffusers import DiffusionPipeline
from diffusers.models.autoencoders.autoencoder_mmaudio import MMAudioMelSpectrogram
from diffusers.modular_pipelines import ModularPipeline
from diffusers.video_processor import VideoProcessor

from iap_pipelines.pipelines.lora_iap import IAPLoraLoaderMixin
from iap_pipelines.pipelines.pipeline_iap import IAPPipeline, codec_geometry, mel_front_end
from iap_pipelines.shapes import CodecGeometry


class IAPModularPipeline(ModularPipeline, IAPLoraLoaderMixin):
    """
    Identity-personalised generation of picture and sound, block by block: `IAPBlocks().init_pipeline("org/iap")`.

    A block needs only its own components. Steps are those of [`IAPPipeline`], not copies of them, so that both make
    the same clip.
    """

    default_blocks_name = "IAPBlocks"

    @property
    def geometry(self) -> CodecGeometry:
        """Sizes that follow from the codecs; of components that a block does not have, the published ones."""
        parts = (getattr(self, name, None) for name in ("vae", "audio_vae", "transformer"))
        return codec_geometry(*parts)

    @property
    def video_processor(self) -> VideoProcessor:
        return VideoProcessor(vae_scale_factor=self.geometry.spatial_factor)

    @property
    def mel_spectrogram(self) -> MMAudioMelSpectrogram:
        return mel_front_end(self.audio_vae)

    @property
    def _loaded_from(self) -> str | os.PathLike[str] | None:
        return self._pretrained_model_name_or_path


# Every method and property of ours that `ModularPipeline` does not have itself.
for _name, _step in vars(IAPPipeline).items():
    is_ours = isinstance(_step, FunctionType | property) and not hasattr(DiffusionPipeline, _name)
    if is_ours and not hasattr(IAPModularPipeline, _name):
        setattr(IAPModularPipeline, _name, _step)
