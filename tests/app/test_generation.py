"""One clip as the page makes it, and the code that the page shows."""

import shutil
from dataclasses import fields, replace

import pytest
import torch

from iap_pipelines.app.form import GenerationForm, PersonForm
from iap_pipelines.app.generation import NUM_GLIMPSES, Clip, generate_clip
from iap_pipelines.app.limits import AppLimits
from iap_pipelines.app.model import AppModel
from iap_pipelines.media import read_video
from iap_pipelines.provenance import read_provenance
from tests.app.people import two_people
from tests.pipelines.tiny_components import tiny_pipeline


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


def test_the_code_loads_the_same_precision(tmp_path):
    """Also of a checkpoint that is stored with half the digits, as the embedded one is."""
    tiny_pipeline().to(torch.float16).save_pretrained(tmp_path)
    model = AppModel.load(str(tmp_path))
    same = eval(model.load_code, {"IAPPipeline": type(model.pipe), "torch": torch})
    for name, part in model.pipe.components.items():
        if isinstance(part, torch.nn.Module):
            assert same.components[name].dtype == part.dtype == torch.float32, name


def latents(pipe, form):
    generator = torch.Generator().manual_seed(form.seed)
    output = pipe(form.caption(), form.subjects(), generator=generator, output_type="latent", **form.arguments())
    return output.frames, output.audio


def test_every_slider_changes_what_its_label_says(model, tmp_path):
    """At the values that the page offers, one slider at a time."""
    sliders = {
        "picture": ("guidance_scale", "face_guidance_scale"),
        "sound": ("audio_guidance_scale", "voice_guidance_scale"),
    }
    neutral = {name: 1.0 for names in sliders.values() for name in names}
    form = two_people(tmp_path, **neutral)
    picture, sound = latents(model.pipe, form)
    for tower, names in sliders.items():
        for name in names:
            changed = latents(model.pipe, two_people(tmp_path, **neutral | {name: 2.5}))
            mine, before = (changed[0], picture) if tower == "picture" else (changed[1], sound)
            assert not torch.equal(mine, before), name
    for scale, index in (("face_scale", 0), ("voice_scale", 1)):
        loud = replace(form.people[0], **{scale: 3.0})
        changed = latents(model.pipe, replace(form, people=(loud, form.people[1])))
        assert not torch.equal(changed[index], (picture, sound)[index]), scale
    for options in ({"num_inference_steps": 3}, {"num_frames": 9}):
        changed = latents(model.pipe, two_people(tmp_path, **neutral | options))
        assert changed[0].shape != picture.shape or not torch.equal(changed[0], picture), options
    assert not torch.equal(latents(model.pipe, replace(form, seed=4))[0], picture)


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


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        ({"max_pictures": 1}, "pictures of one face is 1, but got 2"),
        ({"max_picture_megapixels": 0.001}, r"front\.png': it has 50x40 pixels, the limit is 1000 pixels"),
        ({"max_voice_seconds": 0.3}, r"audio\.wav': it is longer than 0.3 s"),
    ],
)
def test_more_than_is_allowed_of_a_person_is_refused(model, tmp_path, bounds, reason):
    with pytest.raises(ValueError, match=reason):
        next(generate_clip(model.pipe, two_people(tmp_path), tmp_path / "clip.mp4", limits=AppLimits(**bounds)))


@pytest.mark.parametrize("name", [bound.name for bound in fields(AppLimits)])
def test_limits_are_positive(name):
    with pytest.raises(ValueError, match=name):
        AppLimits(**{name: 0})
