"""Clips of any size, length and rate side by side: a batch stacks, and everything is seen."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from iap_pipelines.data.clip_folder import ClipEntry, IdentityEntry
from iap_pipelines.data.conditions import ConditionDropout
from iap_pipelines.data.latent_store import LatentShardWriter, LatentStore
from iap_pipelines.data.order import DataOrder
from iap_pipelines.data.training_dataset import (
    IdentityClipDataset,
    SampleSettings,
    collate,
    pad_references,
)
from iap_pipelines.pipelines.identity import SubjectLatents
from iap_pipelines.types import StructuredCaption
from tests.pipelines.tiny_components import tiny_tokenizer


SHAPES = [(32, 32, 5, 12.5), (32, 32, 9, 12.5), (32, 64, 5, 12.5), (32, 32, 5, 25.0)]
"""height, width, frames, frames per second"""
PEOPLE = {"ada": IdentityEntry("ada", "train", (), ())}


@pytest.fixture
def dataset(tmp_path):
    clips, tensors = [], {"ada/faces": torch.randn(2, 4, 2, 2), "ada/voice_0": torch.randn(6, 6)}
    for index in range(16):
        height, width, num_frames, rate = SHAPES[index % len(SHAPES)]
        caption = "Scene: room. <S1>: center, woman."
        clips.append(
            ClipEntry(f"c{index}", Path("c.mp4"), "train", height, width, num_frames, rate, ("ada",), caption)
        )
        tensors[f"c{index}/video"] = torch.randn(4, (num_frames + 3) // 4, height // 16, width // 16)
        tensors[f"c{index}/audio"] = torch.randn(round(num_frames / rate * 31.25), 6)
    LatentShardWriter(tmp_path, {}).write("all", tensors)
    settings = SampleSettings("clips", 1, (1, 1), (2, 6), ConditionDropout())
    return IdentityClipDataset(clips, PEOPLE, LatentStore(tmp_path), settings)


def sample(dataset, index):
    return dataset.sample(index, np.random.default_rng(index))


def test_a_batch_holds_clips_of_one_size_length_and_rate(dataset):
    order = DataOrder(dataset.buckets(), batch_size=2, seed=0)
    seen = Counter()
    for step in range(order.batches_per_epoch):
        indices = order.batch(step)
        seen.update(indices)
        batch = collate([sample(dataset, index) for index in indices], tiny_tokenizer(), 24)
        assert batch.video.shape[0] == batch.audio.shape[0] == 2
    assert seen == Counter(range(16))


def test_padding_references_are_seen_by_nobody_and_shaped_as_true_ones(dataset):
    batch = collate([sample(dataset, 0), sample(dataset, 4)], tiny_tokenizer(), 24)
    padded = pad_references(batch._replace(identity=None), dataset.padding_references()).identity
    assert padded.face_latents.shape[2:] == batch.identity.face_latents.shape[2:]
    assert padded.voice_latents.shape[3] == batch.identity.voice_latents.shape[3]
    assert not padded.face_mask.any() and not padded.voice_mask.any()
    kept = pad_references(batch, dataset.padding_references()).identity
    assert all(one is other for one, other in zip(kept, batch.identity, strict=True))


def test_exchanged_references_are_those_of_somebody_else(tmp_path):
    names = ("ada", "ben", "cleo")
    people = {name: IdentityEntry(name, "train", (Path("f.png"),), (Path("v.wav"),)) for name in names}
    both = "Scene: room. <S1>: left, woman. <S2>: right, man."
    clips = [
        ClipEntry("one", Path("c.mp4"), "train", 32, 32, 5, 12.5, ("ada",), "Scene: room. <S1>: center, woman."),
        ClipEntry("two", Path("c.mp4"), "train", 32, 48, 5, 12.5, ("ben", "cleo"), both),
    ]
    tensors = {f"{clip.clip_id}/video": torch.randn(4, 2, 2, clip.width // 16) for clip in clips}
    tensors |= {f"{clip.clip_id}/audio": torch.randn(12, 6) for clip in clips}
    for number, name in enumerate(names):
        tensors |= {f"{name}/faces": torch.full((1, 4, 2, 2), number), f"{name}/voice_0": torch.full((6, 6), number)}
    LatentShardWriter(tmp_path, {}).write("all", {name: tensor.float() for name, tensor in tensors.items()})

    def drawn(index, seed, exchanges=True, clips=clips, **dropout):
        settings = SampleSettings("clips", 1, (1, 1), (2, 6), ConditionDropout(**dropout), exchanges=exchanges)
        dataset = IdentityClipDataset(clips, people, LatentStore(tmp_path), settings)
        return dataset.sample(index, np.random.default_rng(seed))

    def seen(subjects):
        return [(float(subject.faces.mean()), float(subject.voice.mean())) for subject in subjects]

    assert {tuple(seen(drawn(0, seed).exchanged)) for seed in range(20)} == {((1, 1),), ((2, 2),)}
    pair = drawn(1, 0)
    assert seen(pair.exchanged) == seen(pair.subjects)[::-1]
    assert drawn(0, 0, exchanges=False).exchanged is None
    assert seen(drawn(0, 0, exchanges=False).subjects) == seen(drawn(0, 0).subjects) == [(0, 0)]
    assert drawn(0, 0, clips=clips[:1]).exchanged == ()

    faceless = drawn(0, 0, face=1.0).exchanged[0]
    assert faceless.faces is None and faceless.voice is not None
    nobody = drawn(0, 0, identity=1.0)
    batch = collate([nobody, drawn(0, 1), nobody], tiny_tokenizer(), 24)
    assert batch.has_exchanged.tolist() == [False, True, False]
    alone = collate([nobody], tiny_tokenizer(), 24)
    assert alone.exchanged is None and alone.has_exchanged.tolist() == [False]
    padding = SubjectLatents(torch.zeros(1, 4, 2, 2), torch.zeros(2, 6))
    assert not pad_references(alone, padding).exchanged.voice_mask.any()


@pytest.mark.parametrize(
    ("target", "first"), [("audio", "<S1>: right"), ("clips", "<S1>: right"), ("frames", "<S1>: left")]
)
def test_ordered_slots_follow_speech_or_places(tmp_path, target, first):
    caption = 'Scene: room. <S1>: left, woman. <S2>: right, man. <S2> says: "blue bird". <S1> says: "fish".'
    people = {name: IdentityEntry(name, "train", (), ()) for name in ("ada", "ben")}
    clip = ClipEntry("c", Path("c.mp4"), "train", 32, 48, 5, 12.5, ("ada", "ben"), caption)
    tensors = {"c/video": torch.randn(4, 2, 2, 3), "c/frames": torch.randn(2, 4, 2, 3), "c/audio": torch.randn(12, 6)}
    LatentShardWriter(tmp_path, {}).write("all", tensors)

    def first_slots(ordered_slots):
        settings = SampleSettings(target, 1, (1, 1), (2, 6), ConditionDropout(), ordered_slots=ordered_slots)
        dataset = IdentityClipDataset([clip], people, LatentStore(tmp_path), settings)
        captions = [dataset.sample(0, np.random.default_rng(seed)).caption for seed in range(20)]
        return {caption.split(". ")[1].split(",")[0] for caption in captions}

    assert first_slots(1.0) == {first}
    assert first_slots(0.0) == first_slots(0.5) == {"<S1>: left", "<S1>: right"}


def test_silent_companions_are_heard_as_references_but_say_nothing(tmp_path):
    people = {name: IdentityEntry(name, "train", (), (Path("v.wav"),)) for name in ("ada", "ben", "cleo")}
    caption = 'Scene: room. <S1>: center, person. <S1> says: "blue bird".'
    clips = [
        ClipEntry(name, Path("c.mp4"), "train", 32, 48, 5, 12.5, (name,), caption, ((0.1, 0.3),)) for name in people
    ]
    voices = {name: torch.full((6, 6), float(number)) for number, name in enumerate(people)}
    tensors = {f"{name}/audio": torch.randn(12, 6) for name in people}
    tensors |= {f"{name}/voice_0": voice for name, voice in voices.items()}
    LatentShardWriter(tmp_path, {}).write("all", tensors)

    def samples(silent_companions):
        settings = SampleSettings("audio", 1, (1, 1), (2, 6), ConditionDropout(), silent_companions=silent_companions)
        dataset = IdentityClipDataset(clips, people, LatentStore(tmp_path), settings)
        return [dataset.sample(0, np.random.default_rng(seed)) for seed in range(40)]

    speakers, companions, places = set(), set(), set()
    for drawn in samples(1.0):
        structured = StructuredCaption.parse(drawn.caption)
        speaker = structured.lines[0].subject - 1
        speakers.add(speaker)
        heard = [float(subject.voice[0, 0]) for subject in drawn.subjects]
        assert heard[speaker] == 0.0
        companions.add(heard[1 - speaker])
        places.add(structured.subjects[speaker].position)
        assert len(structured.lines) == 1
    assert speakers == {0, 1} and companions == {1.0, 2.0} and places == {"left", "right"}
    assert {len(drawn.subjects) for drawn in samples(0.5)} == {1, 2}
    assert {len(drawn.subjects) for drawn in samples(0.0)} == {1}


def test_silent_companions_are_refused_where_they_would_be_seen():
    with pytest.raises(ValueError, match="`silent_companions` is 0.5, but with `target: clips`"):
        SampleSettings("clips", 1, (1, 1), (2, 6), ConditionDropout(), silent_companions=0.5)
