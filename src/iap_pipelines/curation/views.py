"""Pictures of a face that are good enough to be a reference: turned how far, how sharp, how large."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from iap_pipelines.perception.interfaces import FaceDetection


CHIP_SIDE = 128
"""Sharpness and brightness are measured at this size: the variance of the Laplacian grows on small pictures."""
SIDE_VIEW_DEGREES = 25.0
"""Beyond this turn a view is a side view."""
_FULL_SIZE, _FULL_SHARPNESS = 256.0, 150.0
"""Pixels and grey levels squared from which more does not make a view better."""
_MIN_GAP_SECONDS = 0.4
_MIN_FINGERPRINT_DISTANCE = 8

# A rigid head for `head_turn`: eyes, nose and mouth corners of an average adult, in units of the distance of the eyes;
# x to the right of the picture, y down, z towards the camera.
_HEAD = np.float64(
    [[-0.5, -0.3, -0.25], [0.5, -0.3, -0.25], [0.0, 0.18, 0.25], [-0.38, 0.65, -0.12], [0.38, 0.65, -0.12]]
)


@dataclass(frozen=True)
class FaceView:
    """One picture of a face.

    Args:
        time: seconds on the clock of the source.
        face: where it is.
        yaw: degrees; positive when the nose points to the right of the picture.
        pitch: degrees; positive upwards.
        sharpness: variance of the Laplacian on a chip of 128 pixels, grey levels squared.
        luma: mean brightness of the chip, 0 to 255.
        fingerprint: difference hash of the chip, 64 bits; near copies differ in few.
    """

    time: float
    face: FaceDetection
    yaw: float
    pitch: float
    sharpness: float
    luma: float
    fingerprint: int

    @property
    def score(self) -> float:
        """Frontality x sharpness x size x confidence, each in [0, 1]: one bad property is enough to lose."""
        frontal = max(0.0, math.cos(math.radians(self.yaw))) * max(0.0, math.cos(math.radians(self.pitch)))
        return frontal * self.quality

    @property
    def quality(self) -> float:
        """As ``score``, without frontality: the better of two side views."""
        sharp = min(1.0, self.sharpness / _FULL_SHARPNESS)
        return sharp * min(1.0, self.face.size / _FULL_SIZE) * self.face.score

    @property
    def side(self) -> str:
        """``left``, ``frontal`` or ``right``: where the nose points."""
        if abs(self.yaw) <= SIDE_VIEW_DEGREES:
            return "frontal"
        return "right" if self.yaw > 0 else "left"


def describe_view(time: float, image: np.ndarray, face: FaceDetection) -> FaceView:
    """Measure a face in an RGB uint8 picture ``[H, W, 3]``."""
    chip = face_chip(image, face)
    yaw, pitch = head_turn(face.points)
    return FaceView(
        time=time,
        face=face,
        yaw=yaw,
        pitch=pitch,
        sharpness=float(cv2.Laplacian(chip, cv2.CV_64F).var()),
        luma=float(chip.mean()),
        fingerprint=difference_hash(chip),
    )


def choose_views(views: Sequence[FaceView], per_side: int = 1, alternates: int = 2) -> list[FaceView]:
    """Choose the best views of a track: the best of each side, then others that differ from all chosen.

    Args:
        views: of one track.
        per_side: how many of each of the three sides.
        alternates: how many more, of any side, at least 0.4 s and 8 bits of fingerprint from those chosen.

    Returns:
        The views, the best first.
    """
    chosen: list[FaceView] = []
    for side in ("frontal", "left", "right"):
        of_side = sorted((view for view in views if view.side == side), key=lambda view: (-view.quality, view.time))
        if side == "frontal":
            of_side.sort(key=lambda view: (-view.score, view.time))
        chosen += [view for index, view in enumerate(of_side[:per_side]) if view.quality > 0]
    wanted = len(chosen) + alternates
    for view in sorted(views, key=lambda view: (-view.score, view.time)):
        if len(chosen) >= wanted:
            break
        if all(_differ(view, other) for other in chosen):
            chosen.append(view)
    return sorted(chosen, key=lambda view: (-view.score, view.time))


def face_chip(image: np.ndarray, face: FaceDetection) -> np.ndarray:
    """The face as grey levels, square, ``[128, 128]``; what lies beyond the picture repeats its border."""
    left, top, right, bottom = face.box
    side = max(right - left, bottom - top, 1.0)
    scale = CHIP_SIDE / side
    center = (left + right) / 2, (top + bottom) / 2
    place = np.float32([[scale, 0, CHIP_SIDE / 2 - scale * center[0]], [0, scale, CHIP_SIDE / 2 - scale * center[1]]])
    first_row, last_row = (round(min(max(value, 0), image.shape[0])) for value in (top - side, bottom + side))
    first_column, last_column = (round(min(max(value, 0), image.shape[1])) for value in (left - side, right + side))
    near = image[first_row : max(last_row, first_row + 1), first_column : max(last_column, first_column + 1)]
    place[:, 2] += place[:, :2] @ np.float32([first_column, first_row])
    grey = cv2.cvtColor(np.ascontiguousarray(near), cv2.COLOR_RGB2GRAY)
    if scale < 1:  # shrinking by warping alone would alias
        grey = cv2.GaussianBlur(grey, (0, 0), 0.4 / scale)
    return cv2.warpAffine(grey, place, (CHIP_SIDE, CHIP_SIDE), borderMode=cv2.BORDER_REPLICATE)


def head_turn(points: np.ndarray) -> tuple[float, float]:
    """Yaw and pitch in degrees from five points ``[5, 2]``, by the affine camera that fits a rigid head best.

    Least squares over five points, so tens of degrees are right and single ones are not.
    """
    model = _HEAD - _HEAD.mean(axis=0)
    seen = points.astype(np.float64) - points.mean(axis=0)
    camera = np.linalg.lstsq(model, seen, rcond=None)[0].T  # [2, 3]
    lengths = np.linalg.norm(camera, axis=1)
    if lengths.min() < 1e-9:
        return 0.0, 0.0
    across, down = camera / lengths[:, None]
    yaw = math.degrees(math.asin(float(np.clip(across[2], -1, 1))))
    pitch = -math.degrees(math.asin(float(np.clip(down[2], -1, 1))))
    return yaw, pitch


def difference_hash(chip: np.ndarray) -> int:
    """64 bits: whether each of 8 x 8 places is brighter than its right neighbour."""
    small = cv2.resize(chip, (9, 8), interpolation=cv2.INTER_AREA).astype(int)
    bits = (small[:, :-1] > small[:, 1:]).ravel()
    return int("".join("1" if bit else "0" for bit in bits), 2)


def _differ(first: FaceView, second: FaceView) -> bool:
    distance = (first.fingerprint ^ second.fingerprint).bit_count()
    return abs(first.time - second.time) >= _MIN_GAP_SECONDS and distance >= _MIN_FINGERPRINT_DISTANCE
