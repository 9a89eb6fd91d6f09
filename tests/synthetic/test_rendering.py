from dataclasses import replace

import numpy as np
import pytest

from iap_pipelines.synthetic.body import Clothes
from iap_pipelines.synthetic.face import Pose
from iap_pipelines.synthetic.people import HAIR_STYLES, draw_people, draw_person
from iap_pipelines.synthetic.rendering import Actor, Light, face_box, render
from iap_pipelines.synthetic.scenes import SCENES, place


SIZE = 96


def picture(person, pose=None, scene="blue room", size=SIZE):
    actor = Actor(person, Clothes(0, 1, "round"), pose or Pose(), place(0, 1, size, size, shift=(0, 0, 0)))
    return render([actor], scene, size, size, Light()).astype(int), actor


@pytest.fixture(scope="module")
def people():
    return draw_people(24, seed=1)


def test_equal_input_gives_equal_pixels(people):
    assert np.array_equal(picture(people[0])[0], picture(people[0])[0])


@pytest.mark.parametrize("kind", ["woman", "man"])
def test_every_hair_style_shows(kind):
    person = draw_person(kind, np.random.default_rng(0))
    pictures = [picture(replace(person, hair_style=style))[0] for style in HAIR_STYLES[kind]]
    for index, first in enumerate(pictures):
        for second in pictures[:index]:
            assert np.abs(first - second).mean() > 0.4


@pytest.mark.parametrize(
    "trait", [{"glasses": "big"}, {"beard": "beard"}, {"face_shape": "round", "half_width": 0.42}, {"skin": 9}]
)
def test_every_identity_trait_shows(trait):
    person = replace(
        draw_person("man", np.random.default_rng(1)), glasses="none", beard="none", skin=2, half_width=0.36
    )
    assert np.abs(picture(person)[0] - picture(replace(person, **trait))[0]).mean() > 0.5


def test_an_open_mouth_changes_the_lower_face_only(people):
    closed, actor = picture(people[3])
    opened, _ = picture(people[3], Pose(mouth_opening=1.0))
    changed = np.argwhere(np.abs(opened - closed).sum(-1) > 30)
    left, top, right, bottom = face_box(actor)
    assert len(changed) > 40
    assert changed[:, 0].min() > (top + bottom) / 2
    assert changed[:, 1].min() >= left - 3 and changed[:, 1].max() <= right + 3


def test_opening_grows_the_dark_of_the_mouth(people):
    def darkness(opening):
        frame, actor = picture(people[3], Pose(mouth_opening=opening))
        left, top, right, bottom = (int(value) for value in face_box(actor))
        return (frame[(top + bottom) // 2 : bottom, left:right].sum(-1) < 150).sum()

    areas = [darkness(opening) for opening in (0.0, 0.3, 0.6, 1.0)]
    assert areas == sorted(areas) and areas[-1] > areas[0] + 10


def test_people_differ_more_than_views_of_one(people):
    views = [Pose(yaw=yaw) for yaw in (-0.2, 0.0, 0.2)]
    faces = np.stack([[picture(person, pose)[0][16:72, 20:76] for pose in views] for person in people[:12]]).astype(
        float
    )
    centres = faces.mean(1)
    within = np.abs(faces - centres[:, None]).mean()
    between = np.abs(centres[:, None] - centres[None])[~np.eye(12, dtype=bool)].mean()
    assert between > 2 * within


@pytest.mark.parametrize("scene", SCENES)
def test_scenes_render_at_any_size(people, scene):
    small, _ = picture(people[0], scene=scene, size=64)
    large, _ = picture(people[0], scene=scene, size=128)
    shrunk = large.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(small - shrunk).mean() < 6
