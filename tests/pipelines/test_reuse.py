"""What is computed once and kept gives what computing it every time would give."""

import pytest
import torch

from iap_pipelines import IAPPipeline
from iap_pipelines.pipelines.guidance import GuidanceSettings, apply_guidance
from iap_pipelines.pipelines.identity import EncodedIdentity, LoadedIdentity, collate_identity, drop_conditions
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
)


ADA, BEN = person(1, face_scale=1.5), person(2, face=[face(2), face(3)])


def one_step_from_raw_conditions(pipe, subjects, guidance, noise):
    """A generation of one step in which every branch computes everything itself."""
    with torch.no_grad():
        embeds = dict(zip(("prompt", "negative", "audio_negative"), pipe.encode_prompt(prompt_for(2)), strict=True))
        options = {"max_seconds": pipe.config.max_voice_seconds}
        latents = [pipe._encode_subject(subject, options) for subject in LoadedIdentity.load(subjects).samples[0]]
        timestep = pipe.set_timesteps(1)[0]
        plan = guidance.plan([[s.face_scale for s in subjects]], [[s.voice_scale for s in subjects]])
        video, audio = {}, {}
        for branch in plan.branches:
            people = drop_conditions(latents, branch.identity.dropped_faces, branch.identity.dropped_voices)
            video[branch.name], audio[branch.name] = pipe.transformer(
                hidden_states=noise.video,
                audio_hidden_states=noise.audio,
                timestep=timestep[None],
                encoder_hidden_states=embeds["prompt" if branch.has_prompt else "negative"],
                audio_encoder_hidden_states=None if branch.has_prompt else embeds["audio_negative"],
                identity=collate_identity([people]),
                skip_layers=branch.identity.skip_layers,
                return_dict=False,
            )
        velocity = apply_guidance(video, plan.video_scales), apply_guidance(audio, plan.audio_scales)
        samples = []
        for flow, sample in zip(velocity, noise, strict=True):
            pipe.set_timesteps(1)
            samples.append(pipe.scheduler.step(flow, timestep, sample, return_dict=False)[0])
        return Clip(*samples)


@pytest.mark.parametrize("skip_layers", [(), (1,), (0, 2)])
def test_memories_are_the_raw_conditions(pipe, skip_layers):
    noise = Clip(torch.randn(1, 4, 2, 2, 4, generator=seeded()), torch.randn(1, 12, 6, generator=seeded(1)))
    options = {"skip_guidance_layers": skip_layers, "face_guidance_scale": 1.5}
    ours = generate(pipe, subjects=[ADA, BEN], latents=noise.video, audio_latents=noise.audio, **options)
    assert_equal(ours, one_step_from_raw_conditions(pipe, [ADA, BEN], GuidanceSettings(**options), noise))


def test_references_are_run_once_whatever_the_number_of_steps(pipe):
    calls = []
    keys = pipe.transformer.blocks[0].video.identity.attn1.to_k
    hook = keys.register_forward_pre_hook(lambda *_: calls.append(1))
    counts = []
    for steps in (1, 4):
        calls.clear()
        generate(pipe, subjects=[BEN], num_inference_steps=steps)
        counts.append(len(calls))
    hook.remove()
    assert counts == [1, 1]


@pytest.mark.parametrize("options", [{}, {"skip_guidance_layers": (1,)}], ids=["plain", "skip"])
def test_known_people_are_these_people(pipe, options, tmp_path):
    known = pipe.encode_identity([ADA, BEN], **options)
    expected = generate(pipe, subjects=[ADA, BEN], **options)
    assert_equal(expected, generate(pipe, identity=known, **options))
    known.save(tmp_path / "people.safetensors")
    loaded = EncodedIdentity.load(tmp_path / "people.safetensors")
    assert_equal(expected, generate(pipe, identity=loaded, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"guidance_scale": 1.0, "audio_guidance_scale": 1.0},
        {"face_guidance_scale": 2.0},
        {"num_inference_steps": 3},
        {"height": 64},
    ],
)
def test_people_are_known_for_every_scale_step_and_picture_size(pipe, options):
    known = pipe.encode_identity([ADA, BEN])
    assert_equal(generate(pipe, subjects=[ADA, BEN], **options), generate(pipe, identity=known, **options))


