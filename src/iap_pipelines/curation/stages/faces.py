"""Faces of a clip: found, followed, embedded, and the best pictures of each."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from iap_pipelines.curation.records import Clip, ClipFaces, Source, Track, View, content_id
from iap_pipelines.curation.stage import Known, Stage
from iap_pipelines.curation.tracking import (
    FaceTrack,
    TimedFaces,
    link_faces,
    mean_embedding,
    sample_times,
    split_track,
)
from iap_pipelines.curation.views import FaceView, choose_views, describe_view
from iap_pipelines.media import iterate_frames
from iap_pipelines.perception.backends import load_face_detector, load_face_embedder
from iap_pipelines.perception.config import (
    DlibFaceSettings,
    FaceDetectorSettings,
    FaceEmbedderSettings,
    YuFaceSettings,
)
from iap_pipelines.perception.interfaces import FaceDetection


_CHIP_MARGIN = 2.0
_MAX_CHIP_PIXELS = 320
_CHANGE_SECONDS = 0.4
"""Faces that end and others that begin within this time change at one moment."""


@dataclass(kw_only=True)
class FindFaces(Stage):
    """Looks for faces some times a second, follows them within the clip, splits a track whose face becomes another.

    Faces much smaller than the largest are bystanders or pictures on a wall, and are left out.
    """

    name = "faces"
    version = 2
    reads = (Source,)
    adds = (Track, View, ClipFaces)

    detector: FaceDetectorSettings = field(default_factory=YuFaceSettings)
    """Name, or settings of the model that finds faces."""
    embedder: FaceEmbedderSettings = field(default_factory=DlibFaceSettings)
    """Name, or settings of the model that tells faces apart."""
    pictures_per_second: PositiveFloat = 8.0
    """How many pictures are searched."""
    num_embeddings: PositiveInt = 4
    """Pictures of a track that are embedded to find out whether it stays one person."""
    num_alternates: NonNegativeInt = 2
    """Pictures of a track that are kept beside the best one of each side (left, frontal, right)."""
    min_same_face: float = 0.35
    """Similarity of two halves of a track below which they are two people."""
    min_relative_size: float = 0.25
    """Smallest face that counts, over the largest of the clip."""

    def setup(self) -> None:
        self._detector = load_face_detector(self.detector)
        self._embedder = load_face_embedder(self.embedder)

    @property
    def models(self) -> dict[str, str]:
        used = {"detector": self._detector, "embedder": self._embedder}
        return {role: f"{model.name} {model.revision}" for role, model in used.items()}

    def process(self, unit: Clip, known: Known) -> Iterable[Track | View | ClipFaces]:
        frames, sightings, width = [], {}, 1
        for time, picture in iterate_frames(
            known.file,
            start_seconds=unit.start_seconds,
            end_seconds=unit.end_seconds,
            max_rate=self.pictures_per_second,
            exact=False,
        ):
            faces, width = self._detector.detect(picture), picture.shape[1]
            frames.append(TimedFaces(time, tuple(faces)))
            sightings[time] = [
                _Sighting(describe_view(time, picture, face), *cut_chip(picture, face)) for face in faces
            ]
        people = [person for track in link_faces(frames) for person in self._follow(track, sightings)]
        largest = max((track.face_size for track, _ in people), default=0.0)
        people = [person for person in people if person[0].face_size >= self.min_relative_size * largest]
        records = [self._describe(unit, track, embeddings, sightings, width) for track, embeddings in people]
        for track, views in records:
            yield track
            yield from views
        yield clip_faces(unit, frames, records)

    def _follow(self, track: FaceTrack, sightings: "Sightings") -> Iterable[tuple[FaceTrack, np.ndarray]]:
        """Parts of a track that stay one person, each with the embeddings of some of its pictures ``[N, D]``."""
        times = sample_times(track, self.num_embeddings)
        seen = [_sighting_of(track, time, sightings) for time in times]
        embeddings = np.stack([self._embedder.embed(one.chip, one.face) for one in seen])
        parts = split_track(track, times, embeddings, self.min_same_face)
        return [(part, found) for part, found in parts if len(part.times) and len(found)]

    def _describe(
        self, clip: Clip, track: FaceTrack, embeddings: np.ndarray, sightings: "Sightings", width: int
    ) -> tuple[Track, list[View]]:
        mean, coherence = mean_embedding(embeddings)
        track_id = content_id(clip.clip_id, "track", track.start, *(float(value) for value in track.boxes[0]))
        seen = track.end - track.start + 1 / self.pictures_per_second
        record = Track(
            track_id=track_id,
            clip_id=clip.clip_id,
            start_seconds=track.start,
            end_seconds=track.end,
            times=tuple(track.times.tolist()),
            boxes=tuple(map(tuple, track.boxes.tolist())),
            points=tuple(map(tuple, track.points.reshape(-1, 10).tolist())),
            scores=tuple(track.scores.tolist()),
            face_pixels=track.face_size,
            center_x=track.center[0] / width,
            clip_share=min(1.0, seen / clip.clip_seconds),
            coherence=coherence,
            embedding=tuple(mean.tolist()),
        )
        found = [_sighting_of(track, float(time), sightings).view for time in track.times]
        return record, [_view(record, view) for view in choose_views(found, alternates=self.num_alternates)]


class _Sighting(NamedTuple):
    """A face in one picture: what was measured, and a chip of it for the embedder."""

    view: FaceView
    chip: np.ndarray
    face: FaceDetection


Sightings = dict[float, list[_Sighting]]


def _sighting_of(track: FaceTrack, time: float, sightings: Sightings) -> _Sighting:
    """The picture of a track's face at one of its times."""
    box = track.boxes[int(np.searchsorted(track.times, time))]
    return min(sightings[time], key=lambda one: float(np.abs(np.array(one.view.face.box) - box).sum()))


