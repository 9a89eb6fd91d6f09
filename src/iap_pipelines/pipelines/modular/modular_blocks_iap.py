# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""All blocks in a row."""

from diffusers.modular_pipelines import SequentialPipelineBlocks
from diffusers.modular_pipelines.modular_pipeline_utils import OutputParam

from iap_pipelines.pipelines.modular.before_denoise import IAPPrepareLatentsStep
from iap_pipelines.pipelines.modular.decoders import IAPDecodeStep
from iap_pipelines.pipelines.modular.denoise import IAPDenoiseStep
from iap_pipelines.pipelines.modular.encoders import IAPIdentityEncoderStep, IAPTextEncoderStep


class IAPBlocks(SequentialPipelineBlocks):
    """
    From a caption and people to a clip with sound.

    Example:
        ```python
        >>> pipe = IAPBlocks().init_pipeline("org/iap")
        >>> pipe.load_components()
        >>> state = pipe(prompt='<S1> says: "hello".', subjects=[Subject(face="ada.png")])
        >>> frames, audio = state.get("frames"), state.get("audio")
        ```
    """

    model_name = "iap"
    block_classes = [
        IAPTextEncoderStep,
        IAPIdentityEncoderStep,
        IAPPrepareLatentsStep,
        IAPDenoiseStep,
        IAPDecodeStep,
    ]
    block_names = ["text_encoder", "identity_encoder", "prepare_latents", "denoise", "decode"]

    @property
    def description(self) -> str:
        return "Identity-personalised generation of picture and sound (arXiv 2603.17889)."

    @property
    def outputs(self) -> list[OutputParam]:
        return IAPDecodeStep().intermediate_outputs
