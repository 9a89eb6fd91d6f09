"""What is asked of each model role, and the values that come back. Backends are found by name in `backends.py`.

Letters: H height, W width, D channels of an embedding, F frames. Times are seconds from the start of what was given.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from iap_pipelines.types import AudioSamples


@dataclass(frozen=True, eq=False)
class FaceDetection:
    """One face in one picture.

    Args:
        box: left, top, right, bottom, in pixels; may reach beyond the picture.
        points: float32 ``[5, 2]``, x and y in pixels: the two eyes, the nose, the two corners of the mouth, each pair from
            left to right as seen.
        score: confidence in [0, 1].
    """

    box: tuple[float, float, float, float]
    points: np.ndarray
    score: float

    @property
    def size(self) -> float:
        """Longer side of the box, in pixels."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)


@dataclass(frozen=True)
class TimeSpan:
    """From ``start`` to ``end``, in seconds."""

    start: float
    end: float

    @property
    def duration(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class TimedWord:
    """A word that was heard, with the recogniser's probability in [0, 1] (``None`` if it gives none)."""

    text: str
    start: float
    end: float
    probability: float | None = None


class PerceptionModel(Protocol):
    """What every model tells about itself, so that a result can name what made it."""

    name: str
    """As in a configuration."""
    revision: str
    """Package version, Hub revision, or the first 12 digits of the SHA-256 of the weights."""


class FaceDetector(PerceptionModel, Protocol):
    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        """Find faces in an RGB uint8 picture ``[H, W, 3]``; the largest first."""
        ...


class FaceLandmarker(PerceptionModel, Protocol):
    def locate(self, image: np.ndarray, face: FaceDetection) -> np.ndarray:
        """The 68 points of iBUG 300-W as float32 ``[68, 2]``, x and y in pixels of ``image``."""
        ...


class FaceEmbedder(PerceptionModel, Protocol):
    def embed(self, image: np.ndarray, face: FaceDetection) -> np.ndarray:
        """Unit vector ``[D]``; the cosine of two is the similarity of two faces, about 0 for strangers."""
        ...


class VoiceActivityDetector(PerceptionModel, Protocol):
    def find_speech(self, audio: AudioSamples) -> list[TimeSpan]:
        """Where somebody speaks, in order, without overlap."""
        ...


class VoiceEmbedder(PerceptionModel, Protocol):
    def embed(self, audio: AudioSamples) -> np.ndarray:
        """Unit vector ``[D]``; the cosine of two is the similarity of two voices."""
        ...


class Transcriber(PerceptionModel, Protocol):
    def transcribe(self, audio: AudioSamples) -> list[TimedWord]:
        """The words that are heard, in order."""
        ...
