"""The pipeline as blocks of modular diffusers, one per step, each usable alone."""

import diffusers
from diffusers.modular_pipelines.modular_pipeline import MODULAR_PIPELINE_MAPPING

from iap_pipelines.pipelines.modular.before_denoise import IAPPrepareLatentsStep
from iap_pipelines.pipelines.modular.decoders import IAPDecodeStep
from iap_pipelines.pipelines.modular.denoise import IAPDenoiseStep
from iap_pipelines.pipelines.modular.encoders import IAPIdentityEncoderStep, IAPTextEncoderStep
from iap_pipelines.pipelines.modular.modular_blocks_iap import IAPBlocks
from iap_pipelines.pipelines.modular.modular_pipeline import IAPModularPipeline


__all__ = [
    "IAPBlocks",
    "IAPDecodeStep",
    "IAPDenoiseStep",
    "IAPIdentityEncoderStep",
    "IAPModularPipeline",
    "IAPPrepareLatentsStep",
    "IAPTextEncoderStep",
]

# `init_pipeline` and `ModularPipeline.from_pretrained` look the pipeline class of a block's `model_name` up here, by
# its name on the diffusers module. Nothing else needs modular diffusers, which is why it is not imported any earlier.
MODULAR_PIPELINE_MAPPING["iap"] = lambda config_dict=None: "IAPModularPipeline"
diffusers.IAPModularPipeline, diffusers.IAPBlocks = IAPModularPipeline, IAPBlocks
