"""Looks at one clip, each thing once and only when a metric asks for it; `listener` does the same for its sound.

Letters: F sampled frames, D channels of an embedding.
"""

import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from iap_pipelines.curation.face_clips import FaceClipRecorder
from iap_pipelines.curation.tracking import FaceTrack, TimedFaces, link_faces
from iap_pipelines.evaluation.listener import Listener
from iap_pipelines.evaluation.models import EvaluationModels, NotMeasured
from iap_pipelines.perception.interfaces import FaceClip, FaceEmbedder, SyncScores, TimeSpan
from iap_pipelines.types import AudioSamples, VideoFrames


DETECTIONS_PER_SECOND = 12.5
"""Faces are looked for at this rate at most, and followed between."""
FACES_PER_SECOND = 2.0
"""Faces are embedded at this rate, at the same times in the whole clip."""

MIN_FACE_SAMPLES = 8


@dataclass(frozen=True, eq=False)
class LinkedFace:
    """A face track with the pictures of its mouth."""

    track: FaceTrack
    clip: FaceClip | None

    @property
    def span(self) -> TimeSpan:
        return TimeSpan(self.track.start, self.track.end)


class ClipObserver:
    """What can be seen and heard in a clip.

    Every property raises `NotMeasured` when a model or the sound is missing, or nobody is seen or heard.

    Args:
        video: pictures.
        audio: sound that starts with the first picture, or ``None``.
        models: who looks and listens.
    """

    def __init__(self, video: VideoFrames, audio: AudioSamples | None, models: EvaluationModels) -> None:
        self._video, self._models = video, models
        self.sound = Listener(audio, video.duration_seconds, models)
        self._face_embeddings: dict[str, list[np.ndarray]] = {}

    def with_sound(self, sound: Listener) -> "ClipObserver":
        """The same pictures with another sound; what was seen already is not looked at again."""
        mixed = copy.copy(self)
        mixed.sound = sound
        for name in ("sync_scores", "syncnet_scores"):
            mixed.__dict__.pop(name, None)
        return mixed

    @property
    def duration_seconds(self) -> float:
        return self._video.duration_seconds

    @property
    def frames(self) -> np.ndarray:
        """RGB uint8 ``[N, H, W, 3]``."""
        return self._video.frames.numpy()

    @cached_property
    def sample_times(self) -> np.ndarray:
        """When faces are embedded: evenly spread over the clip, seconds ``[F]``."""
        count = max(MIN_FACE_SAMPLES, round(self.duration_seconds * FACES_PER_SECOND))
        count = min(count, self._video.num_frames)
        frames = np.round((np.arange(count) + 0.5) / count * self._video.num_frames - 0.5).astype(int)
        return frames / self._video.frame_rate

    @property
    def has_faces(self) -> bool:
        return bool(self._linked_faces)

    @property
    def faces(self) -> list[LinkedFace]:
        """Faces over time, the longest first; at least one."""
        if not self._linked_faces:
            raise NotMeasured("no face was found in the clip")
        return self._linked_faces

    @cached_property
    def _linked_faces(self) -> list[LinkedFace]:
        detector = self._models.require("face_detector")
        stride = max(1, round(self._video.frame_rate / DETECTIONS_PER_SECOND))
        tracks = link_faces(
            TimedFaces(index / self._video.frame_rate, tuple(detector.detect(self.frames[index])))
            for index in sorted({*range(0, self._video.num_frames, stride), self._video.num_frames - 1})
        )
        return [LinkedFace(track, self._record(track)) for track in tracks]

    def _record(self, track: FaceTrack) -> FaceClip | None:
        landmarker = self._models.find("face_landmarker")
        if landmarker is None:
            return None
        recorder = FaceClipRecorder(track, landmarker)
        for index, picture in enumerate(self.frames):
            recorder.add(index / self._video.frame_rate, picture)
        return recorder.finish()

    def embed_faces(self, role: str) -> list[np.ndarray]:
        """Embeddings ``[F, D]`` of each of `faces` at `sample_times`, NaN where it is not seen.

        Args:
            role: ``"face_embedder"`` or ``"second_face_embedder"``.
        """
        if role not in self._face_embeddings:
            embedder = self._models.require(role)
            self._face_embeddings[role] = [
                _rows([self._embed_face(embedder, face.track, time) for time in self.sample_times])
                for face in self.faces
            ]
        return self._face_embeddings[role]

    def _embed_face(self, embedder: FaceEmbedder, track: FaceTrack, time: float) -> np.ndarray | None:
        face = track.at(time)
        return None if face is None else embedder.embed(self.frames[round(time * self._video.frame_rate)], face)

    @cached_property
    def sync_scores(self) -> list[SyncScores | None]:
        """For each of `faces`, how its mouth agrees with the sound."""
        model = self._models.require("lip_sync")
        self._models.require("face_landmarker")
        return [None if face.clip is None else model.compare(face.clip, self.sound.audio) for face in self.faces]

    @cached_property
    def syncnet_scores(self) -> SyncScores:
        """How the mouth that is seen longest agrees with the sound, by SyncNet."""
        model = self._models.require("syncnet")
        self._models.require("face_landmarker")
        if self.faces[0].clip is None:
            raise NotMeasured("the face is seen too shortly")
        return model.compare(self.faces[0].clip, self.sound.audio)

    def compare_frames_with(self, caption: str) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings of frames ``[F, D]`` and of a caption ``[D]`` in one space."""
        model = self._models.require("picture_text")
        return model.embed_frames(self._video), model.embed_text(caption)


def _rows(embeddings: list[np.ndarray | None]) -> np.ndarray:
    """``[F, D]``, NaN for ``None``; ``[F, 1]`` when all are."""
    size = next((len(embedding) for embedding in embeddings if embedding is not None), 1)
    return np.stack(
        [np.full(size, np.nan) if embedding is None else np.float64(embedding) for embedding in embeddings]
    )
