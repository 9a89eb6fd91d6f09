# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""Inputs that several blocks have. They are called, and default, as the arguments of `IAPPipeline.__call__`."""

from typing import Any

import torch
from diffusers.modular_pipelines import ModularPipeline
from diffusers.modular_pipelines.modular_pipeline_utils import ConfigSpec, InputParam

from iap_pipelines.pipelines.guidance import SCALES, GuidanceSettings


GUIDANCE = (
    InputParam(
        "guidance_scale",
        type_hint=float,
        description="How strongly pictures follow the prompt; the checkpoint's own choice if not given.",
    ),
    InputParam("audio_guidance_scale", type_hint=float, description="Likewise, sound."),
    InputParam(
        "face_guidance_scale",
        type_hint=float,
        description="How strongly pictures follow all references; the checkpoint's own choice if not given.",
    ),
    InputParam("voice_guidance_scale", type_hint=float, description="Likewise, sound."),
    InputParam(
        "skip_guidance_layers", type_hint=tuple, default=(), description="Layers that the negative prompts leave out."
    ),
    InputParam("compat", type_hint=str, default="native", description="`official`: as the published model."),
)
CLIP = (
    InputParam("num_frames", type_hint=int, description="Frames; the checkpoint's own choice if not given."),
    InputParam("frame_rate", type_hint=float, description="Frames per second; likewise."),
)
PICTURE = (
    InputParam("height", type_hint=int, description="Pixels; likewise."),
    InputParam("width", type_hint=int, description="Pixels; likewise."),
)
GENERATOR = InputParam(
    "generator", type_hint=torch.Generator | list[torch.Generator], description="For every random draw."
)
ATTENTION_KWARGS = InputParam(
    "attention_kwargs", type_hint=dict[str, Any], description='`{"scale": s}` scales LoRA weights.'
)
NUM_VIDEOS = InputParam("num_videos_per_prompt", type_hint=int, default=1, description="Clips per prompt.")

CLIP_CONFIGS = (
    ConfigSpec("height", default=704),
    ConfigSpec("width", default=1280),
    ConfigSpec("sizes_by_subjects", default={}),
    ConfigSpec("num_frames", default=121),
    ConfigSpec("frame_rate", default=24.0),
)
GUIDANCE_CONFIGS = tuple(ConfigSpec(name, default=getattr(GuidanceSettings, name)) for name in SCALES)


def guidance_settings(components: ModularPipeline, block_state: Any) -> GuidanceSettings:
    """The guidance inputs of a block, checked."""
    given = {param.name: getattr(block_state, param.name) for param in GUIDANCE}
    return GuidanceSettings.of_call(components.config, **given)
