"""Face detection with libfacedetection (package yuface, BSD-3): a small CNN compiled into the package, five points."""

import cv2
import numpy as np

from iap_pipelines.perception.interfaces import FaceDetection
from iap_pipelines.perception.packages import import_package, package_revision, single_omp_thread


class YuFaceDetector:
    """Finds faces down to about a fortieth of the picture's longer side.

    Args:
        longest_side: the picture is made smaller to this before it is searched, in pixels. 320 takes half the time of
            416; beyond 960 the detector becomes unreliable.
        min_score: faces below are left out, in [0, 1].
    """

    name = "yuface"

    def __init__(self, longest_side: int = 416, min_score: float = 0.6) -> None:
        with single_omp_thread():
            self._detect = import_package("yuface", "yuface").detect
        self.revision = package_revision("yuface")
        self.longest_side = longest_side
        self.min_score = min_score

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        """Find faces in an RGB uint8 picture ``[H, W, 3]``; the largest first."""
        scale = min(1.0, self.longest_side / max(image.shape[:2]))
        size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
        small = image if scale == 1.0 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        scores, boxes, points = self._detect(np.ascontiguousarray(small[..., ::-1]), self.min_score)
        across, down = image.shape[1] / size[0], image.shape[0] / size[1]
        return sorted(
            (
                FaceDetection(
                    (x * across, y * down, (x + width) * across, (y + height) * down),
                    five.reshape(5, 2).astype(np.float32) * np.float32([across, down]),
                    float(score) / 100,
                )
                for score, (x, y, width, height), five in zip(scores, boxes.astype(float), points, strict=True)
            ),
            key=lambda face: -face.size,
        )
