"""The page without a browser: its fields, what they become, and how it may be called."""

import runpy

import pytest
from PIL import Image

from iap_pipelines.assets import DEMO_PROMPT, EMBEDDED_CHECKPOINT
from iap_pipelines.types import StructuredCaption


gr = pytest.importorskip("gradio", reason="needs gradio: pip install 'iap-pipelines[app]'")

from iap_pipelines.app.form import pipeline_defaults  # noqa: E402
from iap_pipelines.app.layout import FormFields  # noqa: E402
from iap_pipelines.app.limits import AppLimits  # noqa: E402
from iap_pipelines.app.page import _check_voice, _show_faces, build_page  # noqa: E402
from tests.app.people import write_voice  # noqa: E402


@pytest.fixture(scope="module")
def fields(model):
    with gr.Blocks():
        return FormFields.build(model.pipe, AppLimits(max_clip_seconds=1, max_steps=8))


def values(fields, changes=()):
    """What a browser sends when only these fields were touched."""
    changes = dict(changes)
    return [changes.get(field, field.value) for field in fields.inputs]


def test_it_opens_with_the_example(fields):
    form = fields.read(values(fields))
    assert form.caption() == StructuredCaption.parse(DEMO_PROMPT)
    assert [person.describe(number).position for number, person in enumerate(form.people, 1)] == ["left", "right"]
    assert fields.read(values(fields)[: len(fields.caption_inputs)]).caption() == form.caption()


def test_fewer_people_leave_theirs_out(fields):
    form = fields.read(values(fields, {fields.num_people: 0}))
    assert form.people == () and form.subjects() == []


def test_every_guidance_knob_arrives(fields):
    sliders = {name: field for name, field in fields.knobs.options.items() if name.endswith("guidance_scale")}
    sliders["guidance_scale"] = fields.knobs.options["guidance_scale"]
    known = {name for name in pipeline_defaults() if name.endswith("guidance_scale")}
    assert (
        set(sliders)
        == known
        == {
            "guidance_scale",
            "audio_guidance_scale",
            "face_guidance_scale",
            "voice_guidance_scale",
        }
    )
    for name, slider in sliders.items():
        form = fields.read(values(fields, {slider: 2.5}))
        assert form.arguments()[name] == 2.5
    second = fields.people[1]
    form = fields.read(values(fields, {second.face_scale: 0.5, second.voice_scale: 3.0}))
    assert [(person.face_scale, person.voice_scale) for person in form.people] == [(1, 1), (0.5, 3.0)]


def test_the_fields_stay_within_the_limits(fields):
    assert fields.knobs.options["num_inference_steps"].maximum == 8
    assert fields.knobs.options["num_frames"].maximum == 9  # of 12.5 in a second, one more than a multiple of 4


def test_a_bad_picture_is_told_when_it_is_uploaded(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    pictures, message = _show_faces([str(tmp_path / "broken.png")], AppLimits())
    assert pictures == [] and message.startswith("Error: broken.png: it is no picture")
    assert str(tmp_path) not in message
    assert _show_faces(None, AppLimits()) == ([], "")


def test_the_gallery_shows_small_pictures_and_no_more_than_are_allowed(tmp_path):
    Image.new("RGB", (1000, 2000)).save(tmp_path / "large.png")
    paths = [str(tmp_path / "large.png")] * 2
    pictures, message = _show_faces(paths, AppLimits(max_pictures=2))
    assert [picture.size for picture in pictures] == [(180, 360)] * 2 and message == ""
    pictures, message = _show_faces(paths, AppLimits(max_pictures=1))
    assert pictures == [] and message == "Error: The limit of pictures of one face is 1, but got 2."
    pictures, message = _show_faces(paths, AppLimits(max_picture_megapixels=1))
    assert pictures == [] and message == "Error: large.png: it has 1000x2000 pixels, the limit is 1000000 pixels."


def test_a_bad_recording_is_told_when_it_is_uploaded(tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"not a sound")
    message = _check_voice(str(tmp_path / "broken.wav"), AppLimits())
    assert message.startswith("Error: broken.wav: ") and str(tmp_path) not in message
    voice = str(write_voice(tmp_path / "voice.wav", 1))
    assert _check_voice(voice, AppLimits()) == _check_voice(None, AppLimits()) == ""
    assert "voice.wav: it is longer than 0.3 s" in _check_voice(voice, AppLimits(max_voice_seconds=0.3))


def test_nothing_can_be_called_from_outside(model):
    """The page sends nothing to anybody, and offers no interface to programs."""
    page = build_page(model)
    assert page.analytics_enabled is False
    assert {function.api_visibility for function in page.fns.values()} == {"private"}


def test_the_space_builds_the_same_page(repository):
    assert (EMBEDDED_CHECKPOINT / "model_index.json").is_file()
    demo = runpy.run_path(str(repository / "space" / "app.py"))["demo"]
    assert isinstance(demo, gr.Blocks) and demo.title == "iap-pipelines"
