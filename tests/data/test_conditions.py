import numpy as np
import pytest

from iap_pipelines.data.conditions import ConditionDropout, draw_conditions, permute_subjects
from iap_pipelines.types import StructuredCaption


CAPTION = (
    'Scene: <S2> waves in a green room. <S1>: left, woman with red hair. <S2>: right, man. <S1> says: "red apple". '
    '<S2> says: "blue bird". Sounds: <S1> laughs.'
)


def test_permuting_twice_gives_the_caption_back():
    caption = StructuredCaption.parse(CAPTION)
    assert permute_subjects(permute_subjects(caption, [1, 0]), [1, 0]) == caption


def test_anchors_follow_their_people():
    caption = permute_subjects(StructuredCaption.parse(CAPTION), [1, 0])
    assert caption.render() == (
        "Scene: <S1> waves in a green room. <S1>: right, man. <S2>: left, woman with red hair. "
        '<S2> says: "red apple". <S1> says: "blue bird". Sounds: <S2> laughs.'
    )


def test_who_is_on_the_left_gets_every_slot():
    orders = {draw_conditions(CAPTION, 2, ConditionDropout(), np.random.default_rng(seed)).order for seed in range(20)}
    assert orders == {(0, 1), (1, 0)}


def test_an_order_that_is_given_changes_no_other_draw():
    dropout = ConditionDropout(face=0.5, voice=0.5)
    for seed in range(20):
        free = draw_conditions(CAPTION, 2, dropout, np.random.default_rng(seed))
        kept = draw_conditions(CAPTION, 2, dropout, np.random.default_rng(seed), order=(0, 1))
        assert kept.order == (0, 1)
        assert (kept.with_face, kept.with_voice) == (free.with_face, free.with_voice)


def test_every_subset_of_conditions_appears():
    dropout = ConditionDropout(caption=0.4, identity=0.1, face=0.4, voice=0.4)
    draws = [draw_conditions(CAPTION, 2, dropout, np.random.default_rng(seed)) for seed in range(600)]
    seen = {(bool(draw.caption), draw.with_face, draw.with_voice) for draw in draws}
    assert len(seen) == 2 * 4 * 4


def test_nothing_is_dropped_unless_asked():
    drawn = draw_conditions(CAPTION, 2, ConditionDropout(), np.random.default_rng(0))
    assert drawn.with_face == drawn.with_voice == (True, True)
    assert "red hair" in drawn.caption


def test_looks_can_be_hidden_from_the_caption():
    caption = draw_conditions(CAPTION, 2, ConditionDropout(appearance=1.0), np.random.default_rng(0)).caption
    assert "red hair" not in caption
    assert ": left, person." in caption
    assert ": right, person." in caption


def test_frequencies_are_as_asked():
    dropout = ConditionDropout(caption=0.25, face=0.5)
    draws = [draw_conditions(CAPTION, 2, dropout, np.random.default_rng(seed)) for seed in range(2000)]
    assert np.mean([not draw.caption for draw in draws]) == pytest.approx(0.25, abs=0.04)
    assert np.mean([draw.with_face[0] for draw in draws]) == pytest.approx(0.5, abs=0.04)


def test_a_caption_of_other_people_is_refused():
    with pytest.raises(ValueError, match="describes 2 subjects, but the clip has 1"):
        draw_conditions(CAPTION, 1, ConditionDropout(), np.random.default_rng(0))
