"""A person at the page: a real Chromium, the embedded checkpoint, a clip that plays, an error that is understood."""

import json
import urllib.error
import urllib.request

import pytest


pytest.importorskip("gradio", reason="needs gradio: pip install 'iap-pipelines[app]'")
pytest.importorskip("selenium", reason="needs selenium: pip install selenium")

from iap_pipelines.media import read_video  # noqa: E402
from iap_pipelines.provenance import read_provenance  # noqa: E402
from tests.app.browser import BROWSER, DRIVER, Page, chromium, served_page  # noqa: E402


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs apt-get install chromium chromium-driver"),
]


@pytest.fixture(scope="module")
def address():
    with served_page("--max-upload-megabytes", "1") as address:
        yield address


@pytest.fixture(scope="module")
def driver():
    with chromium() as driver:
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

    code = page.one("#code .cm-content").text
    assert "IAPPipeline.from_pretrained(EMBEDDED_CHECKPOINT)" in code and "green room" in code
    assert page.find("#glimpse img")


def test_a_bad_file_is_told(page, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture")
    page.choose("people", "3")
    page.upload("face-3", broken)
    page.wait(lambda: page.value("status").startswith("Error: broken.png: it is no picture"))
    assert str(tmp_path) not in page.value("status")


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
