"""From settings to models, each loaded once per process. What is missing fails here, before the first video."""

from collections.abc import Callable
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from iap_pipelines.perception import config
from iap_pipelines.perception.interfaces import (
    FaceDetector,
    FaceEmbedder,
    FaceLandmarker,
    LipSyncModel,
    Transcriber,
    VoiceActivityDetector,
    VoiceEmbedder,
)


Choice = config.StrictModel | dict[str, Any] | str
"""Settings of a role, or what they are read from: a mapping, a name, a Hub id."""


def load_face_detector(choice: Choice = "yuface") -> FaceDetector:
    """Load what finds faces in pictures.

    Args:
        choice: `YuFaceSettings`, `ScrfdSettings`, or what is written for them in a configuration.

    Raises:
        ImportError: without the package; it names the extra.
        FileNotFoundError: without the file that the settings name.
        pydantic.ValidationError: for settings that do not exist.

    Example:
        >>> load_face_detector("yuface").name
        'yuface'
    """
    return _load(_read(config.FaceDetectorSettings, choice), "face_detector")


def load_face_landmarker(choice: Choice = "dlib") -> FaceLandmarker:
    """Load what locates the 68 points of a face; errors as in `load_face_detector`."""
    return _load(_read(config.FaceLandmarkerSettings, choice), "face_landmarker")


def load_face_embedder(choice: Choice = "dlib") -> FaceEmbedder:
    """Load what tells faces apart; errors as in `load_face_detector`."""
    return _load(_read(config.FaceEmbedderSettings, choice), "face_embedder")


def load_voice_activity_detector(choice: Choice = "silero") -> VoiceActivityDetector:
    """Load what finds speech; errors as in `load_face_detector`, and transformers' own for a Hub model."""
    return _load(_read(config.VoiceActivitySettings, choice), "voice_activity")


def load_voice_embedder(choice: Choice = "campplus") -> VoiceEmbedder:
    """Load what tells voices apart; errors as in `load_voice_activity_detector`."""
    return _load(_read(config.VoiceEmbedderSettings, choice), "voice_embedder")


def load_transcriber(choice: Choice = "faster_whisper") -> Transcriber:
    """Load what writes down words; errors as in `load_voice_activity_detector`."""
    return _load(_read(config.TranscriberSettings, choice), "transcriber")


def load_lip_sync_model(choice: Choice = "linear") -> LipSyncModel:
    """Load what compares a mouth with a sound; errors as in `load_face_detector`."""
    return _load(_read(config.LipSyncSettings, choice), "lip_sync")


def _read(kind: Any, choice: Choice) -> config.StrictModel:
    return TypeAdapter(kind).validate_python(choice)


@cache
def _load(settings: config.StrictModel, role: str) -> Any:
    arguments = settings.model_dump(exclude={"type"})
    return _model_class(role, settings.type)(**arguments)


def _model_class(role: str, kind: str) -> Callable[..., Any]:
    match role, kind:
        case "face_detector", "yuface":
            from iap_pipelines.perception.face_yuface import YuFaceDetector as model
        case "face_detector", "scrfd":
            from iap_pipelines.perception.face_onnx import ScrfdDetector as model
        case "face_landmarker", "dlib":
            from iap_pipelines.perception.face_dlib import DlibLandmarker as model
        case "face_embedder", "dlib":
            from iap_pipelines.perception.face_dlib import DlibFaceEmbedder as model
        case "face_embedder", "arcface":
            from iap_pipelines.perception.face_onnx import ArcFaceEmbedder as model
        case "voice_activity", "silero":
            from iap_pipelines.perception.vad_silero import SileroDetector as model
        case "voice_activity", "transformers":
            from iap_pipelines.perception.speech_transformers import TransformersVoiceActivityDetector as model
        case "voice_embedder", "campplus":
            from iap_pipelines.perception.voice_campplus import CAMPPlusEmbedder as model
        case "voice_embedder", "transformers":
            from iap_pipelines.perception.speech_transformers import TransformersVoiceEmbedder as model
        case "transcriber", "faster_whisper":
            from iap_pipelines.perception.asr_faster_whisper import FasterWhisperTranscriber as model
        case "transcriber", "transformers":
            from iap_pipelines.perception.speech_transformers import TransformersTranscriber as model
        case "lip_sync", "linear":
            from iap_pipelines.perception.lip_sync_linear import LinearLipSync as model
        case "lip_sync", "syncnet":
            from iap_pipelines.perception.lip_sync_onnx import SyncNet as model
    return model
