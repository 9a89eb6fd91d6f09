"""Faces of single pictures to faces over time, inside one shot. Letters: F frames, N detections.

Detections are linked by how their boxes overlap, all of a picture at once (Hungarian), never across a cut: the caller
gives one shot. Where the embedding changes, a track is split: a cut that was missed, or two people who swapped places.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from iap_pipelines.perception.interfaces import FaceDetection


MIN_OVERLAP = 0.3
"""Smallest intersection over union of a face with the same face some frames before."""
MAX_GAP_SECONDS = 0.5
"""A face that is not found for longer begins a new track."""
_HOLD_SECONDS = 0.25
"""How long a face stays in place before its first detection and after its last: not every picture is searched."""
MIN_TRACK_SECONDS = 0.4
MIN_DETECTIONS = 3
SAME_FACE_SIMILARITY = 0.35
"""Cosine below which one track shows two people (centred dlib: same clip 0.82 +- 0.11, strangers 0 +- 0.21)."""


@dataclass(frozen=True)
class TimedFaces:
    """What a detector found in the picture at ``time`` (seconds on the clock of the source)."""

    time: float
    faces: tuple[FaceDetection, ...]


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """One face over time.

    Args:
        times: float64 ``[F]``, seconds on the clock of the source, rising.
        boxes: float32 ``[F, 4]``: left, top, right, bottom in pixels.
        points: float32 ``[F, 5, 2]``, as in `FaceDetection`.
        scores: float32 ``[F]`` of the detector.
    """

    times: np.ndarray
    boxes: np.ndarray
    points: np.ndarray
    scores: np.ndarray

    @property
    def start(self) -> float:
        return float(self.times[0])

    @property
    def end(self) -> float:
        return float(self.times[-1])

    @property
    def center(self) -> tuple[float, float]:
        """Median of the centres of its boxes, in pixels."""
        left, top, right, bottom = np.median(self.boxes, axis=0)
        return float(left + right) / 2, float(top + bottom) / 2

    @property
    def face_size(self) -> float:
        """Median of the longer side of its boxes, in pixels."""
        return float(np.median((self.boxes[:, 2:] - self.boxes[:, :2]).max(axis=1)))

    def at(self, time: float) -> FaceDetection | None:
        """The face at a time, between two detections by interpolation; ``None`` when the track is over."""
        if not self.start - _HOLD_SECONDS <= time <= self.end + _HOLD_SECONDS:
            return None
        time = min(max(time, self.start), self.end)
        flat = np.concatenate([self.boxes, self.points.reshape(-1, 10), self.scores[:, None]], axis=1)
        later = int(np.searchsorted(self.times, time))
        if self.times[later] == time:
            values = flat[later]
        else:
            before, after = self.times[later - 1], self.times[later]
            share = (time - before) / (after - before)
            values = (1 - share) * flat[later - 1] + share * flat[later]
        box = tuple(float(value) for value in values[:4])
        return FaceDetection(box, np.float32(values[4:14].reshape(5, 2)), float(values[14]))

    def part(self, first: int, last: int) -> "FaceTrack":
        """Detections ``first`` to ``last - 1``."""
        return FaceTrack(*(value[first:last] for value in (self.times, self.boxes, self.points, self.scores)))


def link_faces(frames: Iterable[TimedFaces]) -> list[FaceTrack]:
    """Link the faces of one shot to tracks; the longest first.

    Every detection is in at most one track. Tracks of fewer than ``MIN_DETECTIONS`` or shorter than
    ``MIN_TRACK_SECONDS`` are dropped: they are false alarms more often than faces.

    Args:
        frames: in the order of time.
    """
    open_tracks: list[list[tuple[float, FaceDetection]]] = []
    closed: list[list[tuple[float, FaceDetection]]] = []
    for frame in frames:
        for track in [track for track in open_tracks if frame.time - track[-1][0] > MAX_GAP_SECONDS]:
            open_tracks.remove(track)
            closed.append(track)
        links = _assign([track[-1][1] for track in open_tracks], frame.faces)
        for index, face in enumerate(frame.faces):
            if index in links:
                open_tracks[links[index]].append((frame.time, face))
            else:
                open_tracks.append([(frame.time, face)])
    tracks = [_to_track(track) for track in closed + open_tracks if len(track) >= MIN_DETECTIONS]
    tracks = [track for track in tracks if track.end - track.start >= MIN_TRACK_SECONDS]
    return sorted(tracks, key=lambda track: (track.start - track.end, track.start, *track.center))


def _assign(previous: Sequence[FaceDetection], faces: Sequence[FaceDetection]) -> dict[int, int]:
    """Index of a face in the new picture -> index of the track it continues."""
    if not previous or not faces:
        return {}
    overlaps = _overlaps(np.array([face.box for face in previous]), np.array([face.box for face in faces]))
    rows, columns = linear_sum_assignment(-overlaps)
    return {
        int(column): int(row)
        for row, column in zip(rows, columns, strict=True)
        if overlaps[row, column] >= MIN_OVERLAP
    }


def _overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes ``[N, 4]`` and ``[M, 4]``; ``[N, M]`` in [0, 1]."""
    corner = np.minimum(first[:, None, 2:], second[None, :, 2:]) - np.maximum(first[:, None, :2], second[None, :, :2])
    shared = corner.clip(0).prod(axis=-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=-1) for boxes in (first, second)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)