def _view(track: Track, view: FaceView) -> View:
    return View(
        view_id=content_id(track.track_id, "view", view.time),
        track_id=track.track_id,
        clip_id=track.clip_id,
        time_seconds=view.time,
        box=view.face.box,
        yaw_degrees=view.yaw,
        pitch_degrees=view.pitch,
        sharpness=view.sharpness,
        luma=view.luma,
        view_pixels=view.face.size,
        view_score=view.score,
        fingerprint=f"{view.fingerprint:016x}",
    )


def cut_chip(picture: np.ndarray, face: FaceDetection) -> tuple[np.ndarray, FaceDetection]:
    """Cut a face out of an RGB picture ``[H, W, 3]`` with some margin; returns the chip and the face in it.

    Chips are kept for a whole clip, so large ones are made smaller; embedders look at 150 pixels or less.
    """
    height, width = picture.shape[:2]
    left, top, right, bottom = face.box
    half = _CHIP_MARGIN * face.size / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    x0, x1 = max(0, math.floor(x - half)), min(width, math.ceil(x + half))
    y0, y1 = max(0, math.floor(y - half)), min(height, math.ceil(y + half))
    chip = np.ascontiguousarray(picture[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)])
    scale = min(1.0, _MAX_CHIP_PIXELS / max(chip.shape[:2]))
    if scale < 1:
        size = (max(1, round(chip.shape[1] * scale)), max(1, round(chip.shape[0] * scale)))
        chip = cv2.resize(chip, size, interpolation=cv2.INTER_AREA)
    origin = np.float32([x0, y0])
    box = (np.float32(face.box).reshape(2, 2) - origin) * scale
    points = ((face.points - origin) * scale).astype(np.float32)
    return chip, FaceDetection(tuple(float(value) for value in box.ravel()), points, face.score)


def clip_faces(clip: Clip, frames: Sequence[TimedFaces], people: Sequence[tuple[Track, list[View]]]) -> ClipFaces:
    """The faces of a clip together."""
    tracks = [track for track, _ in people]
    visible = [sum(track.start_seconds <= frame.time <= track.end_seconds for track in tracks) for frame in frames]
    best = [max(views, key=lambda view: view.view_score) for _, views in people if views]
    return ClipFaces(
        clip_id=clip.clip_id,
        num_tracks=len(tracks),
        num_faces=max(visible, default=0),
        face_share=sum(count > 0 for count in visible) / max(1, len(frames)),
        steady_share=min((track.clip_share for track in tracks), default=None),
        smallest_face_pixels=min((track.face_pixels for track in tracks), default=None),
        face_sharpness=min((view.sharpness for view in best), default=None),
        face_luma=min((view.luma for view in best), default=None),
        missed_cut_seconds=missed_cut([(track.start_seconds, track.end_seconds) for track in tracks]),
    )


def missed_cut(spans: Sequence[tuple[float, float]]) -> float | None:
    """When all faces end and others begin at one moment, that moment: there is a cut that was not found.

    >>> missed_cut([(0.0, 2.0), (0.1, 2.05), (2.2, 4.0)])
    2.125
    """
    for _, end in sorted(spans, key=lambda span: span[1]):
        before = [span for span in spans if span[1] <= end + _CHANGE_SECONDS]
        after = [span for span in spans if span not in before]
        if not after:
            continue
        first = min(start for start, _ in after)
        last = max(span[1] for span in before)
        if -_CHANGE_SECONDS / 2 < first - last <= _CHANGE_SECONDS:
            return (first + last) / 2
    return None
