"""Every knob moves the clip when it is moved, and does nothing at its neutral value."""

import pytest

from iap_pipelines import Subject
from tests.pipelines.tiny_people import (
    assert_close,
    assert_equal,
    assert_moved,
    difference,
    generate,
    person,
    prompt_for,
)


ADA, BEN = person(1), person(2)
OFF = {"guidance_scale": 1.0, "audio_guidance_scale": 1.0}


@pytest.fixture(scope="module")
def usual(pipe):
    return generate(pipe, subjects=[ADA, BEN])


MOVES = {
    "guidance_scale": {"guidance_scale": 6.0},
    "audio_guidance_scale": {"audio_guidance_scale": 6.0},
    "face_guidance_scale": {"face_guidance_scale": 2.0},
    "voice_guidance_scale": {"voice_guidance_scale": 2.0},
    "skip_guidance_layers": {"skip_guidance_layers": (1,)},
    "negative_prompt": {"negative_prompt": "ugly"},
    "audio_negative_prompt": {"audio_negative_prompt": "loud"},
    "sigmas": {"sigmas": [0.8]},
    "num_inference_steps": {"num_inference_steps": 2},
    "compat": {"compat": "official"},
    "prompt": {"prompt": "<S1> and <S2>"},
}
# What scales one tower's last step reaches the other tower in the step after it.
ONE_TOWER = {"guidance_scale": 0, "audio_guidance_scale": 1, "face_guidance_scale": 0, "voice_guidance_scale": 1}


@pytest.mark.parametrize("name", MOVES)
def test_knob_is_live(pipe, official_pipe, usual, name):
    if name == "compat":
        pipe, usual = official_pipe, generate(official_pipe, subjects=[ADA, BEN])
    moved = difference(usual, generate(pipe, **({"subjects": [ADA, BEN]} | MOVES[name])))
    if name in ONE_TOWER:
        assert moved[ONE_TOWER[name]] > 1e-4 and moved[1 - ONE_TOWER[name]] == 0
    else:
        assert min(moved) > 1e-4


@pytest.mark.parametrize("name", [*ONE_TOWER, "face_scale", "voice_scale"])
def test_scales_of_one_tower_reach_the_other_in_the_next_step(pipe, name):
    scaled = ADA if name in ONE_TOWER else person(1, **{name: 2.0})
    options = {name: 6.0} if name in ONE_TOWER else {}
    usual = generate(pipe, subjects=[ADA], num_inference_steps=2)
    assert_moved(usual, generate(pipe, subjects=[scaled], num_inference_steps=2, **options))


@pytest.mark.parametrize("name, tower", [("face_scale", 0), ("voice_scale", 1)])
@pytest.mark.parametrize("index", [0, 1])
def test_the_scale_of_one_subject_is_live(pipe, usual, name, tower, index):
    people = [ADA, BEN]
    people[index] = person(index + 1, **{name: 2.0})
    moved = difference(usual, generate(pipe, subjects=people))
    assert moved[tower] > 1e-4 and moved[1 - tower] == 0
    neutral = [person(1, **{name: 1.0}), person(2, **{name: 1.0})]
    assert_equal(usual, generate(pipe, subjects=neutral))


def test_subjects_have_different_effects(pipe):
    first = generate(pipe, subjects=[person(1, face_scale=2.0), BEN])
    second = generate(pipe, subjects=[ADA, person(2, face_scale=2.0)])
    assert difference(first, second).video > 1e-4


def test_with_one_subject_its_scale_is_everybodys_scale(pipe):
    one = generate(pipe, subjects=[person(1, face_scale=2.0, voice_scale=3.0)])
    assert_close(one, generate(pipe, subjects=[ADA], face_guidance_scale=2.0, voice_guidance_scale=3.0))


@pytest.mark.parametrize(
    "knob, neutral",
    [
        ("face_guidance_scale", 1.0),
        ("voice_guidance_scale", 1.0),
        ("skip_guidance_layers", ()),
        ("negative_prompt", ""),
        ("audio_negative_prompt", ""),
        ("attention_kwargs", {}),
        ("compat", "native"),
    ],
)
def test_neutral_values_do_nothing(pipe, usual, knob, neutral):
    assert_equal(usual, generate(pipe, subjects=[ADA, BEN], **{knob: neutral}))


