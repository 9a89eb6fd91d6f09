"""Make diffusers, transformers and their loaders know our classes, so that plain `DiffusionPipeline.from_pretrained`
and `AutoModel.from_pretrained` find them.

diffusers documents no extension point for this. Three of its module-level dictionaries and its own namespace are what
its loaders consult (checked on 0.42 and 0.43; the dependency is pinned below 0.44, and tests load through every door).
"""

from typing import Any

import diffusers
from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES
from diffusers.pipelines.pipeline_loading_utils import LOADABLE_CLASSES
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForCTC,
    PreTrainedConfig,
    PreTrainedModel,
    SequenceFeatureExtractor,
)


_SAVE_AND_LOAD = ["save_pretrained", "from_pretrained"]


def register_with_diffusers(public_classes: tuple[type, ...], single_file_classes: dict[str, dict[str, Any]]) -> None:
    """
    Register the package under its short name.

    Args:
        public_classes: classes that `model_index.json` or `config.json` may name; looked up on the diffusers module.
        single_file_classes: per class name, how `from_single_file` converts official weights.
    """
    # `["iap_pipelines", "IAPTransformer3DModel"]` becomes a legal reference, independent of our module layout.
    LOADABLE_CLASSES.setdefault(
        "iap_pipelines",
        dict.fromkeys(
            ("ModelMixin", "PreTrainedModel", "FeatureExtractionMixin", "ImageProcessingMixin"), _SAVE_AND_LOAD
        ),
    )
    for cls in public_classes:
        setattr(diffusers, cls.__name__, cls)
    SINGLE_FILE_LOADABLE_CLASSES.update(single_file_classes)


def register_with_transformers(
    encoders: dict[type[PreTrainedConfig], type[PreTrainedModel]],
    word_recognisers: dict[type[PreTrainedConfig], type[PreTrainedModel]],
    feature_extractors: dict[type[PreTrainedConfig], type[SequenceFeatureExtractor]],
) -> None:
    """
    Register models with the Auto classes, by their configuration.

    Args:
        encoders: for `AutoModel`.
        word_recognisers: for `AutoModelForCTC`.
        feature_extractors: for `AutoFeatureExtractor`.
    """
    for config in (*encoders, *word_recognisers):
        AutoConfig.register(config.model_type, config, exist_ok=True)
    for auto, classes in (
        (AutoModel, encoders),
        (AutoModelForCTC, word_recognisers),
        (AutoFeatureExtractor, feature_extractors),
    ):
        for config, cls in classes.items():
            auto.register(config, cls, exist_ok=True)
