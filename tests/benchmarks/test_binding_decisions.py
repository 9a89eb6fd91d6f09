"""Which decision of binding fails, by hand and on a small world."""

import json

import numpy as np
import pytest

from benchmarks.binding_decisions import HEADER, OUTCOMES, Decided, DrawnClips, read_results, right_seconds, rows
from iap_pipelines.assets import find_benchmark
from iap_pipelines.cli import main
from iap_pipelines.evaluation.settings import EvaluationSettings
from iap_pipelines.training.recognisers.material import load_world


def _turn(start, end, voice, face):
    return {"start": start, "end": end, "voice": voice, "face": face}


def test_right_seconds_by_hand():
    lines = [{"subject": 2, "start": 0.0, "end": 1.0}, {"subject": 1, "start": 1.2, "end": 2.0}]
    turns = [_turn(0.0, 0.6, "ben", "ben"), _turn(0.6, 1.2, "ada", "ben"), _turn(1.2, 2.0, "ada", None)]
    assert right_seconds(turns, lines, ["ada", "ben"]) == pytest.approx([1.4, 1.0, 1.8], abs=0.041)
    assert right_seconds([], lines, ["ada", "ben"]) == pytest.approx([0, 0, 1.8], abs=0.041)


def test_rows_add_seconds_and_words():
    clips = [
        Decided(2, np.array([3.0, 0, 1, 0, 0]), np.array([2.0, 1, 4]), 1.0, 4.0),
        Decided(2, np.array([0.0, 0, 0, 1, 5]), np.array([1.0, 3, 4]), 1.0, 1.0),
        Decided(1, np.array([1.0, 0, 0, 0, 0]), None, 0.0, 3.0),
    ]
    assert [dict(zip(HEADER, row, strict=True)) for row in rows("toys", clips)] == [
        dict(zip(HEADER, ["toys, 1 person", "1", "100%", *["0%"] * 4, "", "", "0.00"], strict=True)),
        dict(
            zip(HEADER, ["toys, 2 people", "2", "30%", "0%", "10%", "10%", "50%", "38%", "50%", "0.40"], strict=True)
        ),
    ]


def test_results_are_read(tmp_path):
    score = {"metric": "speaker_word_error_rate", "value": 0.5, "weight": 2.0}
    clip = {"details": {"binding_confusion_seconds": [[1.0, 0.5], [0.25, 0.0]]}, "scores": [score]}
    silent = {"details": {"binding_confusion_seconds": None}, "scores": [score]}
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"title": "run", "clips": [clip, silent]}))
    title, (found,) = read_results(path)
    assert (title, found.num_people, found.word_errors) == ("run", 1, 1.0)
    assert dict(zip(OUTCOMES, found.seconds, strict=True)) == {
        "bound": 1.0,
        "other face": 0.0,
        "face unknown": 0.25,
        "voice unknown": 0.5,
        "both unknown": 0.0,
    }


def test_a_drawn_clip_is_bound(tmp_path):
    """One person of a small world, with the recognisers that come with the package."""
    options = ["--identities", "3", "--clips-per-identity", "1", "--voices", "formant"]
    assert main(["synthesize", str(tmp_path), *options]) == 0
    settings = EvaluationSettings.load(find_benchmark("drawn-world") / "settings.yaml")
    unused = {"second_voice_embedder": None, "speech_quality": None}
    world = load_world(tmp_path)
    index = next(index for index in range(3) if world.num_people(index) == 1)
    found = DrawnClips(tmp_path, world, settings.model_copy(update=unused)).decide(index)
    assert found.num_people == 1
    assert found.seconds.sum() > 0.3
    assert found.right[1] / found.right[2] > 0.8, "the face is recognised; buzzing voices are not asked to be"