def _to_track(found: list[tuple[float, FaceDetection]]) -> FaceTrack:
    times, faces = zip(*found, strict=True)
    return FaceTrack(
        np.array(times, np.float64),
        np.array([face.box for face in faces], np.float32),
        np.stack([face.points for face in faces]).astype(np.float32),
        np.array([face.score for face in faces], np.float32),
    )


def sample_times(track: FaceTrack, count: int) -> list[float]:
    """Times of up to ``count`` detections of a track, spread evenly, where its face should be embedded."""
    positions = np.linspace(0, len(track.times) - 1, min(count, len(track.times)) * 2 + 1)[1::2]
    return [float(track.times[round(position)]) for position in positions]


def split_track(
    track: FaceTrack, times: Sequence[float], embeddings: np.ndarray, min_similarity: float = SAME_FACE_SIMILARITY
) -> list[tuple[FaceTrack, np.ndarray]]:
    """Split a track where its face becomes another one.

    Two embeddings or more on each side have to say so, so that one bad picture does not split a person in two.

    Args:
        track: the track.
        times: when the embeddings were taken, rising.
        embeddings: unit vectors ``[N, D]``.
        min_similarity: cosine of the two sides' means below which they are different people; depends on the embedder.

    Returns:
        The parts in order, each with its own rows of ``embeddings``.
    """
    best, place = min_similarity, None
    for index in range(1, len(times)):
        similarity = _cosine(embeddings[:index].mean(axis=0), embeddings[index:].mean(axis=0))
        if similarity < best and min(index, len(times) - index) >= 2:
            best, place = similarity, index
    if place is None:
        return [(track, embeddings)]
    boundary = (times[place - 1] + times[place]) / 2
    at = int(np.searchsorted(track.times, boundary))
    return split_track(track.part(0, at), times[:place], embeddings[:place], min_similarity) + split_track(
        track.part(at, len(track.times)), times[place:], embeddings[place:], min_similarity
    )


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / max(np.linalg.norm(first) * np.linalg.norm(second), 1e-9))


def mean_embedding(embeddings: np.ndarray) -> tuple[np.ndarray, float]:
    """Unit mean of unit vectors ``[N, D]``, and how well they agree with it (mean cosine)."""
    mean = embeddings.mean(axis=0)
    mean = mean / max(float(np.linalg.norm(mean)), 1e-9)
    return mean, float((embeddings @ mean).mean())
