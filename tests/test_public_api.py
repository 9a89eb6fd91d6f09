"""Names, where they live, and how they are called. Weights and users depend on them: change them knowingly."""

import importlib
import inspect

import pytest

import iap_pipelines


PUBLIC = {
    "Consent": "iap_pipelines.identity_card",
    "FaceIdentityConfig": "iap_pipelines.models.configuration_face_identity",
    "FaceIdentityEncoder": "iap_pipelines.models.modeling_face_identity",
    "IAPPipeline": "iap_pipelines.pipelines.pipeline_iap",
    "IAPTransformer3DModel": "iap_pipelines.models.transformer_iap",
    "LogMelFeatureExtractor": "iap_pipelines.models.feature_extraction_log_mel",
    "StructuredCaption": "iap_pipelines.types",
    "Subject": "iap_pipelines.types",
    "VoiceIdentityConfig": "iap_pipelines.models.configuration_voice_identity",
    "VoiceIdentityEncoder": "iap_pipelines.models.modeling_voice_identity",
    "export_to_av": "iap_pipelines.media",
}

ROOMS = {
    "iap_pipelines.types": {
        "AudioSamples": ("samples", "sampling_rate"),
        "SpokenLine": ("subject", "text"),
        "StructuredCaption": ("scene", "subjects", "lines", "sounds"),
        "Subject": ("face", "voice", "name", "face_scale", "voice_scale", "card", "adapter"),
        "SubjectDescription": ("appearance", "position"),
        "VideoFrames": ("frames", "frame_rate"),
        "caption_anchors": ("prompt",),
    },
    "iap_pipelines.media": {
        "MediaError": ("path", "reason"),
        "export_to_av": ("video", "audio", "path", "*", "frame_rate", "sampling_rate", "provenance", "signing_key"),
        "read_audio": ("path", "*", "max_seconds"),
        "read_frame_times": ("path", "*", "max_seconds"),
        "read_image": ("path", "*", "max_pixels"),
        "read_video": ("path", "*", "max_seconds", "frame_rate"),
        "write_video": ("video", "audio", "path", "*", "frame_rate", "sampling_rate"),
    },
}


def _parameters(value):
    """Names of the parameters, with ``*`` before those that must be named."""
    names = []
    for parameter in inspect.signature(value).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in names:
            names.append("*")
        names.append(parameter.name)
    return tuple(names)


def test_the_package_offers_these_names_and_no_others():
    assert set(iap_pipelines.__all__) == set(PUBLIC)


@pytest.mark.parametrize(("name", "module"), PUBLIC.items())
def test_names_live_where_they_did(name, module):
    value = getattr(iap_pipelines, name)
    assert value is getattr(importlib.import_module(module), name)
    if inspect.isclass(value):
        # Written into model_index.json, and into the pickles of worker processes.
        assert value.__module__ == module


@pytest.mark.parametrize(
    ("module", "name", "parameters"),
    [(module, name, parameters) for module, names in ROOMS.items() for name, parameters in names.items()],
)
def test_arguments_are_called_as_they_were(module, name, parameters):
    assert _parameters(getattr(importlib.import_module(module), name)) == parameters


def test_public_things_are_documented():
    for name in PUBLIC:
        assert inspect.getdoc(getattr(iap_pipelines, name)), name


def test_the_version_is_that_of_the_distribution(repository):
    assert f'version = "{iap_pipelines.__version__}"' in (repository / "pyproject.toml").read_text()
