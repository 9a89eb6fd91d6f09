"""A whole run over toy people: what is kept, who is whom, what the tables and the report say."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from html import escape
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from iap_pipelines.curation.config import CurationConfig
from iap_pipelines.curation.discovery import find_sources
from iap_pipelines.curation.engines import InlineEngine
from iap_pipelines.curation.gates import GATES
from iap_pipelines.curation.ledger import Ledger
from iap_pipelines.curation.measure import measure_all
from iap_pipelines.curation.report.words import REASONS, meaning_of_measurement, meaning_of_reason
from iap_pipelines.curation.results import TABLES, table_schema
from iap_pipelines.curation.run import finish
from iap_pipelines.curation.walk import Worker
from tests.curation.toy_people import people_plan
from tests.curation.toys import write_sources


TEXTS = {
    "first": "ada ben+ada nobody",
    "second": "ada ben cy",
    "third": "cy raise ada-",
    "dub": "ada/ben",
    "copy": "ada/ben",
    "broken": "",
    "blind": "no_video",
}


def curate_toys(folder: Path, texts: dict[str, str] = TEXTS, **thresholds: float):
    write_sources(folder / "in", **texts)
    (folder / "in" / "notes.txt").write_text("no video")
    output = folder / "out"
    found = find_sources(folder / "in", leave_out=output)
    plan, ledger = people_plan(output, **thresholds), Ledger(output / "ledger")
    measure_all(InlineEngine(lambda: Worker(plan, ledger, folder / "in")), plan, ledger, folder / "in", found.sources)
    return finish(found, CurationConfig(), plan, ledger, folder / "in", output)


def _table(result, name):
    return pq.read_table(result.folder / "tables" / f"{name}.parquet").to_pylist()


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return curate_toys(tmp_path_factory.mktemp("toys"))


def test_every_file_is_kept_rejected_or_failed(result):
    assert (result.num_files, result.num_kept, result.num_rejected, result.num_failed) == (7, 3, 3, 1)
    assert result.num_kept + result.num_rejected + result.num_failed == result.num_files
    statuses = {row["path"]: row["status"] for row in _table(result, "sources")}
    assert statuses == {
        "first.mp4": "kept",
        "second.mp4": "kept",
        "third.mp4": "kept",
        "copy.mp4": "rejected",
        "broken.mp4": "failed",
        "blind.mp4": "rejected",
    }
    assert "dub.mp4" in {row["record_id"] for row in _table(result, "rejects")}, "the copy of copy.mp4"


def test_clips_are_kept_or_rejected_with_their_reason(result):
    rejects = Counter((row["level"], row["kind"], row["reason"]) for row in _table(result, "rejects"))
    assert rejects == {
        ("clip", "rejected", "no_face"): 1,
        ("clip", "failed", "RuntimeError"): 1,
        ("clip", "rejected", "other_voice"): 1,
        ("source", "rejected", "duplicate"): 1,
        ("source", "failed", "ValueError"): 1,
        ("source", "rejected", "no_video"): 1,
    }
    (nobody,) = [row for row in _table(result, "rejects") if row["reason"] == "no_face"]
    assert (nobody["value"], nobody["threshold"], nobody["luma"]) == (0.0, 0.5, 100.0)
    assert len(_table(result, "clips")) == 7


def test_people_are_linked_and_numbered_from_left_to_right(result):
    people = {row["identity_id"]: row for row in _table(result, "identities")}
    assert sorted(row["num_clips"] for row in people.values()) == [2, 2, 4]
    subjects = _table(result, "subjects")
    pair = [row for row in subjects if row["position"] is not None]
    assert {(row["number"], row["position"]) for row in pair} == {(1, "left"), (2, "right")}
    roles = Counter(row["role"] for row in subjects)
    assert roles == {"speaker": 7, "listener": 1}
    assert {row["decision"] for row in _table(result, "links")} >= {"linked", "face_only"}


def test_rows_belong_together(result):
    tables = {name: _table(result, name) for name in TABLES}
    clips = {row["clip_id"] for row in tables["clips"]}
    tracks = {row["track_id"] for row in tables["tracks"]}
    views, turns = ({row[key] for row in tables[name]} for name, key in (("views", "view_id"), ("turns", "turn_id")))
    for name in ("subjects", "tracks", "views", "turns", "references"):
        assert {row["clip_id"] for row in tables[name]} <= clips
    assert {row["track_id"] for row in tables["subjects"]} == tracks
    assert {row["view_id"] for row in tables["references"] if row["modality"] == "face"} <= views
    assert {row["turn_id"] for row in tables["references"] if row["modality"] == "voice"} <= turns
    same = {(row["modality"], row["scope"]) for row in tables["references"] if row["from_clip_id"] == row["clip_id"]}
    assert same == {("voice", "same_clip")}, "Ben's other turn is too short; every face has another clip"
    for name, column in (("clips", "file"), ("views", "view_file"), ("turns", "voice_file")):
        for row in tables[name]:
            assert (result.folder / row[column]).is_file()
    for name in TABLES:
        assert pq.read_schema(result.folder / "tables" / f"{name}.parquet").equals(table_schema(name))


def test_no_file_is_left_of_what_is_not_kept(result):
    named = {row["file"] for row in _table(result, "clips")}
    named |= {row["view_file"] for row in _table(result, "views")}
    named |= {row["voice_file"] for row in _table(result, "turns")}
    assert _media(result.folder) == named


def test_two_runs_give_equal_tables(result, tmp_path):
    again = curate_toys(tmp_path)
    for name in TABLES:
        file = f"tables/{name}.parquet"
        assert (again.folder / file).read_bytes() == (result.folder / file).read_bytes(), name


def test_a_run_that_is_killed_at_every_step_ends_with_the_same_bytes(result, tmp_path):
    """SIGKILL at the third file that is put in its place, then at the fourth of what is left, and so on to the end."""
    script = tmp_path / "run.py"
    script.write_text(KILLED_AGAIN_AND_AGAIN)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), os.getcwd()])}
    command = [sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 5
    for name in TABLES:
        file = f"tables/{name}.parquet"
        assert (tmp_path / "out" / file).read_bytes() == (result.folder / file).read_bytes(), name
    assert _media(tmp_path / "out") == _media(result.folder)


def _media(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in (folder / "media").glob("*/*")}


KILLED_AGAIN_AND_AGAIN = """
import os, signal, sys
from pathlib import Path
from tests.curation.test_run import curate_toys

