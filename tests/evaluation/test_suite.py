"""`iap evaluate` and `iap benchmark` as a user calls them, with a tiny generator and no models that score."""

import json
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from iap_pipelines.assets import find_benchmark
from iap_pipelines.cli import main
from iap_pipelines.evaluation.benchmark.generate import resolve_model
from iap_pipelines.evaluation.benchmark.schema import BenchmarkFolder
from iap_pipelines.evaluation.loading import ROLES, load_models
from iap_pipelines.evaluation.settings import EvaluationSettings
from iap_pipelines.media import read_video
from tests.evaluation.toys import ADA, write_clip
from tests.pipelines.tiny_components import tiny_pipeline


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    """Settings without any model."""
    path = tmp_path_factory.mktemp("settings") / "nothing.yaml"
    path.write_text(yaml.safe_dump(dict.fromkeys(ROLES)))
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(folder / "ada.png")
    subjects = [{"identity": "ada", "faces": ["ada.png"]}]
    items = [
        {"id": name, "prompt": prompt, "seed": seed, "pairing": "cross_pair", "subjects": subjects}
        for seed, (name, prompt) in enumerate(
            {"one": 'Scene: room. <S1>: left, woman. <S1> says: "red".', "refused": "A room without anybody."}.items()
        )
    ]
    content = {
        "format": "iap-benchmark-1",
        "name": "tiny-set",
        "version": "2",
        "description": "two prompts",
        "licence": "CC0",
        "dataset_id": "org/tiny-set",
        "items": items,
    }
    (folder / "benchmark.yaml").write_text(yaml.safe_dump(content))
    return folder


def _evaluate(benchmark, checkpoint, nothing, output):
    options = ["--benchmark", str(benchmark), "--model", str(checkpoint), "--settings", str(nothing)]
    return main(["evaluate", *options, "--output", str(output), "--steps", "2", "--device", "cpu"])


@pytest.fixture(scope="module")
def finished(benchmark, checkpoint, nothing, tmp_path_factory):
    output = tmp_path_factory.mktemp("finished")
    assert _evaluate(benchmark, checkpoint, nothing, output) == 0
    return output


def test_a_benchmark_is_generated_and_scored(finished, checkpoint):
    results = json.loads((finished / "results.json").read_text())
    assert [(clip["clip_id"], bool(clip["error"])) for clip in results["clips"]] == [("one", False), ("refused", True)]
    assert "the model refused" in results["clips"][1]["error"]
    assert results["generated"]["model_revision"] == resolve_model(str(checkpoint)).revision
    assert results["generated"]["benchmark_version"] == "2"
    assert {metric["value"] for metric in results["metrics"]} == {None}
    assert all(metric["reason"] for metric in results["metrics"])


def test_every_file_is_written(finished):
    for name in ("results.md", "index.html", "model-index.yaml", ".eval_results/tiny-set.yaml", "generated/one.mp4"):
        assert (finished / name).is_file()
    assert "generated/one.mp4" in (finished / "index.html").read_text()


def test_a_second_run_generates_nothing_and_gives_the_same(finished, benchmark, checkpoint, nothing):
    before = {path: path.stat().st_mtime_ns for path in (finished / "generated").iterdir()}
    results = (finished / "results.json").read_bytes()
    assert _evaluate(benchmark, checkpoint, nothing, finished) == 0
    assert {path: path.stat().st_mtime_ns for path in (finished / "generated").iterdir()} == before
    assert (finished / "results.json").read_bytes() == results


def test_clips_are_made_again_when_their_references_change_and_not_when_the_scoring_does(
    finished, benchmark, checkpoint, nothing, tmp_path
):
    output, folder = shutil.copytree(finished, tmp_path / "again"), shutil.copytree(benchmark, tmp_path / "benchmark")
    clip = output / "generated/one.mp4"
    before = clip.stat().st_mtime_ns
    content = yaml.safe_load((folder / "benchmark.yaml").read_text())
    (folder / "benchmark.yaml").write_text(yaml.safe_dump(content | {"description": "prompts"}))
    assert _evaluate(folder, checkpoint, nothing, output) == 0
    assert clip.stat().st_mtime_ns == before
    revision = json.loads((output / "results.json").read_text())["generated"]["benchmark_revision"]
    assert revision == BenchmarkFolder(folder).revision != BenchmarkFolder(benchmark).revision
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(folder / "ada.png")
    assert _evaluate(folder, checkpoint, nothing, output) == 0
    assert clip.stat().st_mtime_ns > before


