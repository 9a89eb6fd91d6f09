# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""The block before the loop: steps and noise."""

import torch
from diffusers import AutoencoderKLWan, MMAudioVAE, UniPCMultistepScheduler
from diffusers.modular_pipelines import ModularPipelineBlocks, PipelineState
from diffusers.modular_pipelines.modular_pipeline_utils import ComponentSpec, ConfigSpec, InputParam, OutputParam

from iap_pipelines.models.transformer_iap import IAPTransformer3DModel, Towers
from iap_pipelines.pipelines.identity import EncodedIdentity
from iap_pipelines.pipelines.modular.inputs import CLIP, CLIP_CONFIGS, GENERATOR, NUM_VIDEOS, PICTURE
from iap_pipelines.pipelines.modular.modular_pipeline import IAPModularPipeline


class IAPPrepareLatentsStep(ModularPipelineBlocks):
    """Sets the scheduler's steps and draws noise for picture and sound."""

    model_name = "iap"

    @property
    def description(self) -> str:
        return "Sets the scheduler's steps and draws noise for picture and sound."

    @property
    def expected_components(self) -> list[ComponentSpec]:
        # Of models only the configurations are read.
        return [
            ComponentSpec("transformer", IAPTransformer3DModel),
            ComponentSpec("vae", AutoencoderKLWan),
            ComponentSpec("audio_vae", MMAudioVAE),
            ComponentSpec("scheduler", UniPCMultistepScheduler),
        ]

    @property
    def expected_configs(self) -> list[ConfigSpec]:
        return [*CLIP_CONFIGS, ConfigSpec("num_inference_steps", default=50)]

    @property
    def inputs(self) -> list[InputParam]:
        return [
            InputParam("prompt_embeds", type_hint=torch.Tensor, description="Says how many clips; one if not given."),
            InputParam("identity", type_hint=EncodedIdentity, description="Says how many people; none if not given."),
            NUM_VIDEOS,
            *PICTURE,
            *CLIP,
            InputParam("num_inference_steps", type_hint=int, description="The checkpoint's own if not given."),
            InputParam("sigmas", type_hint=list[float], description="Falling noise levels in (0, 1], instead."),
            GENERATOR,
            InputParam("latents", type_hint=torch.Tensor, description="Noise of the picture, instead of drawing it."),
            InputParam("audio_latents", type_hint=torch.Tensor, description="Noise of the sound, likewise."),
        ]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        return [
            OutputParam("timesteps", type_hint=torch.Tensor, description="Of the scheduler."),
            OutputParam("latents", type_hint=torch.Tensor, description="`[B, C, F, h, w]`."),
            OutputParam("audio_latents", type_hint=torch.Tensor, description="`[B, L, C_audio]`."),
        ]

    @torch.no_grad()
    def __call__(
        self, components: IAPModularPipeline, state: PipelineState
    ) -> tuple[IAPModularPipeline, PipelineState]:
        block_state = self.get_block_state(state)
        device = components._execution_device
        num_clips = block_state.num_videos_per_prompt
        if block_state.prompt_embeds is not None:
            num_clips = block_state.prompt_embeds.shape[0]
        num_subjects = max(block_state.identity.num_subjects) if block_state.identity is not None else 0
        clip = components._clip(
            block_state.height, block_state.width, block_state.num_frames, block_state.frame_rate, num_subjects
        )
        components._check_noise(Towers(block_state.latents, block_state.audio_latents), clip, num_clips)
        block_state.timesteps = components.set_timesteps(block_state.num_inference_steps, block_state.sigmas, device)
        block_state.latents = components.prepare_latents(
            num_clips, clip, device, block_state.generator, block_state.latents
        )
        block_state.audio_latents = components.prepare_audio_latents(
            num_clips, clip, device, block_state.generator, block_state.audio_latents
        )
        self.set_block_state(state, block_state)
        return components, state
