# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""Blocks that encode: captions, and people."""

from dataclasses import replace

import torch
from diffusers import AutoencoderKLWan, MMAudioVAE
from diffusers.modular_pipelines import ModularPipelineBlocks, PipelineState
from diffusers.modular_pipelines.modular_pipeline_utils import ComponentSpec, ConfigSpec, InputParam, OutputParam
from transformers import PreTrainedTokenizerBase, UMT5EncoderModel

from iap_pipelines.models.transformer_iap import IAPTransformer3DModel
from iap_pipelines.pipelines.captions import CaptionInputs
from iap_pipelines.pipelines.fingerprint import model_fingerprint
from iap_pipelines.pipelines.identity import EncodedIdentity, LoadedIdentity
from iap_pipelines.pipelines.modular.inputs import (
    ATTENTION_KWARGS,
    CLIP,
    CLIP_CONFIGS,
    GENERATOR,
    GUIDANCE,
    GUIDANCE_CONFIGS,
    NUM_VIDEOS,
    PICTURE,
    guidance_settings,
)
from iap_pipelines.pipelines.modular.modular_pipeline import IAPModularPipeline
from iap_pipelines.pipelines.pipeline_iap import align_weights, checked_attention_kwargs


_CAPTIONS = (
    InputParam("prompt", description="Captions: `str`, `StructuredCaption` or a list of them."),
    InputParam("negative_prompt", description="What the picture should not be like."),
    InputParam("audio_negative_prompt", description="What the sound should not be like."),
)
_EMBEDS = tuple(
    InputParam(name, type_hint=torch.Tensor, description="Instead of the text.")
    for name in ("prompt_embeds", "negative_prompt_embeds", "audio_negative_prompt_embeds")
)


class IAPTextEncoderStep(ModularPipelineBlocks):
    """Captions to embeddings."""

    model_name = "iap"

    @property
    def description(self) -> str:
        return "Encodes captions, and what they are contrasted with."

    @property
    def expected_components(self) -> list[ComponentSpec]:
        return [
            ComponentSpec("tokenizer", PreTrainedTokenizerBase),
            ComponentSpec("text_encoder", UMT5EncoderModel),
        ]

    @property
    def expected_configs(self) -> list[ConfigSpec]:
        return [ConfigSpec("max_sequence_length", default=512), *GUIDANCE_CONFIGS]

    @property
    def inputs(self) -> list[InputParam]:
        length = InputParam("max_sequence_length", type_hint=int, description="Tokens that a caption is padded to.")
        return [*_CAPTIONS, *_EMBEDS, NUM_VIDEOS, length, *GUIDANCE]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        return [
            OutputParam(name, type_hint=torch.Tensor, description="`[B, T, text_dim]`, B clips; `None` if not needed.")
            for name in ("prompt_embeds", "negative_prompt_embeds", "audio_negative_prompt_embeds")
        ]

    @torch.no_grad()
    def __call__(
        self, components: IAPModularPipeline, state: PipelineState
    ) -> tuple[IAPModularPipeline, PipelineState]:
        block_state = self.get_block_state(state)
        guidance = guidance_settings(components, block_state)
        captions = CaptionInputs(
            **{param.name: getattr(block_state, param.name) for param in (*_CAPTIONS, *_EMBEDS)},
            num_videos_per_prompt=block_state.num_videos_per_prompt,
            max_sequence_length=block_state.max_sequence_length,
        )
        if captions.negative_names and not guidance.has_text_guidance:
            raise ValueError(
                f"`{captions.negative_names[0]}` has no effect while text guidance is off (its scales are 1)."
            )
        (
            block_state.prompt_embeds,
            block_state.negative_prompt_embeds,
            block_state.audio_negative_prompt_embeds,
        ) = components.encode_prompt(
            captions.prompt,
            negative_prompt=captions.negative_prompt,
            audio_negative_prompt=captions.audio_negative_prompt,
            do_classifier_free_guidance=guidance.has_text_guidance,
            num_videos_per_prompt=captions.num_videos_per_prompt,
            prompt_embeds=captions.prompt_embeds,
            negative_prompt_embeds=captions.negative_prompt_embeds,
            audio_negative_prompt_embeds=captions.audio_negative_prompt_embeds,
            max_sequence_length=captions.max_sequence_length,
        )
        self.set_block_state(state, block_state)
        return components, state


class IAPIdentityEncoderStep(ModularPipelineBlocks):
    """People to the constants that every denoising step reads."""

    model_name = "iap"

    @property
    def description(self) -> str:
        return "Reads and encodes the people of a clip, once and for all steps and guidance branches."

    @property
    def expected_components(self) -> list[ComponentSpec]:
        return [
            ComponentSpec("transformer", IAPTransformer3DModel),
            ComponentSpec("vae", AutoencoderKLWan),
            ComponentSpec("audio_vae", MMAudioVAE),
        ]

    @property
    def expected_configs(self) -> list[ConfigSpec]:
        return [
            *CLIP_CONFIGS,
            *GUIDANCE_CONFIGS,
            ConfigSpec("face_size", default=512),
            ConfigSpec("max_voice_seconds", default=5.0),
        ]

    @property
    def inputs(self) -> list[InputParam]:
        return [
            InputParam("subjects", type_hint=list, description="`Subject`s of every clip, or one list per prompt."),
            InputParam("identity", type_hint=EncodedIdentity, description="Instead of `subjects`: encoded before."),
            InputParam("prompt", description="Captions, whose anchors are held against the subjects."),
            InputParam("prompt_embeds", type_hint=torch.Tensor, description="Says how many clips, if given."),
            NUM_VIDEOS,
            *PICTURE,
            *CLIP,
            *GUIDANCE,
            GENERATOR,
            ATTENTION_KWARGS,
        ]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        return [OutputParam("identity", type_hint=EncodedIdentity, description="Keys and values of the references.")]

    @torch.no_grad()
    def __call__(
        self, components: IAPModularPipeline, state: PipelineState
    ) -> tuple[IAPModularPipeline, PipelineState]:
        block_state = self.get_block_state(state)
        if block_state.identity is not None and block_state.subjects is not None:
            raise ValueError("Pass at most one of `subjects` and `identity`.")
        guidance = guidance_settings(components, block_state)
        identity = block_state.identity
        people = LoadedIdentity.load(block_state.subjects or []) if identity is None else identity
        clip = components._clip(
            block_state.height,
            block_state.width,
            block_state.num_frames,
            block_state.frame_rate,
            max(people.num_subjects),
        )
        components._check_layers(guidance.skip_guidance_layers)
        num_clips = len(people.num_subjects)
        if block_state.prompt is not None:
            captions = CaptionInputs(
                prompt=block_state.prompt, num_videos_per_prompt=block_state.num_videos_per_prompt
            )
            components._check_people(people, captions, guidance, clip)
            num_clips = captions.num_clips
        elif identity is None:
            components._check_references(people, clip, guidance.is_official)
        if identity is None:
            if block_state.prompt_embeds is not None:
                num_clips = block_state.prompt_embeds.shape[0]
            # The published model draws voices, so that every clip has its own.
            people = people.expand(num_clips) if guidance.is_official else people
            align_weights(components.transformer, components._execution_device)
            encoded = components._encode_people(
                people,
                clip,
                guidance.plan(people.face_scales, people.voice_scales, people.has_references).branches,
                guidance.is_official,
                block_state.generator,
                checked_attention_kwargs(block_state.attention_kwargs),
            )
            block_state.identity = replace(encoded, model_fingerprint=model_fingerprint(components.transformer))
        self.set_block_state(state, block_state)
        return components, state
