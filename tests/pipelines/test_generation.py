"""Every way of asking for clips, and that asking in another way for the same thing gives the same thing."""

import numpy as np
import pytest
import torch

from iap_pipelines import StructuredCaption, Subject
from iap_pipelines.pipelines.identity import SubjectLatents
from iap_pipelines.pipelines.pipeline_output import IAPPipelineOutput
from tests.pipelines.tiny_components import tiny_pipeline
from tests.pipelines.tiny_people import (
    Clip,
    assert_close,
    assert_equal,
    assert_moved,
    face,
    generate,
    person,
    prompt_for,
    seeded,
    voice,
)


ADA, BEN = person(1), person(2, face=[face(2), face(3)], voice=voice(2, seconds=0.4))


def part(clip, *indices):
    return Clip(clip.video[list(indices)], clip.audio[list(indices)])


# --- What comes out ---


def test_pictures_and_sound_have_the_sizes_asked_for(pipe):
    output = pipe(prompt_for(1), [ADA], height=64, width=32, num_frames=9, generator=seeded())
    assert isinstance(output, IAPPipelineOutput)
    assert output.frames.shape == (1, 9, 64, 32, 3)
    assert output.frames.min() >= 0 and output.frames.max() <= 1
    # 9 frames at 12.5 per second: 22 audio latents of 512 samples.
    assert output.audio.shape == (1, 1, 22 * 512) and output.audio.dtype == torch.float32
    assert output.audio.abs().max() <= 1


def test_output_types_hold_the_same_clip(pipe):
    outputs = {
        kind: pipe(prompt_for(1), [ADA], generator=seeded(), output_type=kind, return_dict=False)
        for kind in ("np", "pt", "pil", "latent")
    }
    frames = outputs["np"][0]
    assert isinstance(frames, np.ndarray)
    np.testing.assert_array_equal(outputs["pt"][0].permute(0, 1, 3, 4, 2).numpy(), frames)
    assert len(outputs["pil"][0]) == 1 and len(outputs["pil"][0][0]) == 5
    pictures = np.stack([np.asarray(picture) for picture in outputs["pil"][0][0]])
    np.testing.assert_array_equal(pictures, (frames[0] * 255).round().astype("uint8"))
    for kind in ("pt", "pil"):
        assert torch.equal(outputs[kind][1], outputs["np"][1])

    latents, audio_latents = outputs["latent"]
    with torch.no_grad():
        pixels = pipe.decode_latents(latents)
        audio = pipe.decode_audio_latents(audio_latents)
    assert torch.equal(pipe.video_processor.postprocess_video(pixels, output_type="pt"), outputs["pt"][0])
    assert torch.equal(audio, outputs["pt"][1])


@pytest.mark.parametrize("num_frames", [1, 5, 401])
def test_any_length(pipe, num_frames):
    clip = generate(pipe, subjects=[ADA], num_frames=num_frames)
    assert clip.video.shape[2] == (num_frames - 1) // 4 + 1
    assert clip.video.isfinite().all() and clip.audio.isfinite().all()


def test_a_single_frame_is_decoded(pipe):
    output = pipe(prompt_for(1), [ADA], num_frames=1, generator=seeded())
    assert output.frames.shape[1] == 1 and output.audio.shape[-1] == 2 * 512


def test_sizes_may_depend_on_the_number_of_people():
    pipe = tiny_pipeline()
    pipe.register_to_config(sizes_by_subjects={"2": [64, 96]})
    assert generate(pipe, subjects=[ADA]).video.shape[-2:] == (2, 4)
    assert generate(pipe, subjects=[ADA, BEN]).video.shape[-2:] == (4, 6)
    assert generate(pipe, subjects=[ADA, BEN], width=32).video.shape[-2:] == (4, 2)


# --- Randomness ---


def test_the_seed_decides_the_clip(pipe):
    one = generate(pipe, subjects=[ADA], num_inference_steps=3)
    assert_equal(one, generate(pipe, subjects=[ADA], num_inference_steps=3))
    assert_moved(one, generate(pipe, subjects=[ADA], num_inference_steps=3, generator=seeded(1)))


def test_without_a_generator_clips_differ_and_follow_the_global_seed(pipe):
    torch.manual_seed(5)
    one, two = (generate(pipe, subjects=[ADA], generator=None) for _ in range(2))
    assert_moved(one, two)
    torch.manual_seed(5)
    assert_equal(one, generate(pipe, subjects=[ADA], generator=None))


@pytest.mark.parametrize("compat", ["native", "official"])
def test_a_list_of_generators_gives_each_clip_what_it_would_get_alone(pipe, official_pipe, compat):
    pipe = official_pipe if compat == "official" else pipe
    subjects = [ADA, BEN]
    batch = generate(
        pipe, subjects=subjects, num_videos_per_prompt=3, generator=[seeded(i) for i in range(3)], compat=compat
    )
    for index in range(3):
        alone = generate(pipe, subjects=subjects, generator=seeded(index), compat=compat)
        assert_close(part(batch, index), alone)


