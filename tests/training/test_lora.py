"""An adapter learns alone, is resumed to the bit, and acts on its owner."""

import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from iap_pipelines import IAPPipeline, Subject
from iap_pipelines.training.config import LoraSettings, TrainingConfig
from iap_pipelines.training.lora import adapted_layers
from iap_pipelines.training.model_card import write_scores
from iap_pipelines.training.parts import part_of
from iap_pipelines.training.trainer import Trainer
from tests.pipelines.tiny_components import tiny_pipeline, tiny_transformer
from tests.pipelines.tiny_people import generate, person
from tests.training.processes import Run, assert_same_run, run_with_kills


@pytest.fixture
def lora_values(config_values, tmp_path):
    """A run on clips with one person, from a pipeline folder, whose heads are not zero."""
    tiny_pipeline(num_layers=2).save_pretrained(tmp_path / "base")
    values = config_values | {
        "model": {"type": "pretrained", "folder": str(tmp_path / "base")},
        "stage": {"target": "clips", "trainable": ["lora"]},
        "lora": {"name": "ada", "rank": 2, "alpha": 4.0},
    }
    values["data"] = values["data"] | {"num_subjects": [1], "caption_length": 24}
    values["optimization"] = values["optimization"] | {"micro_batch_size": None, "learning_rate": 0.02}
    return values


def make_trainer(values, **lora):
    return Trainer(TrainingConfig.model_validate(values | {"lora": values["lora"] | lora}))


@pytest.mark.parametrize("binding", ["references", "everything"])
def test_the_base_stays_as_it_was_to_the_bit(lora_values, binding):
    trainer = make_trainer(lora_values, binding=binding)
    assert {part_of(name) for name in trainer.learning} == {"lora"}
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    trainer.run()
    changed = {name for name, parameter in trainer.model.named_parameters() if not parameter.equal(before[name])}
    assert changed == set(trainer.learning)


def test_a_new_adapter_changes_nothing(lora_values):
    adapted = make_trainer(lora_values)
    plain = lora_values | {"stage": {"target": "clips", "trainable": ["video"]}, "lora": None}
    plain = Trainer(TrainingConfig.model_validate(plain | {"output": lora_values["output"] + "-plain"}))
    torch.testing.assert_close(adapted.model(*adapted.steps[0][0]), plain.model(*plain.steps[0][0]))


def test_a_step_without_references_is_taken(lora_values):
    lora_values["data"] = lora_values["data"] | {"dropout": {"identity": 1.0}}
    lora_values["optimization"] = lora_values["optimization"] | {"batch_size": 1}
    trainer = make_trainer(lora_values)
    losses = trainer.train_step(0, trainer.steps[0])
    assert losses["grad_norm"] == 0 and losses["video_loss"] > 0
    assert all(parameter.isfinite().all() for parameter in trainer.learning.values())


def test_gradient_checkpointing_changes_nothing(lora_values):
    losses = []
    for name, saves_memory in (("plain", False), ("thrifty", True)):
        values = lora_values | {"output": lora_values["output"] + name}
        values["optimization"] = values["optimization"] | {"gradient_checkpointing": saves_memory}
        make_trainer(values).run()
        losses.append(
            [json.loads(line) for line in (Path(values["output"]) / "metrics.jsonl").read_text().splitlines()]
        )
    for line, expected in zip(*losses, strict=True):
        assert line == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_a_checkpoint_holds_the_adapter_alone_and_a_killed_run_goes_on_to_the_bit(lora_values):
    lora_values["optimization"] = lora_values["optimization"] | {"steps": 30}
    whole, killed = (lora_values | {"output": lora_values["output"] + name} for name in ("-whole", "-killed"))
    Run(whole).wait()
    run_with_kills(killed, [4, 11])
    assert_same_run(whole, killed)
    checkpoint = load_file(Path(whole["output"]) / "checkpoints" / "step_00000030.safetensors")
    assert all(".lora_" in name for name in checkpoint if not name.startswith("optimizer/"))