def test_a_lost_clip_is_made_again_bit_for_bit(finished, benchmark, checkpoint, nothing, tmp_path):
    """But for its signature, which is another one each time."""
    output = shutil.copytree(finished, tmp_path / "again")
    clip = output / "generated/one.mp4"
    clip.unlink()
    assert _evaluate(benchmark, checkpoint, nothing, output) == 0
    (video, audio), (first_video, first_audio) = read_video(clip), read_video(finished / "generated/one.mp4")
    assert video.frames.equal(first_video.frames)
    assert audio.samples.equal(first_audio.samples)
    assert (output / "results.json").read_bytes() == (finished / "results.json").read_bytes()


def test_a_folder_of_clips(tmp_path, nothing, capsys):
    (tmp_path / "videos").mkdir()
    write_clip(tmp_path / "videos/a.mp4", [ADA], [(0, 0.5, 0)])
    (tmp_path / "videos/b.mp4").write_bytes(b"")
    (tmp_path / "references.csv").write_text("video,text\na.mp4,red\n")
    options = ["--videos", str(tmp_path / "videos"), "--references", str(tmp_path / "references.csv")]
    assert main(["evaluate", *options, "--settings", str(nothing), "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert "| WER ↓ (share) | null |" in printed.out
    assert "index.html" in printed.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--videos", "x"], "`--videos` needs `--references`"),
        (["--benchmark", "nowhere"], "one of drawn-world"),
        (["--benchmark", "drawn-world", "--steps", "0"], "`--steps` must be at least 1, but got 0"),
        (["--videos", "x", "--references", "y.csv", "--steps", "0"], "`--steps` has no effect with `--videos`"),
        (["--videos", "x", "--references", "y.csv", "--device", "cuda"], "`--device` has no effect with `--videos`"),
        (["--videos", "x", "--references", "y.csv"], "y.csv"),
        (["--videos", "x", "--references", "y.csv", "--settings", "z.yaml"], "`settings`"),
    ],
)
def test_what_cannot_work_is_one_line(options, message, capsys):
    assert main(["evaluate", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("{folder}", "must be the folder of a pipeline"),
        ("{folder}/none", "must be a folder or a repository on the Hub"),
    ],
)
def test_a_model_that_is_none_is_named(model, message, nothing, tmp_path, capsys):
    """And nothing is written."""
    options = ["--model", model.format(folder=tmp_path), "--settings", str(nothing), "--output", str(tmp_path / "out")]
    assert main(["evaluate", "--benchmark", "drawn-world", *options]) == 2
    error = capsys.readouterr().err
    assert f"`model` {message}" in error and str(tmp_path) in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_settings_are_strict(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("face_finder: yuface\n")
    with pytest.raises(ValueError, match="face_finder"):
        EvaluationSettings.load(path)
    nothing = dict.fromkeys(ROLES)
    with pytest.raises(ValueError, match="`speech_quality` must be one of dnsmos"):
        load_models(EvaluationSettings(**nothing | {"speech_quality": "pesq"}))
    with pytest.raises(ValueError, match="`face_detector`"):
        load_models(EvaluationSettings(**nothing | {"face_detector": "glance"}))
    with pytest.raises(ValueError, match="`picture_text`: transformers takes model, revision"):
        load_models(EvaluationSettings(**nothing | {"picture_text": {"model": "a/b", "size": 3}}))


def test_missing_weights_are_a_reason(tmp_path):
    choice = {"type": "arcface", "path": str(tmp_path / "none.onnx")}
    models = load_models(EvaluationSettings(**dict.fromkeys(ROLES) | {"second_face_embedder": choice}))
    assert "none.onnx" in models.missing["second_face_embedder"]
    assert "no model is chosen" in models.missing["face_embedder"]


def test_the_embedded_benchmark_is_whole():
    folder = BenchmarkFolder(find_benchmark("drawn-world"))
    labels = [folder.reference(item, item.id).labels for item in folder.benchmark.items]
    assert {label["condition"] for label in labels} == {"face_and_voice", "face_only", "voice_only"}
    assert {label["people"] for label in labels} == {"single", "multi"}
    assert {label["pairing"] for label in labels} == {"in_pair", "cross_pair"}
    assert all(all(item.lines()) for item in folder.benchmark.items)
    size = sum(path.stat().st_size for path in folder.folder.rglob("*") if path.is_file())
    assert size < 2_000_000