def test_official_voices_are_drawn_and_native_ones_are_not(official_pipe):
    noise = dict(zip(("latents", "audio_latents"), generate(official_pipe, subjects=[ADA]), strict=True))
    for compat, moves in (("native", False), ("official", True)):
        one, two = (
            generate(official_pipe, subjects=[ADA], compat=compat, generator=seeded(i), **noise) for i in range(2)
        )
        (assert_moved if moves else assert_equal)(one, two)


def test_official_clips_of_one_prompt_have_voices_of_their_own(official_pipe):
    one = generate(official_pipe, subjects=[ADA], compat="official", num_videos_per_prompt=2)
    noise = {"latents": torch.zeros_like(one.video), "audio_latents": torch.zeros_like(one.audio)}
    clip = generate(official_pipe, subjects=[ADA], compat="official", num_videos_per_prompt=2, **noise)
    assert_moved(part(clip, 0), part(clip, 1))
    # With the same generator state for both nothing differs but the rounding of places in a batch.
    generators = [seeded(3), seeded(3)]
    clip = generate(
        official_pipe, subjects=[ADA], compat="official", num_videos_per_prompt=2, generator=generators, **noise
    )
    assert_close(part(clip, 0), part(clip, 1))


def test_noise_may_be_given(pipe):
    generator = seeded()
    clip = pipe._clip(None, None, None, None, 1)
    noise = {
        "latents": pipe.prepare_latents(1, clip, torch.device("cpu"), generator),
        "audio_latents": pipe.prepare_audio_latents(1, clip, torch.device("cpu"), generator),
    }
    kept = {name: value.clone() for name, value in noise.items()}
    assert_equal(generate(pipe, subjects=[ADA]), generate(pipe, subjects=[ADA], generator=None, **noise))
    for name, value in noise.items():
        assert torch.equal(value, kept[name])


# --- Batches ---


def test_a_batch_of_prompts_is_the_prompts_alone(pipe):
    prompts = [prompt_for(2), '<S1> sings. <S2> says: "no".']
    batch = generate(pipe, prompts, [ADA, BEN], generator=[seeded(0), seeded(1)])
    for index, prompt in enumerate(prompts):
        assert_close(part(batch, index), generate(pipe, prompt, [ADA, BEN], generator=seeded(index)))


@pytest.mark.parametrize("positions, skip_guidance_layers", [("after_clip", ()), ("after_clip", (1,)), ("fixed", ())])
def test_every_prompt_may_have_people_of_its_own(request, positions, skip_guidance_layers):
    pipe = request.getfixturevalue("official_pipe" if positions == "fixed" else "pipe")
    samples = [[ADA], [], [BEN, person(4, face=None)], [Subject(), person(5, voice=None)]]
    prompts = [prompt_for(len(sample)) for sample in samples]
    generators = [seeded(index) for index in range(4)]
    batch = generate(pipe, prompts, samples, generator=generators, skip_guidance_layers=skip_guidance_layers)
    for index, (prompt, sample) in enumerate(zip(prompts, samples, strict=True)):
        alone = generate(pipe, prompt, sample, generator=seeded(index), skip_guidance_layers=skip_guidance_layers)
        assert_close(part(batch, index), alone)