def test_known_people_of_a_batch(pipe, tmp_path):
    samples = [[ADA], [BEN, person(3, voice=None)]]
    prompts = [prompt_for(1), prompt_for(2)]
    generators = [seeded(index) for index in range(4)]
    expected = generate(pipe, prompts, samples, num_videos_per_prompt=2, generator=generators)
    known = pipe.encode_identity(samples)
    known.save(tmp_path / "people.safetensors")
    for people in (known, EncodedIdentity.load(tmp_path / "people.safetensors")):
        generators = [seeded(index) for index in range(4)]
        ours = generate(pipe, prompts, identity=people, num_videos_per_prompt=2, generator=generators)
        assert_close(expected, ours)


def test_known_people_serve_every_prompt(pipe):
    prompts = ["<S1> runs", "<S1> sits"]
    expected = generate(pipe, prompts, [BEN], generator=[seeded(0), seeded(1)])
    known = pipe.encode_identity([BEN])
    assert_equal(expected, generate(pipe, prompts, identity=known, generator=[seeded(0), seeded(1)]))


def test_official_people_are_known_too(official_pipe):
    """The draw of the voice is part of knowing them."""
    noise = dict(zip(("latents", "audio_latents"), generate(official_pipe, subjects=[ADA]), strict=True))
    options = {"skip_guidance_layers": (1,), "compat": "official"}
    known = official_pipe.encode_identity([ADA, BEN], generator=seeded(7), **options)
    expected = generate(official_pipe, subjects=[ADA, BEN], generator=seeded(7), **options, **noise)
    assert_equal(expected, generate(official_pipe, identity=known, **options, **noise))
    other = official_pipe.encode_identity([ADA, BEN], generator=seeded(8), **options)
    assert_moved(expected, generate(official_pipe, identity=other, **options, **noise))


def test_nobody_can_be_known(pipe, tmp_path):
    known = pipe.encode_identity([])
    known.save(tmp_path / "nobody.safetensors")
    loaded = EncodedIdentity.load(tmp_path / "nobody.safetensors")
    assert_equal(generate(pipe, "a room"), generate(pipe, "a room", identity=loaded))


def test_knowing_somebody_keeps_no_graph(pipe):
    known = pipe.encode_identity([ADA])
    layers = [layer for memory in known.memories.values() if memory is not None for layer in memory.layers]
    tensors = [tensor for layer in layers for tensor in layer.identity.video]
    assert tensors and not any(tensor.requires_grad for tensor in tensors)


def test_a_slim_checkpoint_makes_the_same_clips(own_pipe, tmp_path):
    """Release, save, load, and generate the people saved before: the same clip from a smaller folder."""
    expected = generate(own_pipe, subjects=[ADA, BEN])
    own_pipe.encode_identity([ADA, BEN]).save(tmp_path / "people.safetensors")
    own_pipe.save_pretrained(tmp_path / "full")
    own_pipe.release_identity_weights()
    people = EncodedIdentity.load(tmp_path / "people.safetensors")
    assert_equal(expected, generate(own_pipe, identity=people))

    own_pipe.save_pretrained(tmp_path / "slim")
    sizes = [
        (tmp_path / name / "transformer" / "diffusion_pytorch_model.safetensors").stat().st_size
        for name in ("slim", "full")
    ]
    assert sizes[0] < 0.9 * sizes[1]
    slim = IAPPipeline.from_pretrained(tmp_path / "slim")
    slim.set_progress_bar_config(disable=True)
    assert_equal(expected, generate(slim, identity=people))
    # Sound has no weights of its own for references, so new voices are still welcome.
    assert generate(slim, subjects=[person(9, face=None)]).video.isfinite().all()


def test_a_file_of_something_else_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="other.safetensors: not an encoded identity"):
        EncodedIdentity.load(tmp_path / "other.safetensors")
