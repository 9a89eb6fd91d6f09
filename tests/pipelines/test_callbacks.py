"""What a user may do between two steps."""

import pytest
import torch
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback

from tests.pipelines.tiny_people import assert_close, assert_equal, assert_moved, generate, person, prompt_for


ADA = person(1)
EVERYTHING = [
    "latents",
    "audio_latents",
    "prompt_embeds",
    "negative_prompt_embeds",
    "audio_negative_prompt_embeds",
]


def run(pipe, callback=None, steps=3, **options):
    return generate(pipe, subjects=[ADA], num_inference_steps=steps, callback_on_step_end=callback, **options)


def test_callback_sees_every_step(pipe):
    seen = []

    def callback(pipe, step, timestep, tensors):
        seen.append((step, timestep.item(), pipe.current_timestep.item(), sorted(tensors)))
        assert pipe.num_timesteps == 3 and pipe.do_classifier_free_guidance and pipe.guidance_scale == 4.0

    clip = run(pipe, callback, callback_on_step_end_tensor_inputs=EVERYTHING)
    assert [entry[0] for entry in seen] == [0, 1, 2]
    assert [entry[1] for entry in seen] == pipe.scheduler.timesteps.tolist() == [entry[2] for entry in seen]
    assert all(entry[3] == sorted(EVERYTHING) for entry in seen)
    assert pipe.current_timestep is None
    assert_equal(clip, run(pipe))


@pytest.mark.parametrize("name", ["latents", "audio_latents"])
def test_latents_can_be_replaced(pipe, name):
    def callback(pipe, step, timestep, tensors):
        return {name: tensors[name] * 0.5} if step == 0 else {}

    assert_moved(run(pipe), run(pipe, callback))


def test_the_last_word_is_the_callbacks(pipe):
    clip = run(pipe, lambda *arguments: {"latents": torch.zeros(1, 4, 2, 2, 4)})
    assert not clip.video.any() and clip.audio.any()


@pytest.mark.parametrize("in_place", [False, True])
def test_a_new_caption_is_read_from_the_next_step_on(pipe, in_place):
    with torch.no_grad():
        ours, other = (pipe.encode_prompt(prompt)[0] for prompt in ("<S1> runs", "<S1> sits"))

    def callback(pipe, step, timestep, tensors):
        if step != 0:
            return {}
        return {"prompt_embeds": tensors["prompt_embeds"].copy_(other) if in_place else other}

    options = {"callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    changed = run(pipe, callback, prompt_embeds=ours.clone(), **options)
    assert_moved(run(pipe, prompt_embeds=ours), changed)
    assert_moved(run(pipe, prompt_embeds=other), changed)
    # Replaced by itself, it is the same caption.
    same = run(pipe, lambda p, i, t, tensors: tensors, prompt_embeds=ours.clone(), **options)
    assert_equal(run(pipe, prompt_embeds=ours), same)


@pytest.mark.parametrize("name", ["negative_prompt_embeds", "audio_negative_prompt_embeds"])
def test_new_negative_captions_are_read_too(pipe, name):
    def callback(pipe, step, timestep, tensors):
        return {name: torch.ones_like(tensors[name])} if step == 0 else {}

    assert_moved(run(pipe), run(pipe, callback, callback_on_step_end_tensor_inputs=[name]))


def test_an_interrupted_generation_ends_with_what_it_has(pipe):
    def callback(pipe, step, timestep, tensors):
        states.append(tensors["latents"])
        pipe._interrupt = step == 0
        return {}

    states = []
    clip = run(pipe, callback)
    assert len(states) == 1 and torch.equal(clip.video, states[0])
    # The next one is not interrupted.
    states.clear()
    run(pipe, lambda pipe, step, timestep, tensors: states.append(step))
    assert states == [0, 1, 2]


class HalveLatents(PipelineCallback):
    tensor_inputs = ["latents"]

    def callback_fn(self, pipeline, step_index, timesteps, callback_kwargs):
        if step_index == self.config.cutoff_step_index:
            callback_kwargs["latents"] = callback_kwargs["latents"] * 0.5
        return callback_kwargs


def test_callback_objects_of_diffusers(pipe):
    one = run(pipe, HalveLatents(cutoff_step_ratio=None, cutoff_step_index=0))
    assert_moved(run(pipe), one)
    both = MultiPipelineCallbacks([HalveLatents(cutoff_step_ratio=None, cutoff_step_index=i) for i in (0, 0)])
    assert_moved(one, run(pipe, both))


def test_progress_is_shown_as_configured(own_pipe, capsys):
    generate(own_pipe, prompt_for(0), [])
    assert "it" not in capsys.readouterr().err
    own_pipe.set_progress_bar_config(disable=False, desc="denoising")
    generate(own_pipe, prompt_for(0), [], num_inference_steps=2)
    assert "denoising: 100%" in capsys.readouterr().err


def test_guidance_off_gives_no_negative_tensors(pipe):
    def callback(pipe, step, timestep, tensors):
        assert tensors["negative_prompt_embeds"] is None and not pipe.do_classifier_free_guidance

    off = {"guidance_scale": 1.0, "audio_guidance_scale": 1.0}
    clip = run(pipe, callback, callback_on_step_end_tensor_inputs=EVERYTHING, **off)
    assert_close(clip, run(pipe, **off))