replace, num_kills = os.replace, 0


def put_in_place(*paths):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)


while True:
    child = os.fork()  # nothing has run in this process, so there are no threads and no locks to be copied
    if child == 0:
        left, os.replace = 3 + num_kills, put_in_place
        curate_toys(Path(sys.argv[1]))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        sys.exit(f"status {status}") if status else print(num_kills)
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
    num_kills += 1
"""


def test_a_threshold_there_and_back(tmp_path):
    first = curate_toys(tmp_path)
    before = {path.name: path.read_bytes() for path in (first.folder / "tables").iterdir()}
    media = {path.name for path in (first.folder / "media").glob("*/*")}
    none = curate_toys(tmp_path, min_luma=200)
    assert none.num_clips == 0 and not list((none.folder / "media").glob("*/*"))
    curate_toys(tmp_path)
    assert {path.name: path.read_bytes() for path in (first.folder / "tables").iterdir()} == before
    assert {path.name for path in (first.folder / "media").glob("*/*")} == media


def test_what_lips_leave_open_is_kept_when_another_source_confirms_it(tmp_path):
    texts = {"sure": "ada ben", "open": "ada? cy?", "dub": "ada/ben?"}
    result = curate_toys(tmp_path, texts)
    rejects = {row["path"]: row for row in _table(result, "rejects")}
    assert {(path, row["reason"], row["value"], row["threshold"]) for path, row in rejects.items()} == {
        ("open.mp4", "dubbed", 1.0, 0.2),
        ("dub.mp4", "dubbed", 1.0, 0.2),
    }
    assert Counter(row["path"] for row in _table(result, "clips")) == {"sure.mp4": 2, "open.mp4": 1}, "cy is nobody's"
    assert sorted(row["num_clips"] for row in _table(result, "identities")) == [1, 2]


def test_the_report_adds_up_and_needs_nothing_else(result):
    numbers = json.loads((result.folder / "report.json").read_text())
    assert numbers["input"] == {"videos": 7, "kept": 3, "rejected": 3, "failed": 1, "other_files": {".txt": 1}}
    assert numbers["funnel"][-1]["clips"] == result.num_clips
    clips = [step["clips"] for step in numbers["funnel"][1:]]
    assert clips == sorted(clips, reverse=True)
    (luma,) = [item for item in numbers["histograms"] if item["measurement"] == "luma"]
    assert sum(luma["kept"]) == result.num_clips and len(luma["thresholds"]) == 2
    (face, voice) = numbers["calibration"]
    assert face["num_different"] == voice["num_different"] == 1, "Ada and Ben share a clip"
    assert face["threshold"] < face["used"] == face["advised"] and face["true_match_rate"] == 1.0
    page = result.report.read_text()
    assert "other_voice" in page and "Curation report" in page
    assert f"The dataset has {result.num_clips} clips" in page
    for row in numbers["reasons"]:
        assert f"<td>{escape(meaning_of_reason(row['reason']))}</td>" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page), "the page must not load anything"
    assert page.count("data:image/jpeg") >= 3 and "data:audio/flac" in page


def test_every_gate_has_words_for_its_reason_and_measurement():
    assert {gate.reason for gate in GATES} <= set(REASONS)
    assert all(meaning_of_measurement(gate.measurement)[0] for gate in GATES)
    assert meaning_of_reason("ZeroDivisionError") == "an error while it was measured"


def test_nothing_kept_is_a_result_too(tmp_path):
    empty = curate_toys(tmp_path, {"a": "nobody", "b": ""})
    assert (empty.num_kept, empty.num_rejected, empty.num_failed, empty.num_identities) == (0, 1, 1, 0)
    assert _table(empty, "clips") == []


@pytest.mark.parametrize("texts", [None, {}])
def test_an_input_without_videos_is_refused(tmp_path, texts):
    if texts is not None:
        write_sources(tmp_path / "in")
    with pytest.raises((NotADirectoryError, ValueError), match="`input`"):
        find_sources(tmp_path / "in")


def test_the_output_may_lie_inside_of_the_input(tmp_path):
    write_sources(tmp_path, a="ada")
    write_sources(tmp_path / "out" / "media", b="ben")
    assert [source.path for source in find_sources(tmp_path, leave_out=tmp_path / "out").sources] == ["a.mp4"]


def test_linked_folders_are_looked_into_once(tmp_path):
    for path in ("in/real/a.mp4", "elsewhere/b.mp4", "in/out/media/c.mp4"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    for name, target in (
        ("again", "in/real"),
        ("other", "elsewhere"),
        ("real/up", "in"),
        ("real/top", ""),
        ("result", "in/out"),
        ("results", "in/out/media"),
    ):
        (tmp_path / "in" / name).symlink_to(tmp_path / target)
    found = find_sources(tmp_path / "in", leave_out=tmp_path / "in" / "out")
    assert [source.path for source in found.sources] == ["again/a.mp4", "other/b.mp4"]
    assert found.rejects == ()


def test_a_folder_that_cannot_be_read_has_failed(tmp_path, monkeypatch):
    write_sources(tmp_path, a="ada")
    (tmp_path / "closed" / "inner").mkdir(parents=True)
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "inner":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = find_sources(tmp_path)
    (reject,) = found.rejects
    assert (reject.record_id, reject.kind, reject.detail) == ("closed/inner", "failed", "Permission denied")
    assert (found.num_files, len(found.sources)) == (2, 1)
