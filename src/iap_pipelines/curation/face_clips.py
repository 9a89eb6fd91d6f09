"""Cuts a tracked face out of the pictures, steadily, so that its mouth can be followed. Letters: F frames, S side."""

from collections.abc import Callable, Iterable

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter

from iap_pipelines.curation.tracking import FaceTrack, TimedFaces, link_faces
from iap_pipelines.perception.interfaces import FaceClip, FaceDetection, FaceDetector, FaceLandmarker


CROP_SIDE = 192
"""Pixels; the face then has about 137, more than the landmarks and SyncNet-like models need."""
_CROP_PER_FACE = 1.4
_STEPS_PER_SECOND = 25
_MEDIAN_STEPS, _GAUSSIAN_STEPS = 13, 4.0
"""Half a second each: boxes tremble, heads do not."""


def follow_faces(
    pictures: Callable[[], Iterable[tuple[float, np.ndarray]]],
    detector: FaceDetector,
    landmarker: FaceLandmarker,
    *,
    search_rate: float = 5.0,
) -> list[tuple[FaceTrack, FaceClip]]:
    """Find, link and cut out the faces of one shot, which is gone through twice, one picture at a time.

    Args:
        pictures: called twice; gives time in seconds and RGB uint8 picture ``[H, W, 3]``.
        detector: finds faces.
        landmarker: locates their points.
        search_rate: pictures per second that are searched, beside the first and the last.
    """
    found, last = [], None
    for time, image in pictures():
        last = time, image
        if not found or time - found[-1].time >= 1 / search_rate - 1e-6:
            found.append(TimedFaces(time, tuple(detector.detect(image))))
    if last is not None and last[0] > found[-1].time:
        found.append(TimedFaces(last[0], tuple(detector.detect(last[1]))))
    tracks = link_faces(found)
    recorders = [FaceClipRecorder(track, landmarker) for track in tracks]
    if recorders:
        for time, image in pictures():
            for recorder in recorders:
                recorder.add(time, image)
    clips = [recorder.finish() for recorder in recorders]
    return [(track, clip) for track, clip in zip(tracks, clips, strict=True) if clip is not None]


class FaceClipRecorder:
    """Takes pictures of a source one after the other and keeps what belongs to one track.

    Args:
        track: whose face.
        landmarker: locates the points of the face.
    """

    def __init__(self, track: FaceTrack, landmarker: FaceLandmarker) -> None:
        self._track, self._landmarker = track, landmarker
        self._clock, self._squares = _smooth_squares(track)
        self._times: list[float] = []
        self._crops: list[np.ndarray] = []
        self._points: list[np.ndarray] = []

    def add(self, time: float, image: np.ndarray) -> None:
        """Look at the RGB uint8 picture ``[H, W, 3]`` at ``time``; pictures outside of the track are passed over."""
        face = self._track.at(time)
        if face is None:
            return
        x, y, side = (float(np.interp(time, self._clock, column)) for column in self._squares.T)
        scale = CROP_SIDE / side
        transform = np.float32([[scale, 0, CROP_SIDE / 2 - scale * x], [0, scale, CROP_SIDE / 2 - scale * y]])
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        crop = _crop(image, x, y, side, interpolation)
        self._times.append(time)
        self._crops.append(crop)
        self._points.append(self._landmarker.locate(crop, _move(face, transform)))

    def finish(self) -> FaceClip | None:
        """Everything seen so far; ``None`` if that is fewer than two pictures."""
        if len(self._times) < 2:
            return None
        return FaceClip(np.array(self._times, np.float64), np.stack(self._crops), np.stack(self._points))


def _smooth_squares(track: FaceTrack) -> tuple[np.ndarray, np.ndarray]:
    """A steady clock, and on it centre x, centre y and side of the square to cut out, ``[T, 3]``."""
    clock = np.arange(track.start, track.end + 0.5 / _STEPS_PER_SECOND, 1 / _STEPS_PER_SECOND)
    centers = (track.boxes[:, :2] + track.boxes[:, 2:]) / 2
    sides = _CROP_PER_FACE * (track.boxes[:, 2:] - track.boxes[:, :2]).max(axis=1)
    squares = np.stack(
        [np.interp(clock, track.times, column) for column in (centers[:, 0], centers[:, 1], sides)], axis=1
    )
    squares = median_filter(squares, size=(_MEDIAN_STEPS, 1), mode="nearest")
    return clock, gaussian_filter1d(squares, _GAUSSIAN_STEPS, axis=0, mode="nearest")


def _crop(image: np.ndarray, x: float, y: float, side: float, interpolation: int) -> np.ndarray:
    """Cut a square, the border repeated where it reaches beyond the picture, to ``CROP_SIDE`` pixels."""
    left, top, length = round(x - side / 2), round(y - side / 2), max(2, round(side))
    right, bottom = left + length, top + length
    height, width = image.shape[:2]
    inside = image[max(top, 0) : max(bottom, 1), max(left, 0) : max(right, 1)]
    if left < 0 or top < 0 or right > width or bottom > height:
        margins = [max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0)]
        inside = cv2.copyMakeBorder(np.ascontiguousarray(inside), *margins, cv2.BORDER_REPLICATE)
    return cv2.resize(np.ascontiguousarray(inside), (CROP_SIDE, CROP_SIDE), interpolation=interpolation)


def _move(face: FaceDetection, transform: np.ndarray) -> FaceDetection:
    points = face.points @ transform[:, :2].T + transform[:, 2]
    box = np.float32(face.box).reshape(2, 2) @ transform[:, :2].T + transform[:, 2]
    return FaceDetection(tuple(float(value) for value in box.ravel()), points.astype(np.float32), face.score)
