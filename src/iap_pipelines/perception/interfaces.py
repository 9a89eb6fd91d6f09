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
        points: float32 ``[5, 2]``, x and y in pixels: the two eyes, the nose, the two corners of the mouth, each pair
            from left to right as seen.
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


@dataclass(frozen=True, eq=False)
class FaceClip:
    """One face over time, cut out of the pictures so that its mouth can be compared with sound.

    Args:
        times: float64 ``[F]``, seconds on the clock of the source, rising.
        crops: uint8 RGB ``[F, S, S, 3]``: a square around the face, 1.4 times as large as its box, that moves
            smoothly.
        points: float32 ``[F, 68, 2]``, the points of iBUG 300-W in pixels of the crops.
    """

    times: np.ndarray
    crops: np.ndarray
    points: np.ndarray


@dataclass(frozen=True, eq=False)
class SyncScores:
    """How well a mouth and a sound agree at every time, for several delays of the sound; higher agrees better.

    What the numbers mean is up to the model; their mean over a stretch of speech is what is compared.

    Args:
        times: float64 ``[T]``, seconds on the clock of the source, evenly spaced.
        delays: float64 ``[L]``, seconds, rising and evenly spaced; at delay d the mouth at time t meets the sound at
            t + d. A sound that is late by d agrees best there.
        scores: float32 ``[L, T]``; NaN where mouth or sound are missing.
    """

    times: np.ndarray
    delays: np.ndarray
    scores: np.ndarray


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


class LipSyncModel(PerceptionModel, Protocol):
    def compare(self, face: FaceClip, audio: AudioSamples, audio_start: float = 0.0) -> SyncScores:
        """Compare a mouth with a sound whose first sample is at ``audio_start`` on the clock of ``face.times``."""
        ...
