import numpy as np
import pytest

from iap_pipelines.synthetic.people import draw_people, draw_person, person_kind
from iap_pipelines.types import SubjectDescription


def test_a_larger_world_begins_with_the_same_people():
    assert draw_people(12, seed=5)[:8] == draw_people(8, seed=5)


def test_another_seed_makes_other_people():
    assert draw_people(8, seed=5) != draw_people(8, seed=6)


def test_nobody_has_a_twin():
    people = draw_people(100, seed=1)
    assert max(a.likeness(b) for i, a in enumerate(people) for b in people[:i]) <= 0.74 + 1e-9


def test_likeness_of_a_person_with_itself_is_one():
    person = draw_person("woman", np.random.default_rng(0))
    assert person.likeness(person) == pytest.approx(1.0)


@pytest.mark.parametrize("index", range(20))
def test_captions_can_carry_every_appearance(index):
    person = draw_people(20, seed=2)[index]
    description = SubjectDescription(person.appearance, "left")
    assert SubjectDescription.parse(description.render()) == description
    assert person_kind(index) in person.appearance