def test_the_adapter_is_what_the_pipeline_loads(lora_values):
    trainer = make_trainer(lora_values, audio_weight=0.25)
    trainer.run()
    folder = Path(lora_values["output"]) / "lora"
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "pytorch_lora_weights.safetensors",
        "training_config.yaml",
    }
    pipe = IAPPipeline.from_pretrained(lora_values["model"]["folder"])
    pipe.set_progress_bar_config(disable=True)
    pipe.load_lora_weights(folder, adapter_name="ada")
    for name, average in trainer.average.averages.items():
        stored = pipe.transformer.get_parameter(name.removeprefix("transformer."))
        weight = 0.25 if ".audio." in name and ".lora_B." in name else 1.0
        torch.testing.assert_close(stored.detach(), weight * average)
    learned = {name: parameter.detach().clone() for name, parameter in trainer.learning.items()}
    trainer.export()  # what is learned stays as it is
    assert all(torch.equal(parameter, learned[name]) for name, parameter in trainer.learning.items())
    ada = person(1)
    without = generate(pipe, subjects=[ada], attention_kwargs={"scale": 0.0})
    bound = generate(pipe, subjects=[Subject(ada.face, ada.voice, adapter="ada")])
    assert not torch.equal(without.video, bound.video)
    card = (folder / "README.md").read_text()
    assert 'adapter="ada"' in card and "$" not in card
    assert "Not measured:" in card
    score = {"name": "face", "value": "90 %", "interval": "80 to 95", "better": "higher", "on": "20 clips"}
    for command in ("python -m benchmarks.old", "python -m benchmarks.new"):
        write_scores(folder, [score | {"command": command}])
    scored = (folder / "README.md").read_text()
    assert "| face | 90 % | 80 to 95 | higher | 20 clips |" in scored and "\npython -m benchmarks.new\n" in scored
    before, after = (text.split("## Scores\n") for text in (card, scored))
    assert after[0] == before[0] and after[1].partition("\n## ")[2] == before[1].partition("\n## ")[2]
    assert "Not measured" not in scored and "benchmarks.old" not in scored
    trainer.results.write(trainer.model)  # the card written anew keeps them
    assert (folder / "README.md").read_text() == scored


def test_validation_shows_the_owner_with_the_adapter(lora_values):
    lora_values["validation"] = {"every": 6, "num_samples": 1, "num_inference_steps": 1}
    trainer = make_trainer(lora_values)
    trainer.run()
    assert (Path(lora_values["output"]) / "validation" / "step_000006" / "clips.png").exists()


def test_validation_shows_people_without_references_without_the_adapter(lora_values):
    path = Path(lora_values["data"]["folder"]) / "identities.jsonl"
    people = [json.loads(line) for line in path.read_text().splitlines()]
    held_out = [person | {"faces": [], "voices": []} for person in people if person["split"] == "validation"]
    learned = [person for person in people if person["split"] != "validation"]
    path.write_text("".join(json.dumps(person) + "\n" for person in learned + held_out))
    lora_values["validation"] = {"every": 6, "num_samples": 1, "num_inference_steps": 1}
    make_trainer(lora_values).run()
    assert (Path(lora_values["output"]) / "validation" / "step_000006" / "sample_0.mp4").exists()


def test_references_of_several_people_are_refused(lora_values):
    lora_values["data"] = lora_values["data"] | {"num_subjects": None}
    with pytest.raises(ValueError, match="one person"):
        make_trainer(lora_values)


@pytest.mark.parametrize("kind", ["shared", "separate"])
def test_bound_adapters_sit_where_references_pass_and_learn_everywhere(lora_values, kind, tmp_path):
    pipe = tiny_pipeline(num_layers=2, identity_weights={"video": kind, "audio": kind})
    pipe.save_pretrained(tmp_path / kind)
    trainer = make_trainer(lora_values | {"model": {"type": "pretrained", "folder": str(tmp_path / kind)}})
    trainer.optimizer.zero_grad = lambda: None
    for step in range(2):  # the second matrix of each pair is zero in the first step
        for parameter in trainer.learning.values():
            parameter.grad = None
        trainer.train_step(step, trainer.steps[step])
    without = [name for name, p in trainer.learning.items() if p.grad is None or not p.grad.any()]
    assert not without


def test_unknown_projections_are_refused():
    transformer = tiny_transformer()
    with pytest.raises(ValueError, match="attn1.to_x"):
        adapted_layers(transformer, LoraSettings(name="ada", projections=("attn1.to_q", "attn1.to_x")))
    with pytest.raises(ValueError, match="layers that references pass"):
        adapted_layers(transformer, LoraSettings(name="ada", projections=("attn2.to_q",)))
    everything = adapted_layers(transformer, LoraSettings(name="a", binding="everything", projections=("attn2.to_q",)))
    assert len(everything) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora": None}, "belong together"),
        ({"stage": {"target": "clips", "trainable": ["lora", "video"]}}, "learns alone"),
        ({"export": {"codecs": "codecs"}}, "leave out `export`"),
        ({"lora": {"name": "a.b"}}, "name"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(lora_values, changes, message):
    with pytest.raises(ValidationError, match=message):
        TrainingConfig.model_validate(lora_values | changes)


def test_weights_of_a_person_are_not_uploaded_without_consent():
    with pytest.raises(ValueError, match="needs `consent`: what they said as `statement`"):
        LoraSettings(name="ada", push_to_hub="org/ada")
    consent = {"statement": "I, Ada Example, agree that clips of me are made.", "given_on": "2026-11-01"}
    assert LoraSettings(name="ada", push_to_hub="org/ada", consent=consent).consent.given_on.year == 2026
