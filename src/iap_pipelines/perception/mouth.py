"""How a mouth moves, measured on points and pixels. Letters: F frames, T steps of 40 ms."""

from dataclasses import dataclass

import cv2
import numpy as np

from iap_pipelines.perception.interfaces import FaceClip


RATE = 25
"""Steps per second that lips and sound are compared at."""
STEP_SECONDS = 1 / RATE
_PATCH = (32, 24)
"""Width and height of the mouth's patch, in pixels."""
_PATCH_PER_EYE_DISTANCE = 1.3
_UPPER, _LOWER = [61, 62, 63], [67, 66, 65]
"""Points of the inner lips that lie above each other."""


@dataclass(frozen=True, eq=False)
class MouthSeries:
    """A mouth over time.

    Args:
        times: float64 ``[F]``, seconds on the clock of the source.
        opening: float32 ``[F]``: gap of the inner lips over the height of the face (bridge of the nose to chin).
        motion: float32 ``[F]``: mean change of the mouth's pixels since the picture before, grey levels per 40 ms.
        looks: float32 ``[F, 192]``: the mouth's patch in 12 x 16 grey levels. Needed to compare with sound; ``None``
            where only motion counts.
    """

    times: np.ndarray
    opening: np.ndarray
    motion: np.ndarray
    looks: np.ndarray | None = None


def measure_mouth(face: FaceClip) -> MouthSeries:
    """Measure the mouth in every picture. The patch turns and scales with the face, so that only lips move in it."""
    points = face.points
    height = np.linalg.norm(points[:, 27] - points[:, 8], axis=1)
    gaps = np.linalg.norm(points[:, _UPPER] - points[:, _LOWER], axis=2).mean(axis=1)
    patches = np.stack([_mouth_patch(crop, place) for crop, place in zip(face.crops, _steady(points), strict=True)])
    changes = np.abs(np.diff(patches, axis=0)).mean(axis=(1, 2)) * STEP_SECONDS / np.diff(face.times)
    motion = np.concatenate([changes[:1], changes])
    looks = patches[:, ::2, ::2].reshape(len(patches), -1)
    opening = gaps / np.maximum(height, 1e-3)
    return MouthSeries(face.times, *(values.astype(np.float32) for values in (opening, motion, looks)))


def _steady(points: np.ndarray) -> np.ndarray:
    """Eyes, nose and corners of the mouth without their tremble: mean over three pictures, ``[F, 68, 2]``."""
    padded = np.concatenate([points[:1], points, points[-1:]])
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3


def _mouth_patch(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Grey levels around the mouth, upright, float32 ``[24, 32]``."""
    left_eye, right_eye = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    across = right_eye - left_eye
    center = points[48:60].mean(axis=0)
    width, height = _PATCH
    scale = width / max(_PATCH_PER_EYE_DISTANCE * float(np.linalg.norm(across)), 1e-3)
    angle = np.arctan2(across[1], across[0])
    turn = scale * np.float32([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    shift = np.float32([width / 2, height / 2]) - turn @ center
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    patch = cv2.warpAffine(grey, np.column_stack([turn, shift]), _PATCH, flags=cv2.INTER_AREA)
    return patch.astype(np.float32)
