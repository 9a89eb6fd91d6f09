"""The identity table's plan, its memory, and the ablation table made from it."""

import json

import numpy as np
import pytest

from benchmarks import ablation
from benchmarks.identity_table import (
    Makers,
    Notebook,
    command_of,
    measure_all,
    parse_arguments,
    plan,
    settings_of,
)
from iap_pipelines.evaluation.drawn_world.measuring import ClipMeasurement
from iap_pipelines.synthetic import World, WorldConfig, fill_bank


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    config = WorldConfig(
        num_identities=10,
        clips_per_identity=4,
        seed=3,
        two_person_share=0.5,
        three_person_share=0.0,
        held_out_share=0.3,
        height=48,
        voice_backend="formant",
    )
    return World(config, fill_bank(tmp_path_factory.mktemp("bank"), 10, 3, voice_backend="formant"))


@pytest.fixture
def args(tmp_path):
    numbers = ["--clips=3", "--pairs=2", "--subset-clips=1", "--coded=1", "--steps=2"]
    return parse_arguments(["--world=-", f"--output={tmp_path / 'table'}", *numbers])


def test_the_plan_has_every_column_and_condition(world, args):
    tasks = plan(world, args)
    counts = {group: sum(task.group == group for task in tasks) for group in {task.group for task in tasks}}
    assert counts == {
        ("real", "both", 1): 3,
        ("real", "both", 2): 2,
        ("coded", "both", 1): 1,
        ("coded", "both", 2): 1,
        ("generated", "both", 1): 3,
        ("generated", "both", 2): 2,
        ("generated", "face", 1): 1,
        ("generated", "voice", 1): 1,
        ("generated", "nothing", 1): 1,
    }
    assert len({task.key for task in tasks}) == len(tasks)


class Listener:
    """Counts what it measures."""

    def __init__(self):
        self.num_measured = 0

    def measure(self, frames, samples, *, num_people, frame_rate):
        self.num_measured += 1
        vectors = np.ones((num_people, 2), np.float32)
        return ClipMeasurement(vectors, vectors, vectors[:, 0], vectors[0], vectors, ("red",))


def test_a_run_that_was_stopped_measures_only_the_rest(world, args):
    tasks = [task for task in plan(world, args) if task.column == "real"]
    settings, make = settings_of(args, world), Makers(world, args).make
    first = Listener()
    measure_all(tasks[:3], Notebook(args.output, settings), make, first, 12.5)
    with (args.output / "measurements.jsonl").open("a") as file:
        file.write('{"key": "real/both/0", "measurem')
    second = Listener()
    groups = measure_all(tasks, Notebook(args.output, settings), make, second, 12.5)
    assert (first.num_measured, second.num_measured) == (3, 2)
    assert sum(map(len, groups.values())) == 5
    again = Listener()
    measure_all(tasks, Notebook(args.output, settings), make, again, 12.5)
    assert again.num_measured == 0


def test_measurements_of_other_settings_are_refused(world, args):
    Notebook(args.output, settings_of(args, world))
    args.steps = 3
    with pytest.raises(ValueError, match="other settings \\(steps\\)"):
        Notebook(args.output, settings_of(args, world))


def _table(folder, value, **settings):
    folder.mkdir(parents=True)
    rows = [
        {"row": row, "column": "generated", "value": value, "low": 0.0, "high": 1.0, "num_clips": 4}
        for row in ablation.COLUMNS
    ]
    rows += [{**row, "column": "real", "value": 1.0} for row in rows]
    content = {"settings": {"model": str(folder), "steps": 20, "no_anchors": False, **settings}, "results": rows}
    (folder / "table.json").write_text(json.dumps(content))


def test_the_ablation_table_has_a_row_per_finished_run(tmp_path):
    _table(tmp_path / "no_anchors" / "table", 0.25, no_anchors=True)
    _table(tmp_path / "complete" / "table", 0.75)
    lines = ablation.ablation_table(tmp_path).splitlines()
    assert lines[2].startswith("| complete | 75 % [0, 100] |")
    assert lines[3].startswith("| without subject anchors | 25 % [0, 100] |") and len(lines) == 4


def test_the_ablation_figure_shows_every_finished_run(tmp_path):
    _table(tmp_path / "no_slots" / "table", 0.25)
    _table(tmp_path / "complete" / "table", 0.75)
    ablation.draw_ablation(tmp_path, tmp_path / "figure.svg")
    drawn = (tmp_path / "figure.svg").read_text()
    for name in ("complete", "without identity embedding", *ablation.COLUMNS.values()):
        assert f">{name}</text>" in drawn
    assert "without stages" not in drawn
    ablation.draw_ablation(tmp_path, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == drawn
    _table(tmp_path / "own_clip" / "table", 0.25)
    ablation.draw_ablation(tmp_path, tmp_path / "more.svg")
    assert "without other-clip references" in (tmp_path / "more.svg").read_text()


def test_the_command_says_what_is_not_the_default(args):
    assert command_of(parse_arguments(["--world=/a/b", "--model=/c/d"])).endswith("identity_table --world data/world")
    assert command_of(args).endswith("--world data/world --clips 3 --pairs 2 --subset-clips 1 --coded 1 --steps 2")
    other = parse_arguments(["--world=x", "--guidance-scale=1.5", "--no-anchors"])
    assert command_of(other).endswith("--world data/world --guidance-scale 1.5 --no-anchors")


def test_runs_that_were_measured_differently_are_not_compared(tmp_path):
    with pytest.raises(FileNotFoundError, match="complete"):
        ablation.ablation_table(tmp_path)
    _table(tmp_path / "complete" / "table", 0.75)
    _table(tmp_path / "no_slots" / "table", 0.75, steps=10)
    with pytest.raises(ValueError, match="no_slots were measured with other settings than complete"):
        ablation.ablation_table(tmp_path)
