"""The share of drawn faces that a detector of real faces finds."""

import numpy as np
import pytest

from benchmarks.drawn_people import Look, look_for_faces, table_rows
from iap_pipelines.perception.interfaces import FaceDetection
from iap_pipelines.synthetic.people import draw_people


def test_a_real_detector_finds_nearly_all_of_them():
    pytest.importorskip("yuface", reason="needs iap-pipelines[curation]")
    from iap_pipelines.perception.backends import load_face_detector

    looks = look_for_faces(draw_people(40, seed=5), load_face_detector(), height=258, shots=1, seed=5)
    assert sum(look.is_found for look in looks) >= 38
    assert sum(look.num_false for look in looks) == 0


class Elsewhere:
    """Sees a face in a corner of every picture."""

    def detect(self, image):
        return [FaceDetection((0.0, 0.0, 5.0, 5.0), np.zeros((5, 2), np.float32), 1.0)]


def test_a_face_somewhere_else_is_not_found():
    [look] = look_for_faces(draw_people(1, seed=5), Elsewhere(), height=96, shots=1, seed=5)
    assert not look.is_found and look.num_false == 1 and abs(look.yaw_degrees) < 24


def test_faces_are_counted_by_how_far_they_are_turned():
    looks = [Look(0, 3.0, True, 0), Look(0, -12.0, False, 0), Look(1, 4.0, True, 0), Look(1, 20.0, True, 0)]
    rows = table_rows(looks, seed=0)
    assert [row[:2] for row in rows] == [["up to 5°", "2"], ["up to 10°", "2"], ["up to 15°", "3"], ["up to 24°", "4"]]
    assert [row[2].split()[0] for row in rows] == ["100.0", "100.0", "66.7", "75.0"]
