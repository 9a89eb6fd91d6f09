"""Looks at and listens to one clip, each thing once and only when a metric asks for it.

Letters: F sampled frames, W windows of sound, D channels of an embedding.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from iap_pipelines.curation.face_clips import FaceClipRecorder
from iap_pipelines.curation.tracking import FaceTrack, TimedFaces, link_faces
from iap_pipelines.evaluation.models import EvaluationModels, NotMeasured
from iap_pipelines.evaluation.people import voice_windows
from iap_pipelines.perception.interfaces import FaceClip, FaceEmbedder, SyncScores, TimedWord, TimeSpan
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
        self._video, self._audio, self._models = video, audio, models
        self._face_embeddings: dict[str, list[np.ndarray]] = {}

    def with_audio(self, audio: AudioSamples | None) -> "ClipObserver":
        """The same pictures with another sound; what was seen already is not looked at again."""
        other = ClipObserver(self._video, audio, self._models)
        other._face_embeddings = self._face_embeddings
        other.__dict__["_linked_faces"] = self._linked_faces
        return other

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
        return [None if face.clip is None else model.compare(face.clip, self.audio) for face in self.faces]

    @cached_property
    def syncnet_scores(self) -> SyncScores:
        """How the mouth that is seen longest agrees with the sound, by SyncNet."""
        model = self._models.require("syncnet")
        self._models.require("face_landmarker")
        if self.faces[0].clip is None:
            raise NotMeasured("the face is seen too shortly")
        return model.compare(self.faces[0].clip, self.audio)

    @property
    def audio(self) -> AudioSamples:
        if self._audio is None:
            raise NotMeasured("the clip has no sound")
        return self._audio

    @cached_property
    def speech(self) -> list[TimeSpan]:
        """Where somebody speaks while pictures are shown; at least once."""
        detector = self._models.require("voice_activity")
        spans = [
            TimeSpan(span.start, min(span.end, self.duration_seconds)) for span in detector.find_speech(self.audio)
        ]
        spans = [span for span in spans if span.duration > 0]
        if not spans:
            raise NotMeasured("no speech was found in the clip")
        return spans

    @cached_property
    def windows(self) -> list[TimeSpan]:
        return voice_windows(self.speech)

    @cached_property
    def window_voices(self) -> np.ndarray:
        """Voice embeddings ``[W, D]`` of `windows`."""
        return np.stack([self.embed_voice("voice_embedder", [window]) for window in self.windows])

    def embed_voice(self, role: str, spans: list[TimeSpan]) -> np.ndarray:
        """Embedding ``[D]`` of the sound of all spans, one after the other.

        Args:
            role: ``"voice_embedder"`` or ``"second_voice_embedder"``.
            spans: at least one.
        """
        return self._models.require(role).embed(cut_audio(self.audio, spans))

    @cached_property
    def words(self) -> list[TimedWord]:
        return self._models.require("transcriber").transcribe(self.audio)

    def rate_speech(self) -> float:
        """What a listener would say of the sound, 1 (bad) to 5 (excellent)."""
        return self._models.require("speech_quality").rate(self.audio)

    def compare_frames_with(self, caption: str) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings of frames ``[F, D]`` and of a caption ``[D]`` in one space."""
        model = self._models.require("picture_text")
        return model.embed_frames(self._video), model.embed_text(caption)

    def compare_sound_with(self, caption: str) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings of the sound ``[1, D]`` and of a caption ``[D]`` in one space."""
        model = self._models.require("sound_text")
        return model.embed_sound(self.audio), model.embed_text(caption)


def cut_audio(audio: AudioSamples, spans: list[TimeSpan]) -> AudioSamples:
    """The sound of all spans, one after the other."""
    rate = audio.sampling_rate
    pieces = [
        audio.samples[:, int(span.start * rate) : max(int(span.end * rate), int(span.start * rate) + 1)]
        for span in spans
    ]
    return AudioSamples(torch.cat(pieces, dim=1), rate)


def _rows(embeddings: list[np.ndarray | None]) -> np.ndarray:
    """``[F, D]``, NaN for ``None``; ``[F, 1]`` when all are."""
    size = next((len(embedding) for embedding in embeddings if embedding is not None), 1)
    return np.stack(
        [np.full(size, np.nan) if embedding is None else np.float64(embedding) for embedding in embeddings]
    )
