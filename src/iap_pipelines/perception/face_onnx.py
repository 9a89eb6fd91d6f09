"""Face detector (SCRFD) and face embedder (ArcFace) as ONNX files that the user names, run by onnxruntime.

Made for the files of insightface's model packs, ``det_10g.onnx`` and ``w600k_r50.onnx`` of buffalo_l for instance, and
for anything exported in the same shape. The packs are free for research only: nothing is downloaded here.
"""

import os

import cv2
import numpy as np

from iap_pipelines.perception.interfaces import FaceDetection
from iap_pipelines.perception.packages import file_revision, model_file, onnx_session


_STRIDES, _ANCHORS_PER_PLACE = (8, 16, 32), 2
_TEMPLATE = np.float32(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where ArcFace expects eyes, nose and corners of the mouth in its picture of 112 x 112 pixels (insightface)."""
_FACE_SIZE = 112


class ScrfdDetector:
    """SCRFD with five points: nine outputs (scores, distances to the box, distances to the points; strides 8, 16, 32).

    Args:
        path: the ONNX file.
        input_size: side of the square picture that is searched, in pixels, a multiple of 32.
        min_score: faces below are left out, in [0, 1].
        max_overlap: of two boxes whose intersection over union is larger, the better one stays.
        num_threads: of the model.
    """

    name = "scrfd"

    def __init__(
        self,
        path: str | os.PathLike[str],
        input_size: int = 640,
        min_score: float = 0.5,
        max_overlap: float = 0.4,
        num_threads: int = 1,
    ) -> None:
        path = model_file("path", path)
        self.revision = file_revision(path)
        self.input_size, self.min_score, self.max_overlap = input_size, min_score, max_overlap
        self._session = onnx_session(path, num_threads)
        num_outputs = len(self._session.get_outputs())
        if num_outputs != 9:
            raise ValueError(
                f"`path` must be a SCRFD model with 9 outputs (with points), but {path} has {num_outputs}."
            )

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        """Find faces in an RGB uint8 picture ``[H, W, 3]``; the largest first."""
        scale = self.input_size / max(image.shape[:2])
        size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
        canvas = np.zeros((self.input_size, self.input_size, 3), np.uint8)
        canvas[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        blob = (canvas.astype(np.float32) - 127.5).transpose(2, 0, 1)[None] / 128
        outputs = self._session.run(None, {self._session.get_inputs()[0].name: blob})
        candidates = [self._decode(outputs, level, stride) for level, stride in enumerate(_STRIDES)]
        scores, boxes, points = (np.concatenate(part) for part in zip(*candidates, strict=True))
        kept = _non_maximum_suppression(boxes, scores, self.max_overlap)
        faces = [
            FaceDetection(
                tuple(float(value) for value in boxes[i] / scale), np.float32(points[i] / scale), float(scores[i])
            )
            for i in kept
        ]
        return sorted(faces, key=lambda face: -face.size)

    def _decode(self, outputs: list[np.ndarray], level: int, stride: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scores, to_box, to_points = (
            outputs[level + 3 * kind].reshape(-1, width) for kind, width in enumerate((1, 4, 10))
        )
        side = self.input_size // stride
        rows, columns = np.mgrid[:side, :side]
        centres = np.stack([columns, rows], axis=-1).reshape(-1, 2).repeat(_ANCHORS_PER_PLACE, axis=0) * stride
        chosen = scores[:, 0] >= self.min_score
        centres, to_box, to_points = centres[chosen], to_box[chosen] * stride, to_points[chosen] * stride
        boxes = np.concatenate([centres - to_box[:, :2], centres + to_box[:, 2:]], axis=1)
        return scores[chosen, 0], boxes, centres[:, None] + to_points.reshape(-1, 5, 2)


class ArcFaceEmbedder:
    """A network that takes an aligned face ``[1, 3, 112, 112]``, RGB in [-1, 1], and gives one vector.

    Args:
        path: the ONNX file.
        num_threads: of the model.
    """

    name = "arcface"

    def __init__(self, path: str | os.PathLike[str], num_threads: int = 1) -> None:
        path = model_file("path", path)
        self.revision = file_revision(path)
        self._session = onnx_session(path, num_threads)

    def embed(self, image: np.ndarray, face: FaceDetection) -> np.ndarray:
        """Embed a face of an RGB uint8 picture; unit vector ``[D]``."""
        aligned = align_face(image, face)
        blob = (aligned.astype(np.float32) - 127.5).transpose(2, 0, 1)[None] / 127.5
        embedding = self._session.run(None, {self._session.get_inputs()[0].name: blob})[0][0]
        return embedding / np.linalg.norm(embedding)


def align_face(image: np.ndarray, face: FaceDetection) -> np.ndarray:
    """Turn, scale and move a face so that its five points come to lie on ArcFace's; uint8 ``[112, 112, 3]``."""
    transform, _ = cv2.estimateAffinePartial2D(face.points, _TEMPLATE, method=cv2.LMEDS)
    return cv2.warpAffine(image, transform, (_FACE_SIZE, _FACE_SIZE))


def _non_maximum_suppression(boxes: np.ndarray, scores: np.ndarray, max_overlap: float) -> list[int]:
    left, top, right, bottom = boxes.T
    areas = (right - left) * (bottom - top)
    waiting, kept = np.argsort(-scores), []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        width = np.minimum(right[best], right[waiting]) - np.maximum(left[best], left[waiting])
        height = np.minimum(bottom[best], bottom[waiting]) - np.maximum(top[best], top[waiting])
        shared = width.clip(0) * height.clip(0)
        waiting = waiting[shared <= max_overlap * (areas[best] + areas[waiting] - shared)]
    return kept
