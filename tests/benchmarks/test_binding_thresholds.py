"""Thresholds found on a small world with the recognisers that come with the package."""

import numpy as np
import pytest

from benchmarks.binding_thresholds import NUM_STRANGERS, NUM_WORDS, Pairs, measure, rows
from iap_pipelines.assets import find_benchmark
from iap_pipelines.evaluation.loading import load_models
from iap_pipelines.evaluation.settings import EvaluationSettings
from iap_pipelines.synthetic import World, WorldConfig, fill_bank


SETTINGS = EvaluationSettings.load(find_benchmark("drawn-world") / "settings.yaml")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    config = WorldConfig(
        num_identities=7,
        clips_per_identity=2,
        held_out_share=0.43,
        two_person_share=0.5,
        three_person_share=0,
        voice_backend="formant",
    )
    world = World(config, fill_bank(tmp_path_factory.mktemp("bank"), 7, config.seed, voice_backend="formant"))
    assert len(world.identities("validation")) == 3
    used = SETTINGS.model_copy(update={"second_voice_embedder": None, "transcriber": None, "speech_quality": None})
    return measure(world, load_models(used), num_clips=1, num_utterances=2)


def test_every_clip_meets_its_own_person_and_the_others(found):
    faces, *voices, lips = found
    assert (faces.threshold, lips.threshold) == ("min_face_similarity", "min_lip_agreement")
    assert (len(faces.genuine), len(faces.swapped)) == (3, 6)
    assert (len(lips.genuine), len(lips.swapped)) == (3, 3 * min(NUM_STRANGERS, 2))
    assert len(voices) == len(NUM_WORDS)
    assert all((len(pairs.genuine), len(pairs.swapped)) == (3 * 2, 3 * 2 * 2) for pairs in voices)


def test_more_words_take_longer(found):
    seconds = [pairs.seconds for pairs in found[1:-1]]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0.1


def test_faces_are_told_apart(found):
    assert min(found[0].genuine) > max(found[0].swapped)


def test_rows_show_errors_at_the_set_and_at_the_found_threshold():
    pairs = Pairs("min_face_similarity", [0.9, 0.8, 0.7, 0.3], [0.1, 0.2, 0.6, 0.35])
    settings = EvaluationSettings(min_face_similarity=0.65, min_voice_similarity={1.0: 0.5, 2.0: 0.6})
    assert rows([pairs, Pairs("min_voice_similarity", [], [0.1], seconds=1.5)], settings) == [
        ["`min_face_similarity`", "4", "4", "0.65", "25.0% / 0.0%", "0.475", "25.0%"],
        ["`min_voice_similarity` at 1.50 s", "0", "1", "0.55", "null", "null", "null"],
    ]
    assert np.mean(np.array(pairs.genuine) < 0.475) == np.mean(np.array(pairs.swapped) >= 0.475) == 0.25
