"""SCRFD and ArcFace with models of the same inputs and outputs that the test makes."""

import cv2
import numpy as np
import pytest
from onnx import helper

from iap_pipelines.perception.backends import load_face_detector, load_face_embedder
from iap_pipelines.perception.face_onnx import _TEMPLATE, align_face
from iap_pipelines.perception.interfaces import FaceDetection
from tests.perception.onnx_models import save_flat_projection, save_model


SIDE = 64
STRIDES = (8, 16, 32)


def _save_scrfd(path, faces):
    """A detector that always finds ``faces``: (stride, row, column, anchor, score, box, points) in input pixels."""
    constants = {}
    for stride in STRIDES:
        places = 2 * (SIDE // stride) ** 2
        constants |= {f"{kind}{stride}": np.zeros((places, width)) for kind, width in _KINDS}
    for stride, row, column, anchor, score, box, points in faces:
        index = 2 * (row * (SIDE // stride) + column) + anchor
        center = np.array([column, row]) * stride
        constants[f"score{stride}"][index] = score
        constants[f"box{stride}"][index] = np.concatenate([center - box[:2], box[2:] - center]) / stride
        constants[f"points{stride}"][index] = ((points - center) / stride).ravel()
    outputs = {
        f"{kind}{stride}_out": [2 * (SIDE // stride) ** 2, width] for kind, width in _KINDS for stride in STRIDES
    }
    # The answer does not depend on the picture, but a model has to read it.
    nodes = [
        helper.make_node("ReduceMax", ["image"], ["brightest"], keepdims=0),
        helper.make_node("Mul", ["brightest", "nothing"], ["zero"]),
    ]
    nodes += [helper.make_node("Add", [name.removesuffix("_out"), "zero"], [name]) for name in outputs]
    return save_model(path, {"image": [1, 3, SIDE, SIDE]}, nodes, constants | {"nothing": np.zeros(())}, outputs)


_KINDS = (("score", 1), ("box", 4), ("points", 10))
POINTS = np.array([[12.0, 14], [20, 14], [16, 18], [13, 23], [19, 23]])


def test_scrfd_boxes_are_in_pixels_of_the_picture(tmp_path):
    box = np.array([8.0, 9, 25, 30])
    path = _save_scrfd(tmp_path / "det.onnx", [(8, 2, 2, 1, 0.9, box, POINTS), (16, 3, 3, 0, 0.2, box, POINTS)])
    detector = load_face_detector({"type": "scrfd", "path": str(path), "input_size": SIDE})
    (face,) = detector.detect(np.zeros((100, 128, 3), np.uint8))
    np.testing.assert_allclose(face.box, 2 * box, rtol=1e-5)
    np.testing.assert_allclose(face.points, 2 * POINTS, rtol=1e-5)
    assert face.score == pytest.approx(0.9)


def test_scrfd_keeps_the_better_of_two_that_overlap_and_the_largest_first(tmp_path):
    small, large = np.array([4.0, 4, 14, 16]), np.array([30.0, 20, 60, 60])
    shifted = small + 1
    path = _save_scrfd(
        tmp_path / "det.onnx",
        [
            (8, 1, 1, 0, 0.8, small, POINTS),
            (8, 1, 1, 1, 0.95, shifted, POINTS),
            (32, 1, 1, 0, 0.7, large, POINTS),
        ],
    )
    detector = load_face_detector({"type": "scrfd", "path": str(path), "input_size": SIDE})
    first, second = detector.detect(np.zeros((SIDE, SIDE, 3), np.uint8))
    np.testing.assert_allclose(first.box, large, rtol=1e-5)
    np.testing.assert_allclose(second.box, shifted, rtol=1e-5)


def test_scrfd_refuses_another_model(tmp_path):
    path = save_flat_projection(tmp_path / "other.onnx", (3, 8, 8), 4, seed=0)
    with pytest.raises(ValueError, match="9 outputs"):
        load_face_detector({"type": "scrfd", "path": str(path)})


def test_alignment_undoes_turn_scale_and_place():
    picture = np.random.default_rng(0).integers(0, 255, (112, 112, 3), dtype=np.uint8)
    picture = cv2.GaussianBlur(picture, (0, 0), 4)
    turn = cv2.getRotationMatrix2D((56, 56), 20, 2.0) + np.float32([[0, 0, 90], [0, 0, 80]])
    moved = cv2.warpAffine(picture, turn, (300, 300))
    face = FaceDetection((0, 0, 1, 1), np.float32(_TEMPLATE @ turn[:, :2].T + turn[:, 2]), 1.0)
    inner = np.s_[20:92, 20:92]
    difference = align_face(moved, face)[inner].astype(float) - picture[inner]
    assert np.abs(difference).mean() < 1.0


def test_arcface_gives_unit_vectors_of_the_aligned_face(tmp_path):
    path = save_flat_projection(tmp_path / "rec.onnx", (3, 112, 112), 16, seed=1)
    embedder = load_face_embedder({"type": "arcface", "path": str(path)})
    generator = np.random.default_rng(2)
    picture = cv2.GaussianBlur(generator.integers(0, 255, (200, 220, 3), dtype=np.uint8), (0, 0), 3)
    face = FaceDetection((0, 0, 1, 1), _TEMPLATE + 30, 1.0)
    shifted = FaceDetection((0, 0, 1, 1), _TEMPLATE + np.float32([47, 41]), 1.0)
    embedding = embedder.embed(picture, face)
    assert embedding.shape == (16,)
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)
    moved = np.roll(picture, (11, 17), axis=(0, 1))
    np.testing.assert_allclose(embedder.embed(moved, shifted), embedding, atol=1e-4)
    assert len(embedder.revision) == 12
