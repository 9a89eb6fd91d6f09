"""Identity-personalised joint audio-video generation: give it a face and a voice per person and a caption."""

from diffusers import ModelMixin  # noqa: F401  (diffusers looks base classes up on the package, see `registration`)
from transformers import FeatureExtractionMixin, ImageProcessingMixin, PreTrainedModel  # noqa: F401

from iap_pipelines.conversion import convert_iap_transformer_single_file
from iap_pipelines.identity_card import Consent
from iap_pipelines.media import export_to_av
from iap_pipelines.models.configuration_face_identity import FaceIdentityConfig
from iap_pipelines.models.configuration_voice_identity import VoiceIdentityConfig
from iap_pipelines.models.configuration_word_ctc import WordCTCConfig
from iap_pipelines.models.feature_extraction_log_mel import LogMelFeatureExtractor
from iap_pipelines.models.modeling_face_identity import FaceIdentityEncoder
from iap_pipelines.models.modeling_voice_identity import VoiceIdentityEncoder
from iap_pipelines.models.modeling_word_ctc import WordForCTC
from iap_pipelines.models.transformer_iap import IAPTransformer3DModel
from iap_pipelines.pipelines.pipeline_iap import IAPPipeline
from iap_pipelines.registration import register_with_diffusers, register_with_transformers
from iap_pipelines.types import StructuredCaption, Subject
from iap_pipelines.version import __version__ as __version__


__all__ = [
    "Consent",
    "FaceIdentityConfig",
    "FaceIdentityEncoder",
    "IAPPipeline",
    "IAPTransformer3DModel",
    "LogMelFeatureExtractor",
    "StructuredCaption",
    "Subject",
    "VoiceIdentityConfig",
    "VoiceIdentityEncoder",
    "export_to_av",
]

register_with_diffusers(
    (IAPPipeline, IAPTransformer3DModel),
    {
        "IAPTransformer3DModel": {
            "checkpoint_mapping_fn": convert_iap_transformer_single_file,
            "default_subfolder": "transformer",
        }
    },
)
register_with_transformers(
    encoders={FaceIdentityConfig: FaceIdentityEncoder, VoiceIdentityConfig: VoiceIdentityEncoder},
    word_recognisers={WordCTCConfig: WordForCTC},
    feature_extractors={VoiceIdentityConfig: LogMelFeatureExtractor, WordCTCConfig: LogMelFeatureExtractor},
)
