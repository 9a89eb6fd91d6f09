"""Prompts that were not learned, clips with and without an adapter, and their comparison."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.personal_likeness import (
    COLUMNS,
    REAL,
    ROWS,
    WITH,
    WITHOUT,
    Maker,
    Task,
    card_scores,
    choose_prompts,
    compare,
    learn,
    own_scenes,
    parse_arguments,
)
from iap_pipelines.evaluation.drawn_world.held_out import Gallery
from iap_pipelines.evaluation.drawn_world.measuring import ClipMeasurement
from iap_pipelines.evaluation.functional.intervals import Interval
from iap_pipelines.synthetic import WorldConfig, synthesize
from iap_pipelines.training.recognisers.material import load_world
from tests.pipelines.tiny_components import tiny_pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "out"
    config = WorldConfig(
        num_identities=8,
        clips_per_identity=4,
        two_person_share=0.25,
        three_person_share=0.0,
        held_out_share=0.4,
        height=48,
        voice_backend="formant",
    )
    synthesize(config, folder)
    return folder


@pytest.fixture(scope="module")
def world(folder):
    return load_world(folder)


def test_prompts_are_those_of_others_and_say_something_else(world):
    for person in world.identities("test"):
        scenes = choose_prompts(world, person, 4, seed=0)
        first, count = person * 4, world.config.clips_per_identity
        own = [world.describe_clip(index) for index in range(first, first + count)]
        spoken = {" ".join(line["text"] for line in clip["lines"]) for clip in own if len(clip["subjects"]) == 1}
        assert spoken and not spoken & {scene.words for scene in scenes}
        assert len({scene.words for scene in scenes}) == 4
        for scene in scenes:
            assert scene.identities == (person,) and scene.clip_index // count != person
            assert scene.caption.subjects[0].appearance == world.person(person).kind
    with pytest.raises(ValueError, match="`--prompts` must be at most"):
        choose_prompts(world, person, 100, seed=0)


def test_the_adapter_alone_makes_the_difference(folder, world, tmp_path):
    tiny_pipeline(num_layers=2).save_pretrained(tmp_path / "model")
    args = parse_arguments(
        [f"--world={folder}", f"--model={tmp_path / 'model'}", f"--output={tmp_path / 'out'}"]
        + ["--clips=2", "--inference-steps=1", "--set", "optimization.steps=2", "optimization.batch_size=1"]
    )
    person = world.identities("test")[0]
    adapter = learn(person, args)
    written = (adapter / "pytorch_lora_weights.safetensors").stat().st_mtime_ns
    assert learn(person, args) == adapter  # it is there, so nothing is done
    assert (adapter / "pytorch_lora_weights.safetensors").stat().st_mtime_ns == written
    data = adapter.parent / "data"
    known = json.loads((data / "identities.jsonl").read_text())
    assert len(known["faces"]) == 1  # those of the gallery are not learned
    [scene] = choose_prompts(world, person, 1, seed=0)
    maker = Maker(world, args)
    first, adapted, again = (maker.make(Task(column, scene)) for column in (WITHOUT, WITH, WITHOUT))
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], adapted[1])
    scenes = own_scenes(world, person, seed=0)
    assert scenes and all(scene.identities == (person,) and scene.clip_index // 4 == person for scene in scenes)
    frames, _ = maker.make(Task(REAL, scenes[0]))
    assert np.array_equal(frames, world.render_clip(scenes[0].clip_index).frames)


def clip(vector):
    openings = np.array([[0.0], [1.0], [0.0], [0.5]], np.float32)
    return ClipMeasurement(vector[None], openings, openings[:, 0], vector, vector[None], ())


def test_both_columns_and_their_difference(world):
    people = world.identities("test")
    held_out = (*range(100, 100 + 32 - len(people)), *people)
    gallery = Gallery(held_out, np.eye(32), np.eye(32))
    scenes = [scene for person in people for scene in choose_prompts(world, person, 2, seed=0)]
    right = {person: np.eye(32, dtype=np.float32)[gallery.identities.index(person)] for person in people}
    wrong = np.eye(32, dtype=np.float32)[0]
    measured = {WITHOUT: [], WITH: []}
    for number, scene in enumerate(scenes):
        measured[WITHOUT].append((scene, clip(right[scene.identities[0]] if number % 2 else wrong)))
        measured[WITH].append((scene, clip(right[scene.identities[0]])))
    face, voice, *among_all, face_cosine, _, lips, words = compare(measured, gallery, held_out)
    for entry in (face, voice, *among_all, face_cosine):
        assert (entry.without.value, entry.with_adapter.value, entry.difference.value) == (0.5, 1.0, 0.5)
    assert lips.difference == words.difference == Interval(0.0, None, None)
    assert words.with_adapter.value == 0.0  # nothing was heard
    # Over people everybody is alike; over clips half of them differ.
    assert face.without == Interval(0.5, None, None)
    by_clip = compare(measured, gallery, held_out, by_clip=True)[0]
    assert by_clip.without.low < 0.5 < by_clip.without.high
    # There may be other and more clips as drawn.
    assert face.real is None
    assert compare(measured | {REAL: measured[WITH][:1]}, gallery, held_out)[0].real.value == 1.0

    rows = card_scores(compare(measured, gallery, held_out), "some clips", "python -m x")
    columns = (*COLUMNS, "difference")
    names = [row.name.format(everybody=32) for row in ROWS]
    assert [row["name"] for row in rows] == [f"{name}, {column}" for name in names for column in columns]
    assert (rows[1]["value"], rows[1]["interval"]) == ("100 %", "")
    assert (rows[2]["value"], rows[2]["interval"]) == ("+50 %", "")


def test_a_double_in_the_training_split_counts_among_everybody_only(world):
    person = world.identities("test")[0]
    held_out = (*range(100, 131), person)
    own, double = np.eye(34, dtype=np.float32)[31], 0.8 * np.eye(34)[31] + 0.6 * np.eye(34)[33]
    vectors = np.stack([*np.eye(34)[:31], double, np.eye(34)[32], own])
    everybody = Gallery((*range(100, 131), person, 200, 201), vectors, vectors)
    scenes = choose_prompts(world, person, 2, seed=0)
    measured = dict.fromkeys(COLUMNS, [(scene, clip(own)) for scene in scenes])
    found = {entry.row.name: entry.without.value for entry in compare(measured, everybody, held_out)}
    for kind in ("face", "voice"):
        assert found[f"{kind}: top-1 among 32"] == 1.0 and found[f"{kind}: top-1 among all 34"] == 0.0
        assert found[f"{kind}: cosine to other {'pictures' if kind == 'face' else 'recordings'}"] == pytest.approx(0.8)


def test_silence_is_like_nobody(world):
    person = world.identities("test")[0]
    held_out = (*range(100, 131), person)
    gallery = Gallery(held_out, np.eye(32), np.eye(32))
    scenes = choose_prompts(world, person, 2, seed=0)
    silent = replace(clip(np.eye(32, dtype=np.float32)[31]), voice=np.full(32, np.nan, np.float32))
    measured = dict.fromkeys(COLUMNS, [(scene, silent) for scene in scenes])
    found = {entry.row.name: entry.without.value for entry in compare(measured, gallery, held_out, by_clip=True)}
    assert found["voice: top-1 among 32"] == found["voice: cosine to other recordings"] == 0.0
    assert found["voice: top-1 among all 32"] == 0.0
    assert found["face: top-1 among 32"] == found["face: top-1 among all 32"] == 1.0
