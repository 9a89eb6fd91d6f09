"""One clip as the page makes it, and the code that the page shows."""

import shutil

import pytest

from iap_pipelines.app.form import GenerationForm, PersonForm
from iap_pipelines.app.generation import NUM_GLIMPSES, Clip, generate_clip
from iap_pipelines.app.limits import AppLimits
from iap_pipelines.media import read_video
from iap_pipelines.provenance import read_provenance
from tests.app.people import two_people


LIMITS = AppLimits(max_clip_seconds=1, max_steps=20)


def test_the_code_makes_the_same_clip(model, tmp_path, monkeypatch):
    form = two_people(tmp_path / "uploads", face_guidance_scale=1.5)
    path = tmp_path / "page.mp4"
    assert list(generate_clip(model.pipe, form, path, limits=LIMITS))[-1] == Clip(path)

    (tmp_path / "reader").mkdir()
    for source, name in form.file_names().items():
        shutil.copyfile(source, tmp_path / "reader" / name)
    monkeypatch.chdir(tmp_path / "reader")
    exec(compile(form.code(model.load_code, model.import_code), "code of the page", "exec"), {})

    (video, audio), (same_video, same_audio) = read_video(path), read_video("clip.mp4")
    assert video.frames.equal(same_video.frames) and audio.samples.equal(same_audio.samples)
    reports = read_provenance(path), read_provenance("clip.mp4")
    assert reports[0] == reports[1] and len(reports[0].provenance.references) == 4


def test_glimpses_come_on_the_way(model, tmp_path):
    form = two_people(tmp_path, num_inference_steps=12)
    *glimpses, clip = generate_clip(model.pipe, form, tmp_path / "clip.mp4", limits=LIMITS)
    assert [glimpse.step for glimpse in glimpses] == list(range(1, 13))
    pictures = [glimpse.picture for glimpse in glimpses if glimpse.picture is not None]
    assert 1 < len(pictures) <= NUM_GLIMPSES
    video, _ = read_video(clip.path)
    assert all(picture.shape == (video.height, video.width, 3) for picture in pictures)
    # What is expected of the first frame ends up near what it becomes (the file is lossy).
    first = video.frames[0].float()
    errors = [(first - first.new_tensor(picture.tolist())).abs().mean().item() for picture in pictures]
    assert errors[-1] == min(errors)


def test_whoever_leaves_ends_the_generation(model, tmp_path):
    form = two_people(tmp_path, num_inference_steps=20)
    messages = generate_clip(model.pipe, form, tmp_path / "clip.mp4", limits=LIMITS)
    next(messages)
    messages.close()
    assert model.pipe.interrupt
    assert not (tmp_path / "clip.mp4").exists()
    # The next visitor is served.
    assert list(generate_clip(model.pipe, two_people(tmp_path), tmp_path / "clip.mp4", limits=LIMITS))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"num_frames": 21}, "at most 1 s"),
        ({"num_inference_steps": 21}, r"1\.\.20"),
        ({"num_frames": 6}, "num_frames"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
    ],
)
def test_what_may_not_be_asked_for_is_said(model, tmp_path, options, reason):
    with pytest.raises(ValueError, match=reason):
        list(generate_clip(model.pipe, two_people(tmp_path, **options), tmp_path / "clip.mp4", limits=LIMITS))


def test_a_bad_file_is_named(model, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture")
    form = GenerationForm(people=(PersonForm("woman", faces=(str(broken),)),), scene="room")
    with pytest.raises(ValueError, match=r"broken\.png"):
        list(generate_clip(model.pipe, form, tmp_path / "clip.mp4", limits=LIMITS))


@pytest.mark.parametrize("name", ["max_clip_seconds", "max_steps", "max_upload_megabytes", "max_waiting"])
def test_limits_are_positive(name):
    with pytest.raises(ValueError, match=name):
        AppLimits(**{name: 0})
