"""A person at the page: a real Chromium, the embedded checkpoint, a clip that plays, an error that is understood."""

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
import wave

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps


pytest.importorskip("gradio", reason="needs gradio: pip install 'iap-pipelines[app]'")
pytest.importorskip("selenium", reason="needs selenium: pip install selenium")

from iap_pipelines.assets import example_subjects  # noqa: E402
from iap_pipelines.media import read_audio, read_video  # noqa: E402
from iap_pipelines.provenance import read_provenance  # noqa: E402
from iap_pipelines.types import AudioSamples  # noqa: E402
from tests.app.browser import BROWSER, DRIVER, Page, chromium, served_page  # noqa: E402


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs apt-get install chromium chromium-driver"),
]


@pytest.fixture(scope="module")
def address():
    with served_page("--max-upload-megabytes", "1", "--max-waiting", "1") as address:
        yield address


@pytest.fixture(scope="module")
def speech():
    """What is said into the microphone."""
    ada, _ = example_subjects()
    return read_audio(ada.voice)


@pytest.fixture(scope="module")
def driver(speech, tmp_path_factory):
    microphone = tmp_path_factory.mktemp("microphone") / "speech.wav"
    with wave.open(str(microphone), "wb") as file:
        file.setparams((1, 2, int(speech.sampling_rate), 0, "NONE", ""))
        file.writeframes((speech.to_mono().samples[0] * 32767).to(torch.int16).numpy().tobytes())
    with chromium(microphone=microphone) as driver:
        yield driver


@pytest.fixture
def page(driver, address):
    return Page(driver, address)


def test_fill_in_generate_play(page, driver, tmp_path):
    page.write("scene", "green room")
    page.write("words-1", "red apple")
    page.wait(lambda: "Scene: green room." in page.value("caption"))
    page.write("steps", "2")
    page.write("frames", "9")
    page.generate()

    # It plays: the browser decodes it, and time passes.
    video = page.one("#clip video")
    driver.execute_script("arguments[0].muted = true; arguments[0].play()", video)
    page.wait(lambda: driver.execute_script("return arguments[0].currentTime", video) > 0)
    assert driver.execute_script("return arguments[0].error", video) is None
    assert driver.execute_script("return [arguments[0].videoWidth, arguments[0].videoHeight]", video) == [128, 96]

    # What is offered is the signed file, byte for byte.
    clip = tmp_path / "clip.mp4"
    urllib.request.urlretrieve(video.get_property("currentSrc"), clip)
    report = read_provenance(clip)
    assert report.state == "intact" and report.provenance.model == "iap-tiny"
    assert page.value("provenance") == report.render()
    assert read_video(clip)[0].num_frames == 9

    assert page.find("#glimpse img")
    # How near everybody is to their references, as numbers.
    rows = [row.text for row in page.find("#scores tbody tr")]
    assert [re.fullmatch(r"<S(\d)> (-?\d\.\d\d|not measured) (-?\d\.\d\d|not measured)", row)[1] for row in rows] == [
        "1",
        "2",
    ]
    assert not all("not measured" in row for row in rows)


def test_the_copied_code_makes_the_clip_again(page, driver, address, tmp_path, monkeypatch):
    """From the files that the page offers beside it."""
    page.write("steps", "2")
    page.write("frames", "9")
    page.generate()
    urllib.request.urlretrieve(page.one("#clip video").get_property("currentSrc"), tmp_path / "page.mp4")
    code = page.copied_code(address)
    assert "IAPPipeline.from_pretrained(EMBEDDED_CHECKPOINT, " in code
    for link in page.download_links("code-files"):
        urllib.request.urlretrieve(link, tmp_path / urllib.parse.unquote(link.rpartition("/")[2]))
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "copied code", "exec"), {})
    (video, audio), (same_video, same_audio) = read_video("page.mp4"), read_video("clip.mp4")
    assert video.frames.equal(same_video.frames) and audio.samples.equal(same_audio.samples)
    assert read_provenance("page.mp4").provenance == read_provenance("clip.mp4").provenance


def test_a_third_person_comes_from_files(page, tmp_path):
    _, ben = example_subjects()
    ImageOps.mirror(Image.open(ben.face).convert("RGB")).save(tmp_path / "third.png")
    page.choose("people", "3")
    page.upload("face-3", tmp_path / "third.png")
    page.upload("voice-3", ben.voice)
    page.write("looks-3", "man with a hat")
    page.wait(lambda: "<S3>: man with a hat" in page.value("caption"))
    page.one("#voice-3 button[aria-label='Play']")
    page.write("steps", "1")
    page.write("frames", "9")
    page.generate()
    used = [f"<S{number}> {kind}, sha256 of the file" for number in (1, 2, 3) for kind in ("face", "voice")]
    assert [page.value("provenance").count(reference) for reference in used] == [1] * 6
    names = {link.rpartition("/")[2] for link in page.download_links("code-files")}
    assert names == {"ada.png", "ada.flac", "ben.png", "ben.flac", "third.png"}  # two of them have Ben's voice


