import json
import os
from collections import Counter
from functools import partialmethod
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from torch._dynamo.utils import counters

from iap_pipelines.models.transformer_iap import IAPTransformer3DModel
from iap_pipelines.training.config import TrainingConfig
from iap_pipelines.training.initial_model import take_video_tower
from iap_pipelines.training.parts import part_of
from iap_pipelines.training.trainer import Trainer
from tests.training.processes import assert_same_run


def make_trainer(values, **sections):
    values = {
        key: value | sections.get(key, {}) if isinstance(value, dict) else value for key, value in values.items()
    }
    return Trainer(TrainingConfig.model_validate(values))


def run(values, **sections):
    trainer = make_trainer(values, **sections)
    trainer.run()
    return trainer


def weights(trainer):
    return {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}


def metrics(values):
    return (Path(values["output"]) / "metrics.jsonl").read_text()


@pytest.mark.parametrize(
    ("target", "trainable"),
    [("frames", ["video", "text_encoder"]), ("audio", ["audio"]), ("clips", ["video", "audio", "identity"])],
)
def test_what_does_not_learn_stays_as_it_was_to_the_bit(config_values, target, trainable):
    trainer = make_trainer(config_values, stage={"target": target, "trainable": trainable})
    before = weights(trainer)
    trainer.run()
    changed = {part_of(name) for name, weight in weights(trainer).items() if not torch.equal(weight, before[name])}
    assert changed == set(trainable)


def test_frozen_parameters_have_no_gradient(config_values):
    trainer = make_trainer(config_values, stage={"target": "clips", "trainable": ["audio"]})
    trainer.optimizer.zero_grad = lambda: None
    trainer.train_step(0, trainer.steps[0])
    with_gradient = {part_of(name) for name, p in trainer.model.named_parameters() if p.grad is not None}
    assert with_gradient == {"audio"}


def test_a_number_of_people_that_is_given_twice_comes_twice_an_epoch(config_values):
    all_clips, weighted, alone = (
        Counter((clip.clip_id, len(clip.identities)) for clip in make_trainer(config_values, data=data).dataset.clips)
        for data in ({}, {"num_subjects": [1, 2, 2]}, {"num_subjects": [1]})
    )
    assert set(all_clips.values()) == {1} and {people for _, people in all_clips} == {1, 2}
    assert weighted == {(name, people): people for name, people in all_clips}
    assert alone == {key: 1 for key in all_clips if key[1] == 1}


@pytest.mark.parametrize(("num_steps", "remainder"), [(150, 0.25), pytest.param(800, 0.03, marks=pytest.mark.slow)])
def test_one_clip_can_be_learned_by_heart(config_values, num_steps, remainder):
    """The loss falls to a small remainder of what it begins with."""
    trainer = make_trainer(
        config_values,
        data={
            "num_subjects": [1],
            "dropout": dict.fromkeys(("caption", "identity", "face", "voice", "appearance"), 0.0),
        },
        flow={"sigmas": {"type": "uniform", "shift": 3.0}, "num_draws": 8},
        optimization={
            "steps": num_steps,
            "batch_size": 1,
            "micro_batch_size": None,
            "learning_rate": 1e-2,
            "weight_decay": 0.0,
        },
    )
    trainer.dataset.clips[:] = trainer.dataset.clips[:1]
    trainer.steps.order = type(trainer.steps.order)({"one": [0]}, 1, 0)
    steps = [trainer.train_step(step, trainer.steps[step]) for step in range(num_steps)]
    losses = [(loss["video_loss"] + loss["audio_loss"]).item() for loss in steps]
    assert sum(losses[-20:]) / 20 < remainder * losses[0]


def assert_similar_losses(one, other):
    # Losses, not weights: Adam turns the rounding of a gradient near zero into a step of full length.
    lines = [[json.loads(line) for line in metrics(values).splitlines()] for values in (one, other)]
    assert len(lines[0]) == one["optimization"]["steps"]
    for line, expected in zip(*lines, strict=True):
        for name in ("video_loss", "audio_loss"):
            assert line[name] == pytest.approx(expected[name], rel=2e-3)


