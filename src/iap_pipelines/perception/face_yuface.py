"""Face detection with libfacedetection (package yuface, BSD-3): a small CNN compiled into the package, five points.

The library is called directly: the package's own function loses 36 kB in every call, a gigabyte in an hour of video.
"""

import ctypes

import cv2
import numpy as np

from iap_pipelines.perception.interfaces import FaceDetection
from iap_pipelines.perception.packages import import_package, package_file, package_revision, single_omp_thread


_SYMBOL = "_Z14facedetect_cnnPhS_iii"
"""``int* facedetect_cnn(unsigned char* buffer, unsigned char* bgr, int width, int height, int bytes_per_row)``"""
_BUFFER_BYTES = 0x20000
_NUMBERS_PER_FACE = 16
"""int16: score in percent; left, top, width, height; x and y of five points; one unused."""


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
            import_package("yuface", "yuface")  # brings the library's own libraries
            library = ctypes.CDLL(str(package_file("yuface", "yuface", "libfacedetection.so")))
        self._call = library[_SYMBOL]
        self._call.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_int] * 3
        self._call.restype = ctypes.c_void_p
        self._buffer = np.zeros(_BUFFER_BYTES, np.uint8)
        self.revision = package_revision("yuface")
        self.longest_side = longest_side
        self.min_score = min_score

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        """Find faces in an RGB uint8 picture ``[H, W, 3]``; the largest first."""
        scale = min(1.0, self.longest_side / max(image.shape[:2]))
        size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
        small = image if scale == 1.0 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        found = self._find(np.ascontiguousarray(small[..., ::-1], np.uint8))
        found = found[found[:, 0] > 100 * self.min_score]
        scores, boxes, points = found[:, 0], found[:, 1:5], found[:, 5:15]
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

    def _find(self, bgr: np.ndarray) -> np.ndarray:
        """All faces of a picture ``[H, W, 3]`` as the library gives them, int16 ``[N, 16]``."""
        height, width = bgr.shape[:2]
        self._buffer[:4] = 0
        self._call(self._buffer.ctypes.data, bgr.ctypes.data, width, height, bgr.strides[0])
        count = int(self._buffer[:4].view(np.int32)[0])
        size = 2 * _NUMBERS_PER_FACE * count
        return self._buffer[4 : 4 + size].view(np.int16).reshape(count, _NUMBERS_PER_FACE).copy()
