# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""What the blocks run on: components, and the steps that they share with `IAPPipeline`."""

import os

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

    frame_rate = IAPPipeline.frame_rate
    sampling_rate = IAPPipeline.sampling_rate
    attention_kwargs = IAPPipeline.attention_kwargs

    encode_prompt = IAPPipeline.encode_prompt
    _encode_text = IAPPipeline._encode_text

    encode_faces = IAPPipeline.encode_faces
    encode_voice = IAPPipeline.encode_voice
    encode_identity = IAPPipeline.encode_identity
    release_identity_weights = IAPPipeline.release_identity_weights
    _encode_people = IAPPipeline._encode_people
    _encode_subject = IAPPipeline._encode_subject
    _remember_people = IAPPipeline._remember_people
    _adapters_of_nobody = IAPPipeline._adapters_of_nobody
    _voice_seconds = IAPPipeline._voice_seconds
    _count_voice_latents = IAPPipeline._count_voice_latents

    prepare_latents = IAPPipeline.prepare_latents
    prepare_audio_latents = IAPPipeline.prepare_audio_latents
    set_timesteps = IAPPipeline.set_timesteps
    _latents_shape = IAPPipeline._latents_shape
    _audio_latents_shape = IAPPipeline._audio_latents_shape
    _clip = IAPPipeline._clip

    _remember_captions = IAPPipeline._remember_captions
    _predict = IAPPipeline._predict

    decode_latents = IAPPipeline.decode_latents
    decode_audio_latents = IAPPipeline.decode_audio_latents
    _latent_statistics = IAPPipeline._latent_statistics

    _check_captions = IAPPipeline._check_captions
    _check_layers = IAPPipeline._check_layers
    _check_people = IAPPipeline._check_people
    _check_references = IAPPipeline._check_references
    _check_reference = IAPPipeline._check_reference
    _check_face_sizes = IAPPipeline._check_face_sizes
    _check_adapters = IAPPipeline._check_adapters
    _check_noise = IAPPipeline._check_noise

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
