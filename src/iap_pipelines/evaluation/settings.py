"""Which models score, and the thresholds that go with them: one strict YAML."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, ValidationError


Choice = str | dict[str, Any] | None
"""A name (`dlib`), a Hub id (`microsoft/wavlm-base-plus-sv`), a mapping with `type` and options, or null for none."""
Cosine = Annotated[float, Field(ge=-1, le=1)]


class BindingThresholds(NamedTuple):
    """From where on a face, a voice or a mouth counts as somebody's in `binding`; each belongs to its model."""

    face_similarity: float
    voice_similarity: Mapping[float, float]
    """by seconds of speech"""
    lip_agreement: float

    def voice_similarity_at(self, seconds: float | np.ndarray) -> float | np.ndarray:
        """Straight lines between the lengths that are given, constant before the first and after the last.

        >>> BindingThresholds(0.5, {1.0: 0.4, 3.0: 0.6}, 0.0).voice_similarity_at(np.array([0.5, 2.0, 9.0])).tolist()
        [0.4, 0.5, 0.6]
        """
        lengths = sorted(self.voice_similarity)
        return np.interp(seconds, lengths, [self.voice_similarity[length] for length in lengths])


class EvaluationSettings(BaseModel):
    """Models by role. The defaults are embedded in packages; what is null by default has no weights to embed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    face_detector: Choice = "yuface"
    """finds faces"""
    face_landmarker: Choice = "dlib"
    """follows the lips"""
    face_embedder: Choice = "dlib"
    """tells people apart by face"""
    second_face_embedder: Choice = None
    """another one, so that what filtered the training data is not what scores; `{type: arcface, path: model.onnx}`"""
    voice_activity: Choice = "silero"
    """finds speech"""
    voice_embedder: Choice = "campplus"
    """tells people apart by voice"""
    second_voice_embedder: Choice = None
    """another one; `microsoft/wavlm-base-plus-sv` for instance"""
    transcriber: Choice = "faster_whisper"
    """hears words"""
    lip_sync: Choice = "linear"
    """compares lips and sound"""
    syncnet: Choice = None
    """for LSE-C and LSE-D; `{type: syncnet, sound_path: sound.onnx, face_path: face.onnx}`"""
    picture_text: Choice = None
    """compares pictures with the caption; `openai/clip-vit-base-patch32` for instance"""
    sound_text: Choice = None
    """compares sound with the caption; `laion/clap-htsat-unfused` for instance"""
    speech_quality: Choice = "dnsmos"
    """rates speech as a listener would"""
    picture_features: Choice = None
    """for FID; `facebook/dinov2-base` for instance"""
    video_features: Choice = None
    """for FVD; `MCG-NJU/videomae-base` for instance"""
    sound_features: Choice = None
    """for FAD; `laion/clap-htsat-unfused` for instance"""
    min_face_similarity: Cosine = 0.5
    """below it a face is nobody's in binding; depends on the face embedder"""
    min_voice_similarity: Annotated[dict[PositiveFloat, Cosine], Field(min_length=1)] = {1.5: 0.5, 3.0: 0.62}
    """by seconds of speech: below it, so much speech is nobody's in binding; depends on the voice embedder"""
    min_lip_agreement: float = 0.0
    """up to it a mouth does not make the sound, in binding; in units of the lip-sync model; 0: any mouth that moves"""
    seed: NonNegativeInt = 0
    """of the bootstrap"""

    @property
    def thresholds(self) -> BindingThresholds:
        return BindingThresholds(self.min_face_similarity, self.min_voice_similarity, self.min_lip_agreement)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a YAML file.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: for an unknown key or a value that does not fit; names it.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"`settings` must be a YAML file, but there is no {path}.")
        try:
            return cls.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {})
        except (ValidationError, yaml.YAMLError) as error:
            raise ValueError(f"{path}: {error}") from error
