"""The media benchmark on a toy folder whose truth is known."""

import numpy as np
import pytest

from benchmarks.metrics_media import BINDING, FACE, LIPS, VOICE, MediaTest, ScoreBook, read_manifest, separation_rows
from iap_pipelines.evaluation.settings import EvaluationSettings
from tests.evaluation.toys import ADA, BEN, CAT, toy_models, write_clip


SETTINGS = EvaluationSettings(min_face_similarity=0.5, min_voice_similarity=0.5)


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    rows = ["file,kind,identity,speaking,notes"]
    for name, person in (("ada", ADA), ("ben", BEN), ("cat", CAT)):
        for take in (1, 2):
            file = f"{name}{take}.mp4"
            write_clip(folder / file, [person], [(0, 3, 0)], seed=take + 10 * ord(name[0]))
            rows.append(f"{file},video,{name},{name},")
    write_clip(folder / "wrong.mp4", [ADA], [(0, 3, 0)], voices=[BEN], seed=5)
    rows.append("wrong.mp4,composite,ada,ben,pictures of ada with the voice of ben")
    write_clip(folder / "late.mp4", [CAT], [(0, 3, 0), (3, 3.5, 0)], delay=0.4, seed=6)
    rows.append("late.mp4,composite,cat,cat,audio 400 ms late")
    rows.append("broken.mp4,bad,,,not a file")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return MediaTest(read_manifest(folder), toy_models(), SETTINGS, ScoreBook(folder / "scores.jsonl", {}))


def test_the_manifest_says_what_is_wrong(media):
    assert {row.path.name: row.fault for row in media.faulty} == {
        "wrong.mp4": "another voice",
        "late.mp4": "late sound",
    }
    assert len(media.alone) == 6


def test_genuine_pairs_score_above_swapped_pairs(media):
    found = media.separate(list)
    assert {name: (len(genuine), len(swapped)) for name, (genuine, swapped) in found.items()} == {
        FACE: (3, 12),
        VOICE: (3, 12),
        LIPS: (6, 24),
        BINDING: (6, 24),
    }
    for name in (FACE, VOICE, BINDING):
        assert min(found[name][0]) > max(found[name][1])
    assert np.mean(found[LIPS][0]) > np.mean(found[LIPS][1])
    rows = {row[0]: row for row in separation_rows(found, seed=0)}
    assert rows[FACE][5:] == ["1.000 (1.000 to 1.000)", "0.000 (0.000 to 0.000)"]


def test_faults_show_where_they_should(media):
    rows = {
        row[0]: dict(zip((FACE, VOICE, "offset", LIPS, BINDING), row[2:], strict=True)) for row in media.fault_rows()
    }
    assert float(rows["late.mp4"]["offset"]) == pytest.approx(400, abs=80)
    assert float(rows["late.mp4"][BINDING]) > 0.9
    assert float(rows["wrong.mp4"][BINDING]) < 0.1
    assert float(rows["ada1.mp4"][BINDING]) > 0.9
    assert float(rows["wrong.mp4"][FACE]) == pytest.approx(float(rows["ada1.mp4"][FACE]), abs=0.01)


def test_what_was_measured_is_not_measured_again(tmp_path):
    path = tmp_path / "work" / "scores.jsonl"
    assert ScoreBook(path, {"a": 1}).get("x", lambda: 0.5) == 0.5
    path.write_text(path.read_text() + '{"cut off')
    assert ScoreBook(path, {"a": 1}).get("x", lambda: 0.7) == 0.5
    assert ScoreBook(path, {"a": 2}).get("x", lambda: 0.7) == 0.7


def test_metrics_without_pairs_are_null():
    assert separation_rows({FACE: ([], [0.1])}, seed=0) == [[FACE, "0", "1", "null", "null", "null", "null"]]


def test_a_folder_without_a_manifest(tmp_path):
    with pytest.raises(FileNotFoundError, match="IAP_MEDIA_DIR"):
        read_manifest(tmp_path)
