# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""The last block: latents to pictures and sound."""

import torch
from diffusers import AutoencoderKLWan, MMAudioVAE
from diffusers.modular_pipelines import ModularPipelineBlocks, PipelineState
from diffusers.modular_pipelines.modular_pipeline_utils import ComponentSpec, InputParam, OutputParam
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

from iap_pipelines.pipelines.modular.modular_pipeline import IAPModularPipeline


class IAPDecodeStep(ModularPipelineBlocks):
    """Latents to pictures and sound."""

    model_name = "iap"

    @property
    def description(self) -> str:
        return "Decodes latents to pictures and sound."

    @property
    def expected_components(self) -> list[ComponentSpec]:
        return [
            ComponentSpec("vae", AutoencoderKLWan),
            ComponentSpec("audio_vae", MMAudioVAE),
            ComponentSpec("vocoder", LTX2Vocoder),
        ]

    @property
    def inputs(self) -> list[InputParam]:
        return [
            InputParam("latents", type_hint=torch.Tensor, required=True, description="`[B, C, F, h, w]`."),
            InputParam("audio_latents", type_hint=torch.Tensor, required=True, description="`[B, L, C_audio]`."),
            InputParam("output_type", type_hint=str, default="np", description="`pil`, `np` or `pt`."),
        ]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        return [
            OutputParam("frames", description="Pictures, as `output_type` says; see `IAPPipelineOutput`."),
            OutputParam("audio", type_hint=torch.Tensor, description="`[B, 1, N]` in [-1, 1]."),
        ]

    @torch.no_grad()
    def __call__(
        self, components: IAPModularPipeline, state: PipelineState
    ) -> tuple[IAPModularPipeline, PipelineState]:
        block_state = self.get_block_state(state)
        if block_state.output_type not in ("pil", "np", "pt"):
            raise ValueError(f"`output_type` must be 'pil', 'np' or 'pt', got {block_state.output_type!r}.")
        pixels = components.decode_latents(block_state.latents)
        block_state.frames = components.video_processor.postprocess_video(pixels, output_type=block_state.output_type)
        block_state.audio = components.decode_audio_latents(block_state.audio_latents).cpu()
        self.set_block_state(state, block_state)
        return components, state
