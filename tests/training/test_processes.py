"""Two processes see what one would: the same samples, the same losses, and a killed run goes on to the bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from iap_pipelines.training.checkpoint import latest_checkpoint, load_checkpoint


pytestmark = pytest.mark.slow
DOOR = Path(__file__).parents[2] / "training" / "train.py"


def train(values, path, num_processes, *arguments):
    path.write_text(yaml.safe_dump(values))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(num_processes)]
    command = [sys.executable, *(launcher if num_processes > 1 else []), str(DOOR), str(path), *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)


def metrics(values):
    lines = (Path(values["output"]) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def assert_similar(one, other):
    assert len(metrics(one)) == len(metrics(other)) == 6
    for line, expected in zip(metrics(one), metrics(other), strict=True):
        for name in ("video_loss", "audio_loss"):
            assert line[name] == pytest.approx(expected[name], rel=2e-3)


def test_two_processes_train_like_one(config_values, tmp_path):
    alone, together = (config_values | {"output": str(tmp_path / name)} for name in ("alone", "together"))
    train(alone, tmp_path / "alone.yaml", 1)
    train(together, tmp_path / "together.yaml", 2)
    assert_similar(alone, together)


def test_a_run_goes_on_with_another_number_of_processes(config_values, tmp_path):
    alone, changing = (config_values | {"output": str(tmp_path / name)} for name in ("alone", "changing"))
    train(alone, tmp_path / "alone.yaml", 1)
    train(changing, tmp_path / "changing.yaml", 2)
    newest = latest_checkpoint(Path(changing["output"]) / "checkpoints")
    newest.unlink()  # as if killed after step 4
    train(changing, tmp_path / "changing.yaml", 1)
    assert_similar(alone, changing)


def test_two_processes_continue_to_the_bit(config_values, tmp_path):
    whole, stopped = (config_values | {"output": str(tmp_path / name)} for name in ("whole", "stopped"))
    train(whole, tmp_path / "whole.yaml", 2)
    train(stopped, tmp_path / "stopped.yaml", 2)
    latest_checkpoint(Path(stopped["output"]) / "checkpoints").unlink()
    train(stopped, tmp_path / "stopped.yaml", 2)
    assert metrics(whole) == metrics(stopped)
    ends = [load_checkpoint(latest_checkpoint(Path(values["output"]) / "checkpoints")) for values in (whole, stopped)]
    assert all(torch.equal(tensor, ends[1].tensors[name]) for name, tensor in ends[0].tensors.items())
