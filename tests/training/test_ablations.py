"""What an ablation leaves out is left out, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
import torch

from iap_pipelines.data.clip_folder import read_clips, read_identities
from iap_pipelines.data.conditions import ConditionDropout, without_anchors
from iap_pipelines.data.latent_store import LatentStore
from iap_pipelines.data.training_dataset import IdentityClipDataset, SampleSettings, cut_square
from iap_pipelines.models.transformer_iap import IAPTransformer3DModel
from iap_pipelines.training.config import PretrainedModel, TrainingConfig, load_training_config
from iap_pipelines.training.initial_model import initial_model
from iap_pipelines.training.trainer import Trainer


CONFIGS = Path(__file__).resolve().parents[2] / "training" / "configs"


@pytest.fixture
def told(clip_folder):
    """The clip folder, but everybody's lines have times."""
    import json

    path = clip_folder / "clips.jsonl"
    clips = [json.loads(line) for line in path.read_text().splitlines()]
    for clip in clips:
        clip["lines"] = [
            {"subject": subject + 1, "text": "red apple", "start": 0.1 * subject, "end": 0.1 * subject + 0.1}
            for subject in range(len(clip["subjects"]))
        ]
    path.write_text("".join(json.dumps(clip) + "\n" for clip in clips))
    return clip_folder


def _dataset(folder, **changes):
    clips = [clip for clip in read_clips(folder) if clip.split == "train"]
    values = {
        "target": "clips",
        "num_draws": 1,
        "num_views": (1, 1),
        "voice_latents": (2, 6),
        "dropout": ConditionDropout(),
    }
    latents = LatentStore(folder.parent / "latents")
    return IdentityClipDataset(clips, read_identities(folder), latents, SampleSettings(**values | changes))


def _pairs(dataset):
    return [index for index, clip in enumerate(dataset.clips) if len(clip.identities) == 2]


@pytest.mark.parametrize("changes", [{}, {"model.transformer": {"num_identity_slots": 0}}, {"data.anchors": False}])
def test_ablations_are_valid_configs(changes):
    load_training_config(CONFIGS / "ablation.yaml", changes)


def test_the_runs_of_the_table_are_those_of_the_config():
    from benchmarks.ablation import RUNS

    text = (CONFIGS / "ablation.yaml").read_text()
    assert all(f"#   {run} " in text for run in RUNS)


def test_captions_without_anchors_say_the_rest(told):
    plain, ablated = _dataset(told), _dataset(told, anchors=False)
    index = _pairs(plain)[0]
    one, other = (dataset.sample(index, np.random.default_rng(5)) for dataset in (plain, ablated))
    assert "<S1>" in one.caption and "<S" not in other.caption
    assert other.caption == without_anchors(one.caption)
    assert "left" in other.caption and 'says: "red apple"' in other.caption
    assert torch.equal(one.subjects[0].faces, other.subjects[0].faces)


def test_references_of_the_target_clip_lie_in_it(told):
    dataset = _dataset(told, references="target")
    latents = dataset.latents
    index = _pairs(dataset)[0]
    clip = dataset.clips[index]
    frames, audio = latents.read(f"{clip.clip_id}/frames"), latents.read(f"{clip.clip_id}/audio")
    sides = {0: frames[..., :2], 1: frames[..., 2:]}
    for seed in range(6):
        sample = dataset.sample(index, np.random.default_rng(seed))
        found = [
            [side for side, pictures in sides.items() if any(torch.equal(face, picture) for picture in pictures)]
            for face in (subject.faces[0] for subject in sample.subjects)
        ]
        assert sorted(found) == [[0], [1]]
        for (side,), subject in zip(found, sample.subjects, strict=True):
            # 6 latents last 0.4 s; the left one speaks first.
            spoken = audio[round(1.5 * side) : round(1.5 * side + 1.5)]
            assert any(
                torch.equal(subject.voice, spoken[start : start + len(subject.voice)]) for start in range(len(spoken))
            )


def test_references_of_the_target_clip_need_to_know_who_speaks(clip_folder):
    with pytest.raises(ValueError, match="`references: target` needs to know who speaks when: clip-0"):
        _dataset(clip_folder, references="target")


def test_people_who_say_nothing_have_no_voice_there(told):
    clip = read_clips(told)[1]
    assert clip.speech == ((0.0, 0.1),)
    dataset = _dataset(told, references="target")
    silent = [clip.__class__(**{**vars(clip), "speech": (None,) * len(clip.identities)}) for clip in dataset.clips]
    dataset.clips = silent
    sample = dataset.sample(_pairs(dataset)[0], np.random.default_rng(0))
    assert all(subject.voice is None and subject.faces is not None for subject in sample.subjects)


def test_squares_stay_inside():
    frames = torch.arange(10.0).expand(1, 1, 6, 10)
    assert [cut_square(frames, k, 3, side=6)[0, 0, 0, 0].item() for k in range(3)] == [0, 2, 4]


@pytest.fixture
def folder(config_values, tmp_path):
    """A stage's pipeline folder, as far as the next stage reads it."""
    model, tokenizer = Trainer(TrainingConfig.model_validate(config_values)), None
    tokenizer = model.tokenizer
    model.model.transformer.save_pretrained(tmp_path / "stage" / "transformer")
    model.model.text_encoder.save_pretrained(tmp_path / "stage" / "text_encoder")
    tokenizer.save_pretrained(tmp_path / "stage" / "tokenizer")
    return tmp_path / "stage"


def _load(folder, **changes):
    source = PretrainedModel(type="pretrained", folder=str(folder), transformer=changes)
    return initial_model(source, [], 40, seed=0).model.transformer


def test_a_stage_can_start_without_slots_or_with_other_positions(folder):
    complete, no_slots = _load(folder), _load(folder, num_identity_slots=0)
    assert hasattr(complete, "identity_embedding") and not hasattr(no_slots, "identity_embedding")
    assert no_slots.config.num_identity_slots == 0
    kept, whole = no_slots.state_dict(), complete.state_dict()
    assert set(whole) - set(kept) == {
        name for name in whole if "identity_embedding" in name or "identity_proj" in name
    }
    assert all(torch.equal(value, whole[name]) for name, value in kept.items())
    fixed = _load(folder, identity_position="fixed")
    assert fixed.config.identity_position == "fixed"
    assert all(torch.equal(value, whole[name]) for name, value in fixed.state_dict().items())


def test_weights_that_are_not_there_are_not_made_up(folder, tmp_path):
    no_slots = _load(folder, num_identity_slots=0)
    no_slots.save_pretrained(folder / "transformer")
    assert isinstance(_load(folder), IAPTransformer3DModel)
    with pytest.raises(ValueError, match="needs weights that .* does not have: audio_identity_proj"):
        _load(folder, num_identity_slots=4)
    with pytest.raises(ValueError, match="unknown keys \\['num_slots'\\]"):
        _load(folder, num_slots=4)
