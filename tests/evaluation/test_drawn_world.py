"""Measuring and reporting with untrained recognisers: what is looked at, what is written down, what is printed."""

import json

import numpy as np
import pytest
import torch
from transformers import ResNetConfig

from iap_pipelines import FaceIdentityConfig, FaceIdentityEncoder, VoiceIdentityConfig, VoiceIdentityEncoder
from iap_pipelines.evaluation.drawn_world import report
from iap_pipelines.evaluation.drawn_world.held_out import Gallery, choose_scenes, make_gallery, subjects_of
from iap_pipelines.evaluation.drawn_world.measuring import ClipMeasurement, DrawnWorldRecognisers
from iap_pipelines.evaluation.functional.intervals import Interval
from iap_pipelines.models.configuration_word_ctc import WordCTCConfig
from iap_pipelines.models.feature_extraction_log_mel import LogMelFeatureExtractor
from iap_pipelines.models.modeling_word_ctc import WordForCTC
from iap_pipelines.synthetic import World, WorldConfig, fill_bank
from iap_pipelines.synthetic.vocabulary import SPOKEN_WORDS
from iap_pipelines.training.recognisers.trainer import make_mouth_model
from iap_pipelines.types import caption_anchors


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Ten people with buzzing voices, three of them for testing."""
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


@pytest.fixture(scope="module")
def recognisers():
    torch.manual_seed(0)
    sizes = {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"}
    return DrawnWorldRecognisers(
        FaceIdentityEncoder(FaceIdentityConfig(stem_size=4, hidden_sizes=(4, 8), depths=(1, 1), embedding_size=6)),
        make_mouth_model(ResNetConfig(**sizes, num_labels=1)),
        VoiceIdentityEncoder(VoiceIdentityConfig(hidden_size=8, embedding_size=6)),
        WordForCTC(WordCTCConfig(hidden_size=8, num_layers=1, id2label=dict(enumerate(["", *SPOKEN_WORDS])))),
        LogMelFeatureExtractor(),
    )


@pytest.fixture(scope="module")
def scenes(world):
    return choose_scenes(world, 2, 4, seed=0)


def test_scenes_are_of_test_people_everybody_first(world):
    alone = choose_scenes(world, 1, 6, seed=0)
    first = [scene.clip_index // 4 for scene in alone]
    assert first == [7, 8, 9, 7, 8, 9]
    assert all(len(scene.identities) == 1 for scene in alone)
    with pytest.raises(ValueError, match="at most 6"):
        choose_scenes(world, 1, 7, seed=0)


def test_captions_keep_words_and_places_but_not_looks(world):
    found = set()
    for scene in choose_scenes(world, 2, 6, seed=0):
        record = world.describe_clip(scene.clip_index)
        assert scene.words == " ".join(line["text"] for line in record["lines"])
        for slot, subject in zip(scene.slots, scene.caption.subjects, strict=True):
            assert subject.position == ("left", "right")[slot]
            assert subject.appearance == world.person(scene.identities[slot]).kind
        assert caption_anchors(scene.caption.render()) == (1, 2)
        said_first = record["lines"][0]["subject"] - 1
        assert scene.slots[scene.caption.lines[0].subject - 1] == said_first
        found.add(scene.slots)
    assert found == {(0, 1), (1, 0)}


def test_subjects_are_given_in_the_order_of_their_slots(world, scenes):
    scene = next(scene for scene in scenes if scene.slots == (1, 0))
    both = subjects_of(world, scene, "both")
    right = world.render_face(scene.identities[1], 0)
    assert np.array_equal(np.asarray(both[0].face), right)
    torch.testing.assert_close(
        both[1].voice.samples[0], torch.from_numpy(world.speak_reference(scene.identities[0], 0))
    )
    shown = {name: subjects_of(world, scene, name)[0] for name in ("face", "voice", "nothing")}
    assert [(one.has_face, one.has_voice) for one in shown.values()] == [(True, False), (False, True), (False, False)]


def test_the_gallery_does_not_hold_what_the_generator_is_given(world, recognisers):
    gallery = make_gallery(world, recognisers, [7, 8])
    torch.testing.assert_close(torch.from_numpy(np.linalg.norm(gallery.voices, axis=1)).float(), torch.ones(2))
    others = np.stack([world.render_face(7, view) for view in (1, 2, 3, 4)])
    np.testing.assert_allclose(gallery.faces[0], recognisers.embed_faces(others, 1)[0], rtol=1e-5)


def test_a_measurement_looks_at_every_side_and_survives_being_written_down(world, recognisers, scenes):
    clip = world.render_clip(scenes[0].clip_index)
    measured = recognisers.measure(clip.frames, clip.samples, num_people=2, frame_rate=12.5)
    assert measured.faces.shape == measured.side_voices.shape == (2, 6)
    assert measured.openings.shape == clip.mouth_opening.shape
    # The sound asks for what the two mouths do together: people take turns.
    np.testing.assert_allclose(measured.expected, clip.mouth_opening.max(axis=1), atol=0.06)
    mirrored = recognisers.measure(clip.frames[:, :, ::-1].copy(), clip.samples, num_people=2, frame_rate=12.5)
    assert not np.allclose(mirrored.faces, measured.faces)
    read = ClipMeasurement.from_json(json.loads(json.dumps(measured.to_json())))
    for name in ("faces", "openings", "expected", "voice", "side_voices"):
        np.testing.assert_allclose(getattr(read, name), getattr(measured, name), atol=1e-4)
    assert read.words == measured.words


def test_silence_has_no_voice(world, recognisers):
    frames = np.zeros((25, 48, 48, 3), np.uint8)
    measured = recognisers.measure(frames, np.zeros(32_000, np.float32), num_people=1, frame_rate=12.5)
    assert np.isnan(measured.voice).all() and np.isnan(measured.side_voices).all()
    assert np.isnan(ClipMeasurement.from_json(measured.to_json()).voice).all()


def _measurement(generator, num_people, faces, voices, words, late=0):
    expected = np.clip(generator.standard_normal(25), 0, None)
    openings = np.stack([np.roll(expected, late)] * num_people, axis=1)
    voice = voices[0] if num_people == 1 else np.full_like(voices[0], np.nan)
    return ClipMeasurement(faces, openings, expected, voice, voices, words)


def test_the_report_of_a_perfect_generator_and_of_one_that_mixes_everything_up(world):
    """Embeddings are rows of the identity, so that every score is known."""
    generator = np.random.default_rng(0)
    gallery = Gallery(tuple(range(32)), np.eye(32), np.eye(32))
    alone, pairs = choose_scenes(world, 1, 6, seed=0), choose_scenes(world, 2, 6, seed=0)
    perfect, wrong = {}, {}
    for num_people, chosen in ((1, alone), (2, pairs)):
        key = ("generated", "both", num_people)
        rows = [np.eye(32)[list(scene.identities)] for scene in chosen]
        perfect[key] = [
            (scene, _measurement(generator, num_people, row, row, tuple(scene.words.split())))
            for scene, row in zip(chosen, rows, strict=True)
        ]
        other = rows if num_people == 2 else [np.eye(32)[[31]]] * len(rows)
        wrong[key] = [
            (scene, _measurement(generator, num_people, row[::-1], row, (), late=5))
            for scene, row in zip(chosen, other, strict=True)
        ]
    values = {
        name: {result.row: result for result in report.evaluate(measured, gallery)}
        for name, measured in (("perfect", perfect), ("wrong", wrong))
    }
    for row in ("face: top-1 among 32", "voice: top-1 among 32", "spoken word accuracy", "two people: both of it"):
        assert values["perfect"][row].value == 1.0 and values["wrong"][row].value == 0.0
    sync = "lip sync: best offset within one frame"
    assert values["perfect"][sync].value == 1.0 and values["wrong"][sync].value == 0.0
    assert values["wrong"]["two people: the moving mouth has the right voice"].value == 1.0
    assert values["perfect"]["given both: face of two takes, cosine"].value == 1.0
    assert values["perfect"]["face: top-1 among 32"].num_clips == 6
    assert not any(result.column != "generated" for result in report.evaluate(perfect, gallery))


def test_intervals_are_over_people_and_cells_show_them():
    values = [(person, float(person < 2), 1.0) for person in range(4) for _ in range(50)]
    interval = report.interval_of(values)
    assert interval.value == 0.5 and interval.low == 0.0 and interval.high == 1.0
    assert report.interval_of([]) is None
    weighted = report.interval_of([(0, 1.0, 3.0), (1, 0.0, 1.0)])
    assert weighted.value == 0.75
    result = report.Result("face: top-1 among 32", "real", 0.9375, 0.81, 1.0, 16)
    assert report.cells([result]) == [["face: top-1 among 32", "3 %", "94 % [81, 100]", "", "", "80 %"]]
    assert report.with_ends(Interval(-0.104, -0.2, 0.0), is_share=False, is_difference=True) == "-0.10 [-0.20, +0.00]"
    assert report.with_ends(Interval(0.5, None, None), is_share=True) == "50 %"
    assert report.value_and_interval(Interval(0.5, None, None), is_share=False) == ("0.50", "")
    assert report.value_and_interval(result.interval, is_share=True) == ("94 %", "81 to 100 %")
