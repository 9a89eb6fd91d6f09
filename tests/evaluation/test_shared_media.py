"""Real clips with a known fault, scored with the embedded models (minutes)."""

import pytest

from benchmarks.media_folder import read_manifest
from benchmarks.metrics_media import BINDING, FACE, SHOWN, MediaTest
from benchmarks.score_book import ScoreBook
from iap_pipelines.evaluation.loading import load_models
from iap_pipelines.evaluation.settings import EvaluationSettings


FOLDER_NAME = "media"
SETTINGS = EvaluationSettings(transcriber=None, speech_quality=None)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rows(shared, tmp_path_factory):
    """File to scores, of faulty clips and of their clean counterparts."""
    book = ScoreBook(tmp_path_factory.mktemp("work") / "scores.jsonl", {})
    test = MediaTest(read_manifest(shared / FOLDER_NAME), load_models(SETTINGS), SETTINGS, book)
    table = {row[0]: dict(zip(SHOWN, row[2:], strict=True)) for row in test.fault_rows()}
    return {name: {key: float(value) for key, value in row.items() if value != "null"} for name, row in table.items()}


@pytest.mark.parametrize("clean", ["b_scene1.mp4", "b_scene2.mp4", "e.mp4", "f.mp4"])
def test_a_clip_without_a_fault_is_bound(rows, clean):
    assert rows[clean][BINDING] > 0.8


def test_late_sound_is_measured_and_stays_bound(rows):
    assert rows["late_audio_400ms.mp4"]["lip_sync_offset"] == pytest.approx(400, abs=80)
    assert rows["late_audio_400ms.mp4"][BINDING] > 0.8


@pytest.mark.parametrize(("faulty", "clean"), [("wrong_voice.mp4", "f.mp4"), ("b_scene2_dubbed.mp4", "b_scene2.mp4")])
def test_another_persons_voice_lowers_binding_and_not_the_face(rows, faulty, clean):
    assert rows[faulty][BINDING] < 0.2
    assert rows[faulty][FACE] == pytest.approx(rows[clean][FACE], abs=0.1)