def test_neutral_text_scales_are_the_conditional_prediction(pipe):
    plain = generate(pipe, subjects=[ADA], **OFF)
    one_tower = generate(pipe, subjects=[ADA], guidance_scale=1.0, audio_guidance_scale=2.0)
    moved = difference(plain, one_tower)
    assert moved.video == 0 and moved.audio > 1e-4


def test_scales_between_and_below_one_are_live_too(pipe):
    clips = [generate(pipe, subjects=[ADA], **(OFF | {"guidance_scale": scale})) for scale in (0.0, 0.5, 1.0)]
    assert difference(clips[0], clips[1]).video > 1e-4 and difference(clips[1], clips[2]).video > 1e-4


def test_without_text_guidance_the_caption_alone_decides(pipe):
    """A scale of 0 is the unconditional prediction: the caption has no say, the negative prompt has."""
    zero = {"guidance_scale": 0.0, "audio_guidance_scale": 0.0, "subjects": [ADA]}
    one, other = (generate(pipe, prompt, **zero) for prompt in ("<S1> runs", "<S1> sits"))
    assert_close(one, other, atol=1e-6)
    assert_moved(one, generate(pipe, "<S1> runs", negative_prompt="ugly", **zero))


def test_sound_has_the_negative_prompt_of_the_picture_unless_it_has_its_own(pipe):
    both = generate(pipe, subjects=[ADA], negative_prompt="ugly")
    assert_equal(both, generate(pipe, subjects=[ADA], negative_prompt="ugly", audio_negative_prompt="ugly"))
    assert_moved(both, generate(pipe, subjects=[ADA], negative_prompt="ugly", audio_negative_prompt=""))


def test_sigmas_are_what_the_scheduler_steps_through(pipe):
    timesteps = pipe.set_timesteps(3)
    grid = [0.9990000128746033 * (1 - k / 3) for k in range(3)]
    assert pipe.set_timesteps(sigmas=grid).tolist() == timesteps.tolist()
    usual = generate(pipe, subjects=[ADA], num_inference_steps=3)
    assert_close(usual, generate(pipe, subjects=[ADA], sigmas=grid))
    assert generate(pipe, subjects=[ADA], sigmas=[1.0, 0.4]).video.isfinite().all()


def test_frame_rate_decides_how_much_sound_there_is(pipe):
    slow, fast = (generate(pipe, subjects=[ADA], frame_rate=rate) for rate in (10.0, 25.0))
    assert (slow.audio.shape[1], fast.audio.shape[1]) == (15, 6)


def test_official_drops_voices_where_the_caption_is_dropped(official_pipe):
    """With a scale of 0 only the unconditional branch is left, and there the published model hears nobody."""
    zero = {"guidance_scale": 0.0, "audio_guidance_scale": 0.0, "compat": "official"}
    noise = dict(zip(("latents", "audio_latents"), generate(official_pipe, subjects=[ADA]), strict=True))
    silent = person(1, voice=None)
    assert_close(*(generate(official_pipe, "a", [subject], **zero, **noise) for subject in (ADA, silent)), atol=1e-5)
    zero["compat"] = "native"
    assert_moved(*(generate(official_pipe, "<S1>", [subject], **zero, **noise) for subject in (ADA, silent)))


def test_official_text_guidance_is_decided_by_the_picture(official_pipe):
    options = {"subjects": [ADA], "compat": "official", "guidance_scale": 1.0}
    assert_equal(*(generate(official_pipe, audio_guidance_scale=scale, **options) for scale in (1.0, 5.0)))


def test_official_captions_need_no_anchors(official_pipe):
    assert generate(official_pipe, "a room", [ADA], compat="official").video.isfinite().all()


def test_height_and_width_are_live(pipe):
    clip = generate(pipe, subjects=[ADA], height=96, width=32)
    assert clip.video.shape == (1, 4, 2, 6, 2)


def test_a_subject_without_references_still_has_a_place(pipe):
    """Ben is the second subject whether or not the first one shows anything."""
    alone = generate(pipe, prompt_for(2), [Subject(), BEN])
    assert_moved(alone, generate(pipe, prompt_for(2), [BEN, Subject()]))