def test_micro_batches_add_up_to_the_batch(config_values, tmp_path):
    whole, parts = (config_values | {"output": str(tmp_path / name)} for name in ("whole", "parts"))
    run(whole, optimization={"micro_batch_size": 4})
    run(parts, optimization={"micro_batch_size": 1})
    assert_similar_losses(whole, parts)


def test_gradient_checkpointing_changes_nothing(config_values, tmp_path):
    thrifty = config_values | {"output": str(tmp_path / "thrifty")}
    run(config_values)
    run(thrifty, optimization={"gradient_checkpointing": True})
    assert_similar_losses(config_values, thrifty)


@pytest.fixture
def fresh_accelerator():
    """accelerate keeps the precision of a process's first run."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def fresh_dynamo():
    """Graphs and their counts are those of the process; the trainer raises its limit."""
    torch.compiler.reset()
    counters.clear()
    with torch._dynamo.config.patch(recompile_limit=8, fail_on_recompile_limit_hit=True):
        yield
    torch.compiler.reset()


def test_compiled_layers_stay_compiled_whatever_the_lengths_of_references(config_values, fresh_dynamo, monkeypatch):
    compile_layers = IAPTransformer3DModel.compile_repeated_blocks
    monkeypatch.setattr(
        IAPTransformer3DModel, "compile_repeated_blocks", partialmethod(compile_layers, backend="eager")
    )
    expected = make_trainer(config_values)
    compiled = make_trainer(config_values, optimization={"compile": True})
    losses, num_graphs = [], []
    for step in range(8):
        losses.append([trainer.train_step(step, trainer.steps[step]) for trainer in (expected, compiled)])
        num_graphs.append(counters["stats"]["unique_graphs"])
    assert 0 < num_graphs[0] and num_graphs[-3] == num_graphs[-1]
    for eager, fast in losses:
        assert fast["grad_norm"].item() == pytest.approx(eager["grad_norm"].item(), rel=1e-3)


def test_bf16_learns_the_same_without_the_slow_attention_of_cpus(config_values, fresh_accelerator, monkeypatch):
    kernels = []
    expected = make_trainer(config_values)
    expected = expected.train_step(0, expected.steps[0])
    AcceleratorState._reset_state(reset_partial_state=True)
    trainer = make_trainer(config_values, optimization={"mixed_precision": "bf16"})
    forward = trainer.model.transformer.forward
    monkeypatch.setattr(
        trainer.model.transformer,
        "forward",
        lambda *args, **options: (
            kernels.append(torch.backends.cuda.flash_sdp_enabled()),
            forward(*args, **options),
        )[1],
    )
    losses = trainer.train_step(0, trainer.steps[0])
    assert kernels and not any(kernels)
    assert torch.backends.cuda.flash_sdp_enabled()
    for name in ("video_loss", "audio_loss", "grad_norm"):
        assert losses[name].item() == pytest.approx(expected[name].item(), rel=2e-2)
    assert losses["grad_norm"].item() != expected["grad_norm"].item()


def test_a_stopped_run_continues_to_the_bit(config_values):
    whole = config_values | {"output": config_values["output"] + "-whole"}
    run(whole)
    stopped = make_trainer(config_values)
    stopped._begin()
    for step in range(3):  # one step past the last checkpoint
        loss = stopped.train_step(step, stopped.steps[step])
        stopped.next_step = step + 1
        stopped._after_step(step, loss, is_last=False)
    run(config_values)
    assert_same_run(whole, config_values)


def test_a_run_that_is_told_to_stop_exports_there_and_continues_to_the_bit(exporting):
    values = exporting | {"optimization": exporting["optimization"] | {"steps": 6}, "validation": None}
    whole = values | {"output": exporting["output"] + "-whole"}
    run(whole)
    for _ in range(2):  # the second time it only exports
        stopped = make_trainer(values)
        stopped.run(stop_at=3)
        assert stopped.next_step == 3
    exported = IAPTransformer3DModel.from_pretrained(Path(values["output"]) / "pipeline" / "transformer")
    for name, weight in exported.named_parameters():
        average = stopped.average.averages[f"transformer.{name}"]
        torch.testing.assert_close(weight.float(), average.half().float())
    run(values)
    assert_same_run(whole, values)
    with pytest.raises(ValueError, match="`stop_at` must be at least 1 step, but got 0"):
        make_trainer(values).run(stop_at=0)


def test_a_resumed_run_keeps_its_moments_and_takes_new_settings(config_values):
    first = run(config_values, optimization={"steps": 2})
    settings = {"learning_rate": 5e-4, "weight_decay": 0.5, "betas": (0.8, 0.9)}
    resumed = make_trainer(config_values, optimization=settings)
    assert resumed.next_step == 2
    groups = resumed._plain_optimizer.param_groups
    assert {(group["base_lr"], tuple(group["betas"])) for group in groups} == {(5e-4, (0.8, 0.9))}
    assert {group["weight_decay"] for group in groups} == {0.0, 0.5}
    for name, parameter in resumed.learning.items():
        moments = resumed._plain_optimizer.state[parameter]
        for key, moment in first._plain_optimizer.state[first.learning[name]].items():
            assert moments[key].equal(moment)


def test_a_checkpoint_is_written_once_where_a_run_stops(exporting, monkeypatch):
    saved, save = [], Trainer.save
    monkeypatch.setattr(Trainer, "save", lambda trainer: (saved.append(trainer.next_step), save(trainer)))
    values = exporting | {"optimization": exporting["optimization"] | {"steps": 6}, "validation": None}
    for _ in range(2):  # the second time it only exports
        make_trainer(values).run(stop_at=4)
    assert saved == [2, 4]


def test_losses_equal_the_golden_file(config_values, request):
    """Written by `IAP_WRITE_GOLDEN=1 pytest`; a change of the numbers must be meant."""
    trainer = make_trainer(config_values)
    losses = []
    for step in range(4):
        loss = trainer.train_step(step, trainer.steps[step])
        losses.append({name: value.item() for name, value in loss.items()})
    path = Path(request.path).parent / "golden_losses.json"
    if os.environ.get("IAP_WRITE_GOLDEN"):
        path.write_text(json.dumps(losses, indent=2) + "\n")
    golden = json.loads(path.read_text())
    for step, (loss, expected) in enumerate(zip(losses, golden, strict=True)):
        assert loss == pytest.approx(expected, rel=2e-4), f"step {step}"


def test_stages_follow_each_other_through_checkpoints_of_parts(config_values, tmp_path):
    """The video tower of one folder and everything else of another."""
    face, voice = (
        make_trainer(config_values | {"seed": seed, "output": str(tmp_path / str(seed))}) for seed in (1, 2)
    )
    before = weights(voice)
    take_video_tower(voice.model, face.model)
    for name, weight in weights(voice).items():
        expected = weights(face)[name] if part_of(name) == "video" else before[name]
        assert torch.equal(weight, expected)


def test_what_a_killed_run_left_half_written_is_removed(config_values):
    leftover = Path(config_values["output"]) / "checkpoints" / ".step_00000002.safetensors.1.partial"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    run(config_values, optimization={"steps": 1})
    assert not leftover.exists()


def test_workers_prepare_the_same_batches(config_values, tmp_path):
    alone, helped = (config_values | {"output": str(tmp_path / name)} for name in ("alone", "helped"))
    run(alone, optimization={"steps": 3})
    run(helped, optimization={"steps": 3}, data={"num_workers": 2})
    assert metrics(alone) == metrics(helped)
