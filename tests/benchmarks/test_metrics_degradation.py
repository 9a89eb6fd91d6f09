"""Curves of metrics over damage: with the recognisers that come with the package, and how they are shown."""

import pytest
import yaml

from benchmarks.metrics_degradation import (
    CURVES,
    Curve,
    DamageTest,
    Point,
    clips_of_one_person,
    draw,
    is_monotone,
    mean_curve,
    rank_correlation,
    table,
)
from iap_pipelines.assets import find_benchmark
from iap_pipelines.evaluation.loading import load_models
from iap_pipelines.evaluation.settings import EvaluationSettings
from iap_pipelines.synthetic import World, WorldConfig, fill_bank


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Two people of a small world. Its voices are buzzes, which only the models of the drawn world are shown."""
    config = WorldConfig(
        num_identities=4,
        clips_per_identity=1,
        num_frames=58,
        lines_per_turn=2,
        held_out_share=0.49,
        two_person_share=0,
        three_person_share=0,
        voice_backend="formant",
    )
    folder = tmp_path_factory.mktemp("world")
    world = World(config, fill_bank(folder / "bank", 4, config.seed, voice_backend="formant"))
    content = yaml.safe_load((find_benchmark("drawn-world") / "settings.yaml").read_text())
    settings = EvaluationSettings(**content | {"second_voice_embedder": None})
    return DamageTest(world, load_models(settings), settings, folder).measure(clips_of_one_person(world))


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.metric)
def test_curves_follow_the_damage(found, curve):
    points = found[curve]
    if curve.metric == "second_voice_similarity":
        assert not points
        return
    assert is_monotone(curve, points), mean_curve(points)
    assert abs(rank_correlation(points)) > 0.5


RISING, FALLING = Curve("identity_drift", "faces over time", rises=True), Curve("binding", "voices", rises=False)


@pytest.mark.parametrize(
    ("curve", "values", "expected"),
    [
        (RISING, (0.0, 0.5, 0.5, 0.6), True),
        (RISING, (0.0, 0.5, 0.4, 0.6), False),
        (FALLING, (0.0, 0.5, 0.5, 0.6), False),
        (FALLING, (1.0, 1.0, 0.0), True),
        (FALLING, (1.0, 1.0, 1.0), False),
    ],
)
def test_monotone_is_never_the_wrong_way_and_not_flat(curve, values, expected):
    assert is_monotone(curve, [Point(step, step, value) for step, value in enumerate(values)]) is expected


def test_means_and_ranks():
    points = [Point(0, 0, 1.0), Point(0, 0, 0.8), Point(0.5, 0.4, 0.5), Point(0.5, 0.6, 0.4), Point(1, 1, 0.1)]
    assert mean_curve(points) == ([0, 0.5, 1], [0.9, pytest.approx(0.45), 0.1])
    assert rank_correlation(points) == pytest.approx(-0.97, abs=0.01)


def test_table_and_plot(tmp_path):
    points = [Point(0, 0, 1.0), Point(0.5, 0.5, 0.25), Point(1, 1, 0.5)]
    curves = {FALLING: points, RISING: []}
    rows = table(curves).splitlines()
    assert rows[2].startswith("| binding ↑ | share of the words in another voice | 0: 1.000, 0.5: 0.250, 1: 0.500 |")
    assert "**no**" in rows[2]
    assert rows[3].count("null") == 3
    draw(curves, tmp_path / "curves.svg")
    draw(curves, tmp_path / "again.svg")
    assert (tmp_path / "curves.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()
