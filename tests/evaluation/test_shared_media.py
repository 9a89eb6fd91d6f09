"""Real clips with a known fault, scored with the embedded models (minutes)."""

import pytest

from benchmarks.metrics_media import BINDING, FACE, SHOWN, MediaTest, ScoreBook, read_manifest
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


def test_late_sound_is_measured(rows):
    assert rows["late_audio_400ms.mp4"]["lip_sync_offset"] == pytest.approx(400, abs=80)
    assert rows["late_audio_400ms.mp4"][BINDING] > 0.8


def test_another_persons_voice_lowers_binding_and_not_the_face(rows):
    faulty, clean = rows["wrong_voice.mp4"], rows["f.mp4"]
    assert faulty[BINDING] < 0.2 < 0.8 < clean[BINDING]
    assert faulty[FACE] == pytest.approx(clean[FACE], abs=0.1)
