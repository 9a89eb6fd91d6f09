# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""The denoising loop."""

import copy
from dataclasses import replace
from typing import Any

import torch
from diffusers import UniPCMultistepScheduler
from diffusers.modular_pipelines import ModularPipelineBlocks, PipelineState
from diffusers.modular_pipelines.modular_pipeline_utils import ComponentSpec, ConfigSpec, InputParam, OutputParam
from torch import Tensor
from tqdm.auto import tqdm

from iap_pipelines.models.transformer_iap import IAPTransformer3DModel
from iap_pipelines.pipelines.captions import CaptionInputs
from iap_pipelines.pipelines.guidance import GuidanceSettings
from iap_pipelines.pipelines.identity import EncodedIdentity
from iap_pipelines.pipelines.model_provenance import model_provenance
from iap_pipelines.pipelines.modular.inputs import ATTENTION_KWARGS, GUIDANCE, GUIDANCE_CONFIGS, guidance_settings
from iap_pipelines.pipelines.modular.modular_pipeline import IAPModularPipeline
from iap_pipelines.pipelines.pipeline_iap import align_weights, checked_attention_kwargs
from iap_pipelines.provenance import Provenance


_EMBEDS = ("prompt_embeds", "negative_prompt_embeds", "audio_negative_prompt_embeds")


class IAPDenoiseStep(ModularPipelineBlocks):
    """Noise to latents of picture and sound, in all steps."""

    model_name = "iap"

    def __init__(self) -> None:
        super().__init__()
        self.set_progress_bar_config()

    def set_progress_bar_config(self, **config: Any) -> None:
        """Options of the progress bar, as `ModularPipeline.set_progress_bar_config` passes them on."""
        self._progress_bar_config = config

    @property
    def description(self) -> str:
        return "Denoises picture and sound together, with one call of the transformer per guidance branch and step."

    @property
    def expected_components(self) -> list[ComponentSpec]:
        return [
            ComponentSpec("transformer", IAPTransformer3DModel),
            ComponentSpec("scheduler", UniPCMultistepScheduler),
        ]

    @property
    def expected_configs(self) -> list[ConfigSpec]:
        return list(GUIDANCE_CONFIGS)

    @property
    def inputs(self) -> list[InputParam]:
        tensors = {
            "prompt_embeds": "`[B, T, text_dim]`.",
            "latents": "Noise `[B, C, F, h, w]`.",
            "audio_latents": "Noise `[B, L, C_audio]`.",
            "timesteps": "To which the scheduler is set.",
        }
        return [
            *(InputParam(name, type_hint=torch.Tensor, required=True, description=d) for name, d in tensors.items()),
            *(
                InputParam(name, type_hint=torch.Tensor, description="Needed with text guidance.")
                for name in _EMBEDS[1:]
            ),
            InputParam("identity", type_hint=EncodedIdentity, required=True, description="Whom to show."),
            *GUIDANCE,
            ATTENTION_KWARGS,
        ]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        return [
            OutputParam("latents", type_hint=torch.Tensor, description="Denoised."),
            OutputParam("audio_latents", type_hint=torch.Tensor, description="Denoised."),
            OutputParam("provenance", type_hint=tuple[Provenance, ...], description="What a clip was made from."),
        ]

    @torch.no_grad()
    def __call__(
        self, components: IAPModularPipeline, state: PipelineState
    ) -> tuple[IAPModularPipeline, PipelineState]:
        block_state = self.get_block_state(state)
        guidance = guidance_settings(components, block_state)
        transformer, scheduler = components.transformer, components.scheduler
        device, dtype = components._execution_device, transformer.dtype
        align_weights(transformer, device)
        components._attention_kwargs = checked_attention_kwargs(block_state.attention_kwargs)
        latents, audio_latents = block_state.latents, block_state.audio_latents
        num_clips = block_state.prompt_embeds.shape[0]
        identity = block_state.identity.expand(num_clips).to(device, dtype)
        components._check_identity(identity, guidance, latents.shape[2], audio_latents.shape[1])
        components._bound_adapters = identity.adapters
        plan = guidance.plan(identity.face_scales, identity.voice_scales, identity.has_references)
        embeds = {name: getattr(block_state, name) for name in _EMBEDS}
        self._check_embeds(components, embeds, guidance)
        caption_memories = components._remember_captions(
            *(value if value is None else value.to(device=device, dtype=dtype) for value in embeds.values())
        )
        identity_memories = {branch.name: identity.memory(branch) for branch in plan.branches}

        audio_scheduler = copy.deepcopy(scheduler)
        for t in tqdm(block_state.timesteps, **self._progress_bar_config):
            velocity, audio_velocity = components._predict(
                latents.to(dtype),
                audio_latents.to(dtype),
                t.expand(num_clips),
                plan,
                caption_memories,
                identity_memories,
            )
            latents = scheduler.step(velocity, t, latents, return_dict=False)[0]
            audio_latents = audio_scheduler.step(audio_velocity, t, audio_latents, return_dict=False)[0]
        block_state.latents, block_state.audio_latents = latents, audio_latents
        model = model_provenance(components)
        block_state.provenance = tuple(replace(model, references=sample) for sample in identity.references)
        self.set_block_state(state, block_state)
        return components, state

    @staticmethod
    def _check_embeds(components: IAPModularPipeline, embeds: dict[str, Tensor], guidance: GuidanceSettings) -> None:
        components._check_captions(CaptionInputs(**embeds), guidance)
        if guidance.has_text_guidance and embeds["negative_prompt_embeds"] is None:
            raise ValueError("`negative_prompt_embeds` is missing, but text guidance is on (a scale is not 1).")
