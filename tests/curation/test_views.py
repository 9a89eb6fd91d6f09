import math

import cv2
import numpy as np
import pytest

from iap_pipelines.curation.views import (
    _HEAD,
    FaceView,
    choose_views,
    describe_view,
    difference_hash,
    face_chip,
    head_turn,
)
from iap_pipelines.perception.interfaces import FaceDetection


def _turned_head(yaw, pitch, scale=40.0, place=(200, 150)):
    """Five points of the rigid head, turned and seen by a camera without perspective."""
    yaw, pitch = math.radians(yaw), math.radians(-pitch)
    across = np.array([math.cos(yaw), 0, math.sin(yaw)])
    around_x = np.array([[1, 0, 0], [0, math.cos(pitch), math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]])
    around_y = np.array([across, [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    turned = _HEAD @ around_y.T @ around_x.T
    return np.float32(scale * turned[:, :2] + place)


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (30, 0), (-50, 0), (0, 20), (0, -15)])
def test_turn_of_the_head(yaw, pitch):
    assert head_turn(_turned_head(yaw, pitch)) == pytest.approx((yaw, pitch), abs=1.0)


def test_turn_does_not_depend_on_place_or_size():
    assert head_turn(_turned_head(25, 5, 90, (10, 700))) == pytest.approx(head_turn(_turned_head(25, 5)), abs=0.1)


def test_points_that_coincide_have_no_turn():
    assert head_turn(np.zeros((5, 2), np.float32)) == (0.0, 0.0)


def view(time, yaw=0.0, sharpness=150.0, fingerprint=0, side=256.0, score=1.0):
    face = FaceDetection((0, 0, side, side), np.zeros((5, 2), np.float32), score)
    return FaceView(time, face, yaw, 0.0, sharpness, 100.0, fingerprint)


def test_one_bad_property_is_enough_to_lose():
    good = view(0)
    for worse in (view(0, yaw=60), view(0, sharpness=20), view(0, side=40), view(0, score=0.5)):
        assert worse.score < 0.6 * good.score


def test_the_best_of_each_side_and_then_what_differs():
    frontal, left, right = view(0.0), view(1.0, yaw=-40), view(2.0, yaw=40)
    copy, other = view(3.0), view(4.0, yaw=5, fingerprint=0xFFFF)
    chosen = choose_views([copy, other, right, left, frontal])
    assert set(map(id, chosen)) == {id(frontal), id(left), id(right), id(other)}
    assert chosen[0] is frontal
    assert [item.score for item in chosen] == sorted((item.score for item in chosen), reverse=True)


def test_views_do_not_depend_on_their_order():
    generator = np.random.default_rng(0)
    views = [
        view(
            t / 5,
            yaw=float(generator.uniform(-60, 60)),
            sharpness=float(generator.uniform(10, 200)),
            fingerprint=int(f),
        )
        for t, f in enumerate(generator.integers(0, 2**62, 20))
    ]
    assert choose_views(views) == choose_views(views[::-1])


def test_a_chip_is_measured_at_one_size():
    picture = np.random.default_rng(0).integers(0, 255, (400, 500, 3), dtype=np.uint8)
    picture = cv2.GaussianBlur(picture, (0, 0), 6)
    face = FaceDetection((150, 100, 350, 300), _turned_head(0, 0, 80, (250, 200)), 0.9)
    double = cv2.resize(picture, (1000, 800), interpolation=cv2.INTER_LINEAR)
    larger = FaceDetection(tuple(2 * value for value in face.box), 2 * face.points, 0.9)
    first, second = describe_view(0, picture, face), describe_view(0, double, larger)
    assert second.sharpness == pytest.approx(first.sharpness, rel=0.25)
    assert second.luma == pytest.approx(first.luma, rel=0.02)
    assert (first.fingerprint ^ second.fingerprint).bit_count() <= 4


def test_blur_is_seen():
    picture = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    picture = cv2.GaussianBlur(picture, (0, 0), 2)
    face = FaceDetection((80, 80, 220, 220), _turned_head(0, 0, 50, (150, 150)), 0.9)
    blurred = cv2.GaussianBlur(picture, (0, 0), 5)
    assert describe_view(0, blurred, face).sharpness < 0.3 * describe_view(0, picture, face).sharpness


@pytest.mark.parametrize("box", [(-60, -50, 60, 70), (90, 90, 300, 310), (-500, -500, -400, -400)])
def test_a_face_beyond_the_border(box):
    picture = np.full((100, 120, 3), 90, np.uint8)
    chip = face_chip(picture, FaceDetection(box, np.zeros((5, 2), np.float32), 1.0))
    assert chip.shape == (128, 128)
    assert chip.mean() == pytest.approx(90, abs=1)


def test_fingerprints_of_near_copies_are_near():
    generator = np.random.default_rng(0)
    chip = cv2.GaussianBlur(generator.integers(0, 255, (128, 128), dtype=np.uint8), (0, 0), 8)
    stretched = cv2.normalize(chip, None, 0, 255, cv2.NORM_MINMAX)
    noisy = np.clip(stretched + generator.normal(0, 3, stretched.shape), 0, 255).astype(np.uint8)
    other = cv2.normalize(chip.T.copy(), None, 0, 255, cv2.NORM_MINMAX)
    assert (difference_hash(stretched) ^ difference_hash(noisy)).bit_count() <= 6
    assert (difference_hash(stretched) ^ difference_hash(other)).bit_count() >= 16
