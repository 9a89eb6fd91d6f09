import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from pydantic import ValidationError

from iap_pipelines import IAPPipeline, Subject
from iap_pipelines.data.latent_store import LatentShardWriter, LatentStore
from iap_pipelines.training.config import TrainingConfig
from iap_pipelines.training.trainer import Trainer


def train(values):
    trainer = Trainer(TrainingConfig.model_validate(values))
    trainer.run()
    return trainer


def test_the_exported_folder_generates(exporting):
    trainer = train(exporting)
    pipe = IAPPipeline.from_pretrained(Path(exporting["output"]) / "pipeline")
    for name, average in trainer.average.averages.items():
        if name.startswith("transformer."):
            stored = pipe.transformer.get_parameter(name.removeprefix("transformer."))
            torch.testing.assert_close(stored.float(), average.half().float())
    people = [
        Subject(face=Image.fromarray(np.eye(32, dtype=np.uint8)[..., None].repeat(3, 2) * 255)) for _ in range(2)
    ]
    output = pipe("Scene: beach. <S1>: left, man. <S2>: right, woman.", subjects=people, guidance_scale=1.0)
    assert output.frames.shape == (1, 5, 32, 64, 3)


def test_an_exported_folder_does_not_say_where_its_parts_came_from(exporting):
    train(exporting)
    configs = list((Path(exporting["output"]) / "pipeline").rglob("*.json"))
    assert {path.parent.name for path in configs} >= {"vae", "audio_vae", "vocoder", "transformer"}
    assert not [path for path in configs if "_name_or_path" in path.read_text()]


def test_an_exported_tokenizer_does_not_remember_how_it_was_called(exporting):
    trainer = Trainer(TrainingConfig.model_validate(exporting))
    trainer.tokenizer(["beach"], padding="max_length", max_length=7, truncation=True)
    trainer.export()
    stored = json.loads((Path(exporting["output"]) / "pipeline" / "tokenizer" / "tokenizer.json").read_text())
    assert stored["padding"] is stored["truncation"] is None
    assert trainer.tokenizer.backend_tokenizer.padding["length"] == 7


def test_what_sums_gradients_up_still_does_after_an_export(exporting):
    """DDP hangs on the nodes at which gradients arrive. Parameters whose dtype changes for a moment get new ones."""
    trainer = Trainer(TrainingConfig.model_validate(exporting))
    nodes = {name: p.view_as(p).grad_fn.next_functions[0][0] for name, p in trainer.learning.items()}
    arrived = set()
    for name, node in nodes.items():
        node.register_hook(lambda *_, name=name: arrived.add(name))
    trainer.train_step(0, trainer.steps[0])
    expected = set(arrived)
    arrived.clear()
    trainer.export()
    trainer.train_step(0, trainer.steps[0])
    assert arrived == expected != set()


def test_the_next_stage_starts_where_the_last_one_ended(exporting, tmp_path):
    first = train(exporting)
    folder = str(Path(exporting["output"]) / "pipeline")
    second = Trainer(
        TrainingConfig.model_validate(
            exporting | {"output": str(tmp_path / "second"), "model": {"type": "pretrained", "folder": folder}}
        )
    )
    assert second.next_step == 0
    for name, average in first.average.averages.items():
        torch.testing.assert_close(second.learning[name].detach(), average.half().float(), msg=name)


@pytest.mark.parametrize(
    ("target", "files"),
    [
        ("frames", ["faces.png"]),
        ("audio", ["sample_0.wav", "sample_1.wav", "true_0.wav", "true_1.wav"]),
        ("clips", ["clips.png", "sample_0.mp4", "sample_1.mp4"]),
    ],
)
def test_validation_shows_held_out_people(exporting, target, files):
    trainable = {"frames": ["video"], "audio": ["audio"], "clips": ["video", "audio"]}[target]
    trainer = train(exporting | {"stage": {"target": target, "trainable": trainable}})
    written = sorted(path.name for path in (Path(exporting["output"]) / "validation" / "step_000002").iterdir())
    assert written == files
    assert all(clip.split == "validation" for clip in trainer.validator.dataset.clips)


@pytest.mark.parametrize(("target", "file"), [("frames", "faces.png"), ("clips", "clips.png")])
def test_validation_shows_people_without_references(exporting, tmp_path, target, file):
    path = Path(exporting["data"]["folder"]) / "identities.jsonl"
    people = [json.loads(line) for line in path.read_text().splitlines()]
    held_out = [person for person in people if person["split"] == "validation"]
    held_out[0]["voices"] = []
    for person in held_out[0 if target == "frames" else 1 :]:
        person["faces"] = []
    path.write_text("".join(json.dumps(person) + "\n" for person in people))
    store = LatentStore(tmp_path / "latents")
    faceless = {f"{person['identity']}/faces" for person in people if not person["faces"]}
    LatentShardWriter(tmp_path / "latents", {}).write("all", {k: store.read(k) for k in store if k not in faceless})
    stage = {"target": target, "trainable": ["video"]}
    train(exporting | {"stage": stage, "data": exporting["data"] | {"num_subjects": [1]}})
    assert (Path(exporting["output"]) / "validation" / "step_000002" / file).exists()


def test_validation_leaves_training_as_it_was(exporting, tmp_path):
    looking, blind = train(exporting), train(exporting | {"output": str(tmp_path / "blind"), "validation": None})
    for name, parameter in looking.learning.items():
        assert torch.equal(parameter, blind.learning[name])


def test_only_a_pipeline_is_replaced(exporting, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    values = exporting | {"export": exporting["export"] | {"folder": str(folder)}}
    trainer = Trainer(TrainingConfig.model_validate(values))
    (folder / "notes.txt").write_text("mine")
    for replace in (trainer.export, lambda: Trainer(TrainingConfig.model_validate(values))):
        with pytest.raises(ValueError, match=r"`folder` of the export .* holds notes.txt"):
            replace()
    (folder / "notes.txt").unlink()
    for _ in range(2):
        trainer.export()
    assert (folder / "model_index.json").exists()
    assert not list(tmp_path.glob(".results*"))


@pytest.mark.parametrize("folder", ["run", "run/../run", "."])
def test_a_run_does_not_replace_its_own_folder(exporting, tmp_path, folder):
    with pytest.raises(ValidationError, match="`export.folder` .* is replaced at every export"):
        TrainingConfig.model_validate(exporting | {"export": exporting["export"] | {"folder": str(tmp_path / folder)}})


def test_weights_that_never_learned_are_not_exported(exporting, repository, tmp_path, monkeypatch, capsys):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(exporting))
    arguments = ["train.py", str(tmp_path / "config.yaml"), "--export-only"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit):
        runpy.run_path(str(repository / "training" / "train.py"), run_name="__main__")
    assert "--export-only needs a checkpoint" in capsys.readouterr().err
    assert not (Path(exporting["output"]) / "pipeline").exists()
