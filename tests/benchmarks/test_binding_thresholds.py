"""Thresholds found on a small world with the recognisers that come with the package."""

import numpy as np
import pytest

from benchmarks.binding_thresholds import NUM_STRANGERS, THRESHOLDS, Pairs, measure, rows
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
    return measure(world, load_models(used), num_clips=1)


def test_every_clip_meets_its_own_person_and_the_others(found):
    assert tuple(found) == THRESHOLDS
    assert [len(scores) for scores in found["min_face_similarity"]] == [3, 6]
    assert [len(scores) for scores in found["min_lip_agreement"]] == [3, 3 * min(NUM_STRANGERS, 2)]
    genuine, swapped = found["min_piece_similarity"]
    assert len(swapped) == 2 * len(genuine) > 0
    assert found["min_voice_similarity"] == ([], []), "nobody speaks for 3 s in a clip of 2 s"


def test_faces_are_told_apart(found):
    genuine, swapped = found["min_face_similarity"]
    assert min(genuine) > max(swapped)


def test_rows_show_errors_at_the_set_and_at_the_found_threshold():
    pairs = Pairs([0.9, 0.8, 0.7, 0.3], [0.1, 0.2, 0.6, 0.35])
    settings = EvaluationSettings(min_face_similarity=0.65)
    assert rows({"min_face_similarity": pairs, "min_voice_similarity": Pairs([], [0.1])}, settings) == [
        ["`min_face_similarity`", "4", "4", "0.65", "25.0% / 0.0%", "0.475", "25.0%"],
        ["`min_voice_similarity`", "0", "1", "0.62", "null", "null", "null"],
    ]
    assert np.mean(np.array(pairs.genuine) < 0.475) == np.mean(np.array(pairs.swapped) >= 0.475) == 0.25
