"""The media benchmark on a toy folder whose truth is known."""

import numpy as np
import pytest

from benchmarks.media_folder import read_manifest
from benchmarks.metrics_media import BINDING, FACE, LIPS, SHOWN, UNKNOWN, VOICE, MediaTest, separation_rows
from benchmarks.score_book import ScoreBook
from iap_pipelines.evaluation.settings import EvaluationSettings
from tests.evaluation.toys import ADA, BEN, CAT, ToyPerson, toy_models, write_clip


SETTINGS = EvaluationSettings(min_face_similarity=0.5, min_voice_similarity={1.0: 0.5})
STRANGER = ToyPerson((0, 0, 0), 1500)
HEADER = "file,kind,identity,speaking,notes"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    rows = [HEADER]
    for name, person in (("ada", ADA), ("ben", BEN), ("cat", CAT)):
        for take in (1, 2):
            file = f"{name}{take}.mp4"
            write_clip(folder / file, [person], [(0, 3, 0)], seed=take + 10 * ord(name[0]))
            rows.append(f"{file},video,{name},{name},")
    write_clip(folder / "wrong.mp4", [ADA], [(0, 3, 0)], voices=[BEN], seed=5)
    rows.append("wrong.mp4,composite,ada,ben,pictures of ada with the voice of ben")
    write_clip(folder / "dubbed.mp4", [ADA], [(0, 3, 0)], voices=[STRANGER], seed=5)
    rows.append("dubbed.mp4,video,ada,ada_othervoice,dubbed by nobody who is known")
    write_clip(folder / "late.mp4", [CAT], [(0, 3, 0), (3, 3.5, 0)], delay=0.4, seed=6)
    rows.append("late.mp4,composite,cat,cat,audio 400 ms late")
    rows.append("broken.mp4,bad,,,not a file")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def media(folder):
    return MediaTest(read_manifest(folder), toy_models(), SETTINGS, ScoreBook(folder / "scores.jsonl", {}))


def test_genuine_pairs_score_above_swapped_pairs(media):
    found = media.separate()
    assert {name: (len(genuine), len(swapped)) for name, (genuine, swapped) in found.items()} == {
        FACE: (3, 12),
        VOICE: (3, 18),
        LIPS: (6, 24),
        BINDING: (6, 24),
        UNKNOWN: (6, 24),
    }
    for name in (FACE, VOICE, BINDING, UNKNOWN):
        assert min(found[name][0]) > max(found[name][1])
    assert np.mean(found[LIPS][0]) > np.mean(found[LIPS][1])
    rows = {row[0]: row for row in separation_rows(found, seed=0)}
    assert rows[FACE][5:] == ["1.000 (1.000 to 1.000)", "0.000 (0.000 to 0.000)"]


def _faults(media):
    return {row[0]: (row[1], dict(zip(SHOWN, row[2:], strict=True))) for row in media.fault_rows()}


def test_faults_show_where_they_should(media):
    rows = _faults(media)
    assert {name: fault for name, (fault, _) in rows.items() if fault} == {
        "wrong.mp4": "another voice",
        "dubbed.mp4": "another voice",
        "late.mp4": "sound 400 ms late",
    }
    values = {
        name: {key: float(value) for key, value in row.items() if value != "null"} for name, (_, row) in rows.items()
    }
    assert values["late.mp4"]["lip_sync_offset"] == pytest.approx(400, abs=80)
    assert values["late.mp4"][BINDING] > 0.9
    for name in ("wrong.mp4", "dubbed.mp4"):
        assert values[name][BINDING] < 0.1
        assert values[name][FACE] == pytest.approx(values["ada1.mp4"][FACE], abs=0.01)
    for name in ("ada1.mp4", "ada2.mp4"):
        assert values[name][BINDING] > 0.9


def test_a_person_is_never_known_from_a_clip_with_another_voice(folder, tmp_path):
    """Without any other file of the person's voice, binding has no value rather than a wrong one."""
    (tmp_path / "manifest.csv").write_text(f"{HEADER}\nwrong.mp4,composite,ada,ben,\n")
    (tmp_path / "wrong.mp4").symlink_to(folder / "wrong.mp4")
    test = MediaTest(read_manifest(tmp_path), toy_models(), SETTINGS, ScoreBook(tmp_path / "scores.jsonl", {}))
    assert _faults(test)["wrong.mp4"][1][BINDING] == "null"


def test_a_file_that_cannot_be_read_is_left_out(folder, tmp_path, capsys):
    (tmp_path / "ada1.mp4").symlink_to(folder / "ada1.mp4")
    (tmp_path / "text.mp4").write_text("no film")
    rows = ["ada1.mp4,video,ada,ada,", "text.mp4,video,ben,ben,"]
    (tmp_path / "manifest.csv").write_text("\n".join([HEADER, *rows]))
    test = MediaTest(read_manifest(tmp_path), toy_models(), SETTINGS, ScoreBook(tmp_path / "scores.jsonl", {}))
    found = test.separate()
    assert (len(found[LIPS][0]), len(found[LIPS][1])) == (1, 0)
    assert "text.mp4" in capsys.readouterr().err


def test_other_files_of_the_same_name_are_measured_anew(folder, tmp_path):
    """A second folder, with the scores of the first one still there."""
    book = tmp_path / "scores.jsonl"
    values = []
    for number, file in enumerate(("ada1.mp4", "wrong.mp4")):
        media = tmp_path / str(number)
        media.mkdir()
        (media / "clip.mp4").symlink_to(folder / file)
        (media / "voice.mp4").symlink_to(folder / "ada2.mp4")
        rows = ["clip.mp4,video,ada,ada,", "voice.mp4,video,ada,ada,"]
        (media / "manifest.csv").write_text("\n".join([HEADER, *rows]))
        found = MediaTest(read_manifest(media), toy_models(), SETTINGS, ScoreBook(book, {})).separate()
        values.append(found[BINDING][0][0])
    assert values[0] > 0.9
    assert values[1] < 0.1


def test_metrics_without_pairs_are_null():
    assert separation_rows({FACE: ([], [0.1])}, seed=0) == [[FACE, "0", "1", "null", "null", "null", "null"]]
