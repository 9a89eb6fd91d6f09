"""Killed runs go on to the bit, and several processes see what one would: the same samples, the same losses."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from iap_pipelines import IAPPipeline
from iap_pipelines.training.checkpoint import latest_checkpoint, load_checkpoint
from tests.training.processes import REPOSITORY, Run, assert_same_run, run_with_kills


STEPS, SHARED_STEPS = 40, 16
"""Of one process, of two."""


@pytest.fixture
def long_values(config_values):
    """A run long enough to be killed several times; its last checkpoint is up to three steps old then."""
    return with_steps(config_values, STEPS) | {"run": {"log_every": 1, "checkpoint_every": 3}}


@pytest.fixture
def shared_values(long_values):
    """As long as two processes need not exchange gradients for too long, with every part of the loss."""
    values = with_steps(long_values, SHARED_STEPS)
    return values | {"flow": values["flow"] | {"motion_weight": 1.0, "exchange_weight": 1.0}}


def with_steps(values, steps):
    return values | {"optimization": values["optimization"] | {"steps": steps}}


def renamed(values, name):
    return values | {"output": str(Path(values["output"]).with_name(name))}


def metrics(values):
    lines = (Path(values["output"]) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def assert_similar_losses(one, other):
    assert len(metrics(one)) == len(metrics(other)) == SHARED_STEPS
    for line, expected in zip(metrics(one), metrics(other), strict=True):
        for name in ("video_loss", "audio_loss", "motion_loss", "exchange_loss"):
            assert line[name] == pytest.approx(expected[name], rel=5e-3), line["step"]


def random_steps(seed, num_steps, count):
    """Early enough that the run is not through before it is killed."""
    return sorted(random.Random(seed).sample(range(num_steps * 3 // 4), count))


def test_a_run_killed_again_and_again_goes_on_to_the_bit(long_values):
    whole, killed = renamed(long_values, "whole"), renamed(long_values, "killed")
    Run(whole).wait()
    run_with_kills(killed, random_steps(1, STEPS, 3))
    assert_same_run(whole, killed)


@pytest.mark.slow
@pytest.mark.parametrize("is_sharded", [False, True], ids=["replicated", "sharded"])
def test_two_killed_processes_go_on_to_the_bit(shared_values, is_sharded):
    whole, killed = renamed(shared_values, "whole"), renamed(shared_values, "killed")
    Run(whole, num_processes=2, is_sharded=is_sharded).wait()
    run_with_kills(killed, random_steps(2, SHARED_STEPS, 2), num_processes=2, is_sharded=is_sharded)
    assert_same_run(whole, killed)


@pytest.mark.slow
@pytest.mark.parametrize("is_sharded", [False, True], ids=["replicated", "sharded"])
def test_two_processes_train_like_one(shared_values, is_sharded):
    alone, together = renamed(shared_values, "alone"), renamed(shared_values, "together")
    Run(alone).wait()
    Run(together, num_processes=2, is_sharded=is_sharded).wait()
    assert_similar_losses(together, alone)


@pytest.mark.slow
def test_sharded_bf16_rounds_no_more_than_bf16_of_one_process(shared_values):
    values = with_steps(shared_values, 2)
    values["optimization"] = values["optimization"] | {"mixed_precision": "bf16"}
    alone, together = renamed(values, "alone"), renamed(values, "together")
    Run(alone).wait()
    Run(together, num_processes=2, is_sharded=True).wait()
    for line, expected in zip(metrics(together), metrics(alone), strict=True):
        for name in ("video_loss", "audio_loss", "motion_loss", "exchange_loss"):
            assert line[name] == pytest.approx(expected[name], rel=2e-3), (line["step"], name)


@pytest.mark.slow
def test_a_killed_run_goes_on_with_another_number_of_processes(shared_values):
    alone, changing = renamed(shared_values, "alone"), renamed(shared_values, "changing")
    Run(alone).wait()
    Run(changing, num_processes=2).kill_at(4, 0)
    Run(changing).kill_at(8, 0)
    Run(changing, num_processes=2, is_sharded=True).wait()
    assert_similar_losses(changing, alone)


@pytest.mark.slow
def test_sharded_weights_are_validated_and_exported_whole(exporting):
    Run(exporting, num_processes=2, is_sharded=True).wait()
    output = Path(exporting["output"])
    assert {path.name for path in (output / "validation" / "step_000002").iterdir()} >= {"clips.png"}
    pipe = IAPPipeline.from_pretrained(output / "pipeline")
    averages = load_checkpoint(latest_checkpoint(output / "checkpoints")).group("average")
    for name, average in averages.items():
        part, _, rest = name.partition(".")
        stored = getattr(pipe, part).get_parameter(rest).float()
        torch.testing.assert_close(stored, average.half().float(), msg=name)


def test_two_processes_go_on_after_an_export(exporting):
    values = with_steps(exporting, 4) | {"run": {"log_every": 1, "checkpoint_every": 2, "export_every": 2}}
    often, once = renamed(values, "often"), renamed(values, "once") | {"run": {"log_every": 1, "checkpoint_every": 2}}
    for run in (often, once):
        Run(run, num_processes=2).wait()
    assert_same_run(often, once)


@pytest.mark.slow
def test_the_door_trains_over_two_processes(config_values, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config_values))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launcher, str(REPOSITORY / "training" / "train.py"), "config.yaml", "--set", "optimization.steps=3"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=300)
    assert [line["step"] for line in metrics(config_values)] == [0, 1, 2]
