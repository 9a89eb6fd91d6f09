"""A run over a folder: results as files, resuming, equal numbers."""

import json

import pytest

from iap_pipelines.evaluation import run
from iap_pipelines.evaluation.references import read_references
from iap_pipelines.evaluation.report.document import Document
from iap_pipelines.evaluation.report.files import RESULT_FILES, write_results
from iap_pipelines.evaluation.settings import EvaluationSettings
from tests.evaluation.toys import ADA, BEN, toy_models, write_clip, write_references


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    videos = folder / "videos"
    videos.mkdir()
    for name, person in (("ada", ADA), ("ben", BEN)):
        write_references(folder, name, person)
        write_clip(videos / f"{name}.mp4", [person], [(0, 2, 0)], seed=3)
    (videos / "broken.mp4").write_bytes(b"no film")
    (folder / "references.csv").write_text(
        "video,subject,face,voice,text,label_system\n"
        "ada.mp4,ada,ada.png;videos/ada.mp4,ada_voice.mp4,low,ours\n"
        "ben.mp4,ben,ben.png,ben_voice.mp4,low,theirs\n"
        "broken.mp4,ada,ada.png,ada_voice.mp4,,theirs\n"
    )
    return folder


def _run(folder, output, models=None, seen=None):
    clips = read_references(folder / "references.csv", folder / "videos")
    report = None if seen is None else lambda step, done, total: seen.append((step, done, total))
    settings = EvaluationSettings(min_face_similarity=0.5, min_voice_similarity={1.0: 0.5})
    document = run.evaluate_clips(clips, output, models or toy_models(), settings, title="toys", report=report)
    write_results(document, clips, output)
    return document


@pytest.fixture(scope="module")
def finished(folder):
    seen = []
    return _run(folder, folder / "out", seen=seen), seen


def _summary(document, metric):
    return next(summary for summary in document.summaries if summary.metric == metric)


def test_means_and_progress(finished):
    document, seen = finished
    assert seen == [("score", 1, 3), ("score", 2, 3), ("score", 3, 3)]
    face = _summary(document, "face_similarity")
    assert (face.num_clips, face.num_missing) == (2, 1)
    errors = _summary(document, "word_error_rate")
    assert errors.low < errors.value == 0.5 < errors.high
    assert "not chosen" in _summary(document, "fvd").reason or "no model" in _summary(document, "fvd").reason


def test_a_broken_clip_takes_nothing_down(finished):
    broken = finished[0].results[2]
    assert broken.scores == ()
    assert "not a sound or video" in broken.error


def test_groups(finished):
    groups = finished[0].groups
    assert set(groups) == {"system: ours", "system: theirs"}
    assert next(s for s in groups["system: ours"] if s.metric == "word_error_rate").value == 0


def test_two_runs_give_the_same_bytes(folder, finished, tmp_path):
    _run(folder, tmp_path)
    for name in ("results.json", "results.md"):
        assert (tmp_path / name).read_bytes() == (folder / "out" / name).read_bytes()


def test_an_interrupted_run_goes_on(folder, finished, tmp_path, monkeypatch):
    scored = []
    original = run._score

    def stop_after_one(clip, *rest):
        if scored:
            raise KeyboardInterrupt
        scored.append(clip.clip_id)
        return original(clip, *rest)

    monkeypatch.setattr(run, "_score", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        _run(folder, tmp_path)
    monkeypatch.setattr(run, "_score", lambda clip, *rest: (scored.append(clip.clip_id), original(clip, *rest))[1])
    _run(folder, tmp_path)
    assert scored == ["ada.mp4", "ben.mp4", "broken.mp4"]
    assert (tmp_path / "results.json").read_bytes() == (folder / "out" / "results.json").read_bytes()


def test_another_model_scores_again(folder, finished, tmp_path, monkeypatch):
    _run(folder, tmp_path)
    document = _run(folder, tmp_path, toy_models(lip_sync="gone"))
    assert _summary(document, "lip_sync_offset").value is None
    assert document.models["lip_sync"] is None


def test_the_document_reads_back(folder, finished):
    path = folder / "out" / "results.json"
    assert Document.read(path).to_json() == path.read_text(encoding="utf-8")
    assert json.loads(path.read_text())["models"]["face_embedder"] == "toy (1)"


def test_the_page_plays_what_is_there(folder, finished):
    page = (folder / "out" / "index.html").read_text(encoding="utf-8")
    for link in ("../videos/ada.mp4", "../ada.png", "../ada_voice.mp4"):
        assert f"src='{link}'" in page
        assert (folder / "out" / link).is_file()
    assert "not a sound or video" in page
    assert "<img src='../ada.png'" in page
    assert "<video muted preload=metadata src='../videos/ada.mp4' title='face of ada'" in page, "a video as a face"


def test_the_table_says_why_a_number_is_missing(folder, finished):
    table = (folder / "out" / "results.md").read_text(encoding="utf-8")
    assert "| FVD ↓ | null |" in table
    assert "Unreadable clips" in table
    assert set(RESULT_FILES) <= {path.name for path in (folder / "out").iterdir()}
