"""`iap evaluate` as a stranger calls it: the embedded checkpoint, clips from elsewhere, the page in a browser."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from iap_pipelines.assets import EMBEDDED_CHECKPOINT, find_benchmark
from iap_pipelines.cli import main


pytestmark = pytest.mark.slow

NUM_ITEMS = 3
PATIENCE_SECONDS = 300


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """The first and the last items of the embedded benchmark."""
    folder = tmp_path_factory.mktemp("benchmark") / "few"
    shutil.copytree(find_benchmark("drawn-world"), folder)
    content = yaml.safe_load((folder / "benchmark.yaml").read_text(encoding="utf-8"))
    content["items"] = [*content["items"][: NUM_ITEMS - 1], content["items"][-1]]
    (folder / "benchmark.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def options_of(benchmark: Path, output: Path) -> list[str]:
    chosen = ["--benchmark", str(benchmark), "--model", str(EMBEDDED_CHECKPOINT), "--output", str(output)]
    return ["evaluate", *chosen, "--steps", "4", "--device", "cpu"]


@pytest.fixture(scope="module")
def finished(benchmark, tmp_path_factory):
    output = tmp_path_factory.mktemp("finished")
    assert main(options_of(benchmark, output)) == 0
    return output


def test_two_runs_give_equal_numbers(benchmark, finished, tmp_path):
    """In two processes: nothing of the first run is left in memory."""
    command = [sys.executable, "-m", "iap_pipelines.cli", *options_of(benchmark, tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    for name in ("results.json", "results.md", "model-index.yaml"):
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()
    values = {
        metric["metric"]: metric["value"] for metric in json.loads((finished / "results.json").read_text())["metrics"]
    }
    assert all(
        values[name] is not None for name in ("face_similarity", "voice_similarity", "word_error_rate", "binding")
    )


@pytest.mark.parametrize("folder", ["generated", "scores"])
def test_a_run_that_was_killed_goes_on(benchmark, finished, tmp_path, folder):
    """While it generates, and while it scores."""
    command = [sys.executable, "-m", "iap_pipelines.cli", *options_of(benchmark, tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (done := sorted((tmp_path / folder).glob("*.json"))):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert not (tmp_path / "results.json").exists()
    before = {path: path.stat().st_mtime_ns for path in done}
    assert main(options_of(benchmark, tmp_path)) == 0
    assert {path: path.stat().st_mtime_ns for path in done} == before
    assert (tmp_path / "results.json").read_bytes() == (finished / "results.json").read_bytes()


def test_the_page_plays_every_clip_and_reference(finished):
    pytest.importorskip("selenium", reason="needs selenium: pip install selenium")
    from tests.app.browser import BROWSER, DRIVER, chromium

    if not (BROWSER and DRIVER):
        pytest.skip("needs apt-get install chromium chromium-driver")
    with chromium() as driver:
        driver.set_script_timeout(PATIENCE_SECONDS)
        driver.get((finished / "index.html").as_uri())
        played = driver.execute_async_script(PLAY_EVERYTHING)
        pictures = driver.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(played["VIDEO"]) == NUM_ITEMS and len(played["AUDIO"]) >= NUM_ITEMS and pictures
    assert [problem for problems in played.values() for problem in problems if problem] == []
    assert all(width > 0 for width in pictures)


PLAY_EVERYTHING = """
const finish = arguments[0], found = {VIDEO: [], AUDIO: []};
const play = element => new Promise(resolve => {
    element.muted = true;
    element.ontimeupdate = () => element.currentTime > 0 && resolve("");
    element.onerror = () => resolve(element.src + ": " + element.error.message);
    element.play().catch(error => resolve(element.src + ": " + error));
}).then(problem => { element.pause(); found[element.tagName].push(problem) });
Promise.all([...document.querySelectorAll("video, audio")].map(play)).then(() => finish(found));
"""
"""Says for every element what kept it from playing, or nothing."""


def test_clips_from_elsewhere(shared, tmp_path, capsys):
    """Another system's clips, in their own formats; a broken one and one of somebody else are among them."""
    media, videos = shared / "media", tmp_path / "videos"
    if not media.is_dir():
        pytest.skip(f"needs {media}")
    videos.mkdir()
    for source, name in (
        ("video/a_calm.mp4", "own.mp4"),
        ("video/e.mp4", "other.mp4"),
        ("bad/corrupt_middle.mp4", "broken.mp4"),
    ):
        os.symlink((media / source).resolve(), videos / name)
    references = f"{(media / 'image/a_ref.jpg').resolve()},{(media / 'video/a_happy.mov').resolve()}"
    rows = [f"{name}.mp4,{references}" for name in ("own", "other", "broken")]
    (tmp_path / "references.csv").write_text("\n".join(["video,face,voice", *rows]) + "\n", encoding="utf-8")
    options = ["--videos", str(videos), "--references", str(tmp_path / "references.csv")]
    assert main(["evaluate", *options, "--output", str(tmp_path / "out")]) == 0
    own, other, broken = json.loads((tmp_path / "out/results.json").read_text())["clips"]
    assert broken["error"] and not own["error"]
    for metric in ("face_similarity", "voice_similarity", "binding"):
        value, strange = (_score(clip, metric) for clip in (own, other))
        assert value > 0.5 > strange, metric
    assert "index.html" in capsys.readouterr().out


def _score(clip: dict, metric: str) -> float:
    """0 where it could not be measured, as binding where nobody was recognised."""
    return max((score["value"] or 0.0 for score in clip["scores"] if score["metric"] == metric), default=0.0)