def test_clips_of_one_prompt_stand_beside_each_other(pipe):
    prompts, samples = [prompt_for(1), prompt_for(2)], [[ADA], [BEN, ADA]]
    generators = [seeded(index) for index in range(4)]
    batch = generate(pipe, prompts, samples, num_videos_per_prompt=2, generator=generators)
    for index in range(4):
        alone = generate(pipe, prompts[index // 2], samples[index // 2], generator=seeded(index))
        assert_close(part(batch, index), alone)


def test_subject_scales_of_a_batch_stay_with_their_clip(pipe):
    loud = person(1, voice_scale=2.0)
    batch = generate(pipe, [prompt_for(1)] * 2, [[ADA], [loud]], generator=[seeded(0), seeded(0)])
    assert_close(part(batch, 0), generate(pipe, subjects=[ADA]))
    assert_close(part(batch, 1), generate(pipe, subjects=[loud]))


# --- People ---


@pytest.mark.parametrize("num_subjects", [0, 1, 2, 3, 4])
def test_one_to_four_people(pipe, num_subjects):
    people = [person(seed) for seed in range(num_subjects)]
    clip = generate(pipe, subjects=people)
    assert clip.video.isfinite().all() and clip.audio.isfinite().all()
    for index in range(num_subjects):
        changed = [*people[:index], person(50 + index), *people[index + 1 :]]
        assert_moved(clip, generate(pipe, subjects=changed))


@pytest.mark.parametrize("missing", ["face", "voice"])
def test_face_and_voice_may_each_be_missing(pipe, missing):
    both, one, none = ADA, person(1, **{missing: None}), Subject()
    clips = [generate(pipe, subjects=[subject]) for subject in (both, one, none)]
    assert_moved(clips[0], clips[1])
    assert_moved(clips[1], clips[2])


def test_a_person_without_references_is_nobody(pipe):
    somebody = generate(pipe, "<S1> waves", [Subject()])
    # Where anchors are not required, the same caption needs nobody.
    assert_equal(somebody, generate(pipe, "<S1> waves", compat="official"))


def test_more_views_say_more(pipe):
    one, two = person(1, face=[face(1)]), person(1, face=[face(1), face(9)])
    assert_equal(generate(pipe, subjects=[ADA]), generate(pipe, subjects=[one]))
    assert_moved(generate(pipe, subjects=[one]), generate(pipe, subjects=[two]))


def test_who_is_who_matters(pipe):
    assert_moved(generate(pipe, subjects=[ADA, BEN]), generate(pipe, subjects=[BEN, ADA]))
    swapped = [person(1, voice=BEN.voice), person(2, face=BEN.face, voice=ADA.voice)]
    assert_moved(generate(pipe, subjects=[ADA, BEN]), generate(pipe, subjects=swapped))


def test_stereo_and_other_rates_are_voices_too(pipe):
    stereo = generate(pipe, subjects=[person(1, voice=voice(1, num_channels=2))])
    assert stereo.audio.isfinite().all()
    mono = voice(1)
    twice = type(mono)(mono.samples.expand(2, -1), mono.sampling_rate)
    assert_close(generate(pipe, subjects=[ADA]), generate(pipe, subjects=[person(1, voice=twice)]))
    fast = type(mono)(mono.samples, 24_000)
    assert_moved(generate(pipe, subjects=[ADA]), generate(pipe, subjects=[person(1, voice=fast)]))


def test_files_are_read(pipe, tmp_path):
    face(1).save(tmp_path / "ada.png")
    assert_equal(generate(pipe, subjects=[ADA]), generate(pipe, subjects=[person(1, face=tmp_path / "ada.png")]))


def test_latents_of_people_are_people(pipe):
    with torch.no_grad():
        latents = [
            SubjectLatents(pipe.encode_faces(subject.views), pipe.encode_voice(subject.voice), voice_scale=1.5)
            for subject in (ADA, BEN)
        ]
    people = [person(1, voice_scale=1.5), person(2, face=BEN.face, voice=BEN.voice, voice_scale=1.5)]
    assert_equal(generate(pipe, subjects=people), generate(pipe, subjects=latents))
    assert_equal(generate(pipe, subjects=people), generate(pipe, subjects=[people[0], latents[1]]))


# --- Captions ---


def test_a_structured_caption_is_its_rendering(pipe):
    caption = StructuredCaption.parse('Scene: green room. <S1>: left, woman. <S1> says: "hello".')
    assert_equal(generate(pipe, caption, [ADA]), generate(pipe, caption.render(), [ADA]))
    both = generate(pipe, [caption, "<S1> sings"], [ADA], generator=[seeded(0), seeded(1)])
    assert_close(part(both, 0), generate(pipe, caption, [ADA]))


def test_embeddings_stand_for_prompts(pipe):
    prompts = {"negative_prompt": "ugly", "audio_negative_prompt": "loud"}
    with torch.no_grad():
        embeds = pipe.encode_prompt(prompt_for(1), **prompts)
    names = ("prompt_embeds", "negative_prompt_embeds", "audio_negative_prompt_embeds")
    known = dict(zip(names, embeds, strict=True))
    expected = generate(pipe, prompt_for(1), [ADA], **prompts)
    assert_equal(expected, generate(pipe, subjects=[ADA], **known))
    mixed = {"prompt_embeds": known["prompt_embeds"], **prompts}
    assert_equal(expected, generate(pipe, subjects=[ADA], **mixed))
    halves = {name: value.double() for name, value in known.items()}
    assert_equal(expected, generate(pipe, subjects=[ADA], **halves))


def test_captions_that_do_not_fit_are_reported(pipe, caplog):
    long = "<S1> " + "a" * 18 + "bcdefgh"
    with caplog.at_level("WARNING", logger="iap_pipelines"):
        clip = generate(pipe, long, [ADA])
    assert "`prompt` has 27 tokens, but only 24 fit: 'f g h' is cut off" in caplog.text
    caplog.clear()
    assert_equal(clip, generate(pipe, long[:-3], [ADA]))
    assert not caplog.records
    assert_moved(clip, generate(pipe, long, [ADA], max_sequence_length=32))


def test_generating_changes_no_component(pipe):
    def state():
        return {
            name: (part.dtype, part.device, part.training, sorted(vars(part)))
            for name, part in pipe.components.items()
            if isinstance(part, torch.nn.Module)
        }

    before = state()
    generate(pipe, subjects=[ADA], output_type="pt", skip_guidance_layers=(1,))
    assert state() == before