def test_a_bad_file_is_told(page, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture")
    page.choose("people", "3")
    page.upload("face-3", broken)
    page.wait(lambda: page.value("status").startswith("Error: broken.png: it is no picture"))
    assert str(tmp_path) not in page.value("status")


def test_a_bad_recording_is_told(page, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"not a sound")
    page.choose("people", "3")
    page.upload("voice-3", tmp_path / "broken.wav")
    page.wait(lambda: page.value("status").startswith("Error: broken.wav: "))
    assert str(tmp_path) not in page.value("status")


def test_a_voice_is_spoken_into_the_microphone(page, speech, tmp_path):
    page.press("#voice-1 button[aria-label='Clear']")
    page.press("#voice-1 button[aria-label='Record audio']")
    page.press("#voice-1 button.record-button")
    time.sleep(4)
    page.press("#voice-1 button.stop-button")
    page.one("#voice-1 button[aria-label='Play']")
    page.write("steps", "1")
    page.write("frames", "9")
    page.generate()
    assert page.value("provenance").count("<S1> voice, sha256 of the file") == 1

    # What the model was given is what was said, and not by somebody else; the browser changes a voice a little.
    [voice] = [link for link in page.download_links("code-files") if link.endswith(".wav")]
    urllib.request.urlretrieve(voice, tmp_path / "spoken.wav")
    spoken = read_audio(tmp_path / "spoken.wav").to_mono().resample(speech.sampling_rate)
    other = read_audio(example_subjects()[1].voice)
    assert _agreement(spoken, speech) > 0.4 > 0.3 > _agreement(spoken, other)


def _agreement(spoken: AudioSamples, said: AudioSamples) -> float:
    """
    Correlation of each half second of a recording with where it fits best into what was said over and over; the mean,
    at most 1.
    """
    size = said.sampling_rate // 2
    endless = np.resize(said.samples[0].numpy(), said.num_samples + size - 1)
    energy = np.convolve(endless**2, np.ones(size), "valid")
    pieces = spoken.samples[0].numpy()[: spoken.num_samples // size * size].reshape(-1, size)
    return np.mean([(np.correlate(endless, p) / np.sqrt(energy * (p**2).sum() + 1e-12)).max() for p in pieces])


def test_a_picture_that_is_too_large_is_told(page, tmp_path):
    (tmp_path / "large.png").write_bytes(bytes(1_200_000))
    page.choose("people", "3")
    page.upload("face-3", tmp_path / "large.png")
    page.wait(lambda: "exceed the maximum allowed size of 1.0 Mb" in page.told())


def test_a_clip_cannot_be_longer_than_allowed(page):
    page.write("frames", "999")
    page.wait(lambda: page.value("frames") == "49")  # 4 s of 12.5 frames, one more than a multiple of 4


def test_whoever_comes_when_too_many_wait_is_told(driver, address):
    """One clip is made, one visitor waits, the third one is told to come back."""
    first = driver.current_window_handle
    windows = []
    try:
        for number in range(3):
            driver.switch_to.new_window("tab")
            windows.append(driver.current_window_handle)
            visitor = Page(driver, address)
            visitor.write("steps", "50" if number == 0 else "1")
            visitor.click("generate")
            if number == 0:
                visitor.wait(lambda page=visitor: page.value("status").startswith("Step"))
        visitor.wait(lambda: "busy" in visitor.told() or "full" in visitor.told())
        assert not visitor.value("status")
        driver.switch_to.window(windows[1])
        assert not visitor.told()
    finally:
        for window in windows:
            driver.switch_to.window(window)
            driver.close()
        driver.switch_to.window(first)


def test_a_form_that_is_not_complete_is_told(page):
    page.choose("people", "3")
    page.wait(lambda: "<S3>" in page.value("caption"))
    page.click("generate")
    page.wait(lambda: page.value("status").startswith("Error: Say what <S3> looks like"))


def test_a_file_that_is_too_large_is_refused(address):
    parts = [
        b"--boundary",
        b'Content-Disposition: form-data; name="files"; filename="large.png"',
        b"",
        bytes(1_200_000),
    ]
    headers = {"Content-Type": "multipart/form-data; boundary=boundary"}
    data = b"\r\n".join([*parts, b"--boundary--", b""])
    request = urllib.request.Request(f"{address}gradio_api/upload", data, headers)
    with pytest.raises(urllib.error.HTTPError, match="413"):
        urllib.request.urlopen(request)


def test_the_page_asks_nothing_of_other_servers(page, driver, address):
    script = "return JSON.stringify(performance.getEntriesByType('resource').map(entry => entry.name))"
    asked = json.loads(driver.execute_script(script))
    assert asked and [name for name in asked if not name.startswith((address, "data:", "blob:"))] == []
