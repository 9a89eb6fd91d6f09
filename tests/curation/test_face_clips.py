"""Cutting a face out of pictures, with a face that is a bright square."""

import numpy as np
import pytest

from iap_pipelines.curation.face_clips import CROP_SIDE, FaceClipRecorder, follow_faces
from iap_pipelines.perception.interfaces import FaceDetection


class SquareDetector:
    """Finds one bright square."""

    name, revision = "square", "test"

    def detect(self, image):
        rows, columns = np.nonzero(image[..., 0] > 200)
        if not len(rows):
            return []
        left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        middle = (left + right) / 2, (top + bottom) / 2
        points = np.float32([(left, top), (right, top), middle, (left, bottom), (right, bottom)])
        return [FaceDetection((left, top, right, bottom), points, 0.9)]


class CornerLandmarker:
    """All 68 points on the left eye."""

    name, revision = "corner", "test"

    def locate(self, image, face):
        return np.repeat(face.points[:1], 68, axis=0)


def pictures(lefts, side=40, rate=25.0, size=(120, 320)):
    def play():
        for index, left in enumerate(lefts):
            image = np.full((*size, 3), 20, np.uint8)
            if left is not None:
                first = max(round(left), 0)
                image[50 : 50 + side, first : round(left) + side] = 250
            yield index / rate, image

    return play


def follow(lefts, **options):
    return follow_faces(pictures(lefts, **options), SquareDetector(), CornerLandmarker())


def test_a_face_is_followed_to_both_ends():
    ((track, clip),) = follow([100.0] * 50)
    assert (track.start, track.end) == (0.0, pytest.approx(49 / 25))
    assert len(clip.times) == 50
    assert clip.crops.shape == (50, CROP_SIDE, CROP_SIDE, 3)


def test_the_face_lies_in_the_middle_and_fills_its_share():
    ((_, clip),) = follow(list(np.linspace(60, 200, 75)))
    for crop in clip.crops[15:-15]:
        rows, columns = np.nonzero(crop[..., 0] > 130)
        assert (columns.min() + columns.max()) / 2 == pytest.approx(CROP_SIDE / 2, abs=8)
        assert rows.max() - rows.min() == pytest.approx(CROP_SIDE / 1.4, abs=6)


def test_points_are_in_pixels_of_the_crop():
    ((_, clip),) = follow(list(np.linspace(60, 100, 50)))
    for crop, points in zip(clip.crops, clip.points, strict=True):
        rows, columns = np.nonzero(crop[..., 0] > 130)
        np.testing.assert_allclose(points[0], (columns.min(), rows.min()), atol=8)


def test_a_face_at_the_border_is_cut_out_whole():
    ((_, clip),) = follow([0.0] * 30)
    assert clip.crops.shape[1:] == (CROP_SIDE, CROP_SIDE, 3)
    assert clip.crops[10, CROP_SIDE // 2, CROP_SIDE // 2, 0] > 200


def test_the_crop_does_not_depend_on_the_size_of_the_picture():
    ((_, clip),) = follow([100.0] * 30)
    ((_, double),) = follow([200.0] * 30, side=80, size=(240, 640))
    inner = np.s_[5, 30:-30, 30:-30]
    # The larger square begins 50 pixels down as well: compare what lies inside both.
    assert clip.crops[inner].mean() == pytest.approx(double.crops[inner].mean(), abs=6)


def test_nobody_and_nothing():
    assert follow([None] * 10) == []
    assert follow([]) == []


def test_pictures_outside_of_the_track_are_passed_over():
    ((track, _),) = follow([100.0] * 30)
    recorder = FaceClipRecorder(track, CornerLandmarker())
    recorder.add(9.0, np.zeros((120, 320, 3), np.uint8))
    recorder.add(0.0, np.zeros((120, 320, 3), np.uint8))
    assert recorder.finish() is None
