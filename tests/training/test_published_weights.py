"""A stage that starts from converted published weights."""

import json

import pytest
import torch

from iap_pipelines import IAPPipeline
from iap_pipelines.conversion import convert_official
from iap_pipelines.training.config import TrainingConfig
from iap_pipelines.training.parts import part_of
from iap_pipelines.training.trainer import Trainer
from tests.conversion.conftest import Official
from tests.training.conftest import write_latents


@pytest.fixture
def published(tmp_path):
    """The official files in miniature, converted."""
    (tmp_path / "official").mkdir()
    sources = Official().write_all(tmp_path / "official")
    convert_official(sources, tmp_path / "published", attention_head_dim=Official.head_dim)
    return str(tmp_path / "published")


def test_the_video_tower_learns_on_top_of_published_weights(published, clip_folder, config_values, tmp_path):
    clips = [json.loads(line) for line in (clip_folder / "clips.jsonl").read_text().splitlines()]
    write_latents(tmp_path / "published_latents", clips, 48, 20)
    values = config_values | {
        "model": {"type": "pretrained", "folder": published},
        "stage": {"target": "frames", "trainable": ["video"]},
        "export": {"codecs": published, "dtype": "float32"},
    }
    values["data"] = values["data"] | {"latents": str(tmp_path / "published_latents")}
    values["optimization"] = values["optimization"] | {"steps": 2, "ema_decay": 0.0}
    trainer = Trainer(TrainingConfig.model_validate(values))
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    trainer.run()
    after = dict(trainer.model.named_parameters())
    assert {part_of(name) for name in before if not before[name].equal(after[name])} == {"video"}
    own_weights = [name for name in before if ".video.identity." in name and not before[name].equal(after[name])]
    assert own_weights  # the references' own weights learn with their tower
    pipe = IAPPipeline.from_pretrained(tmp_path / "run" / "pipeline")
    stored = pipe.transformer.state_dict()
    expected = trainer.model.transformer.state_dict()
    assert all(torch.equal(stored[name].float(), tensor) for name, tensor in expected.items())


def test_published_weights_have_no_slots_to_learn(published, config_values, caplog):
    values = config_values | {
        "model": {"type": "pretrained", "folder": published},
        "stage": {"target": "clips", "trainable": ["video", "identity"]},
    }
    Trainer(TrainingConfig.model_validate(values))
    assert "`trainable` names ['identity'], but this model has nothing of it" in caplog.text


def test_nothing_draws_from_a_state_that_no_checkpoint_holds(published, config_values):
    """The published text encoder has dropout layers."""
    stage = {"target": "frames", "trainable": ["video"]}
    values = config_values | {"model": {"type": "pretrained", "folder": published}, "stage": stage}
    trainer = Trainer(TrainingConfig.model_validate(values))
    assert trainer.model.text_encoder.config.dropout_rate > 0
    ids = torch.arange(4)[None]
    embeds = [trainer.model.encode_caption(ids, torch.ones_like(ids)) for _ in range(2)]
    assert torch.equal(*embeds)
