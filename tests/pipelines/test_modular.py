"""One block per step: all of them make the pipeline's clip, and each can be used alone."""

import pytest
import torch
from diffusers import DiffusionPipeline, ModularPipeline

from iap_pipelines import IAPPipeline, Subject
from iap_pipelines.pipelines.modular import (
    IAPBlocks,
    IAPDecodeStep,
    IAPDenoiseStep,
    IAPIdentityEncoderStep,
    IAPModularPipeline,
    IAPPrepareLatentsStep,
    IAPTextEncoderStep,
)
from tests.pipelines.tiny_components import tiny_pipeline
from tests.pipelines.tiny_people import person, prompt_for, seeded


ADA, BEN = person(1, face_scale=1.5), person(2, voice=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    pipe = tiny_pipeline()
    # The blocks have to read them too.
    pipe.register_to_config(guidance_scale=2.5, audio_guidance_scale=1.5, voice_guidance_scale=1.5)
    pipe.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def pipe(folder):
    """Loaded, as the blocks are: the standard pipeline to compare with."""
    pipe = DiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def ready(blocks, folder):
    modular = blocks.init_pipeline(folder)
    assert type(modular) is IAPModularPipeline
    modular.load_components()
    modular.set_progress_bar_config(disable=True)
    return modular


@pytest.fixture(scope="module")
def modular(folder):
    return ready(IAPBlocks(), folder)


def assert_same(expected, state):
    # Codecs that were loaded anew lie elsewhere in memory, which changes the last bit of a matrix product.
    torch.testing.assert_close(
        torch.from_numpy(expected.frames), torch.from_numpy(state.get("frames")), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(expected.audio, state.get("audio"), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("subjects", "options"),
    [
        ([ADA, BEN], {}),
        ([], {"negative_prompt": "blur", "num_inference_steps": 1}),
        ([BEN], {"face_guidance_scale": 2.0, "guidance_scale": 1.0, "audio_guidance_scale": 1.0}),
        ([ADA], {"num_videos_per_prompt": 2, "skip_guidance_layers": (1,), "height": 64, "num_frames": 9}),
        ([ADA, BEN], {"compat": "official", "num_videos_per_prompt": 2}),
    ],
    ids=["two", "nobody", "guided", "several", "official"],
)
def test_the_same_clip_as_the_pipeline(pipe, modular, subjects, options):
    prompt = prompt_for(len(subjects))
    expected = pipe(prompt, subjects, generator=seeded(), **options)
    state = modular(prompt=prompt, subjects=subjects, generator=seeded(), **options)
    assert_same(expected, state)
    assert state.get("provenance") == expected.provenance


def test_people_encoded_before(pipe, modular):
    people = pipe.encode_identity([ADA])
    expected = pipe(prompt_for(1), identity=people, generator=seeded())
    assert_same(expected, modular(prompt=prompt_for(1), identity=people, generator=seeded()))


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"num_frames": 9}, "`identity` was encoded for clips of"),
        ({"prompt": prompt_for(2)}, "`prompt` names <S2>"),
        ({"skip_guidance_layers": (1,)}, "`identity` was not encoded for"),
    ],
)
def test_people_encoded_for_something_else(pipe, modular, options, reason):
    people = pipe.encode_identity([ADA])
    with pytest.raises(ValueError, match=reason):
        modular(**{"prompt": prompt_for(1), "identity": people} | options)


def test_people_encoded_by_another_model(folder, modular):
    other = DiffusionPipeline.from_pretrained(folder)
    for parameter in other.transformer.parameters():
        parameter.data.neg_()
    with pytest.raises(ValueError, match="encoded by another model"):
        modular(prompt=prompt_for(1), identity=other.encode_identity([ADA]))


def test_every_clip_draws_its_own_voices_as_published(pipe, folder):
    """Of captions that were encoded before, too."""
    blocks = IAPBlocks()
    blocks.sub_blocks.pop("text_encoder")
    with torch.no_grad():
        embeds = pipe.encode_prompt([prompt_for(1)] * 2)
    names = ("prompt_embeds", "negative_prompt_embeds", "audio_negative_prompt_embeds")
    identity = ready(blocks, folder)(
        **dict(zip(names, embeds, strict=True)),
        subjects=[person(1, face=None)],
        compat="official",
        generator=seeded(),
        output="identity",
    )
    assert len(identity.num_subjects) == 2


def test_each_block_alone(pipe, folder):
    """Every block loads its own components only; what one returns, the next one takes."""
    prompt, options = prompt_for(2), {"generator": seeded()}
    text = ready(IAPTextEncoderStep(), folder)
    assert set(text.components) == {"tokenizer", "text_encoder"}
    embeds = text(prompt=prompt, output=["prompt_embeds", "negative_prompt_embeds", "audio_negative_prompt_embeds"])
    identity = ready(IAPIdentityEncoderStep(), folder)(subjects=[ADA, BEN], output="identity")
    noise = ready(IAPPrepareLatentsStep(), folder)
    names = ["latents", "audio_latents"]
    latents = noise(prompt_embeds=embeds["prompt_embeds"], identity=identity, output=[*names, "timesteps"], **options)
    denoise = ready(IAPDenoiseStep(), folder)
    assert set(denoise.components) == {"transformer", "scheduler"}
    denoise.update_components(scheduler=noise.scheduler)
    denoised = denoise(**embeds, **latents, identity=identity, output=names)
    decode = ready(IAPDecodeStep(), folder)
    assert set(decode.components) == {"vae", "audio_vae", "vocoder"}
    state = decode(**denoised)
    assert_same(pipe(prompt, [ADA, BEN], generator=seeded()), state)


def test_a_block_can_be_taken_out(pipe, folder):
    blocks = IAPBlocks()
    blocks.sub_blocks.pop("text_encoder")
    without_text = ready(blocks, folder)
    assert "text_encoder" not in without_text.components
    names = ("prompt_embeds", "negative_prompt_embeds", "audio_negative_prompt_embeds")
    embeds = dict(zip(names, pipe.encode_prompt(prompt_for(1)), strict=True))
    expected = pipe(prompt_for(1), [BEN], generator=seeded())
    assert_same(expected, without_text(**embeds, subjects=[BEN], generator=seeded()))


def test_saved_and_loaded_as_a_modular_pipeline(modular, tmp_path):
    modular.save_pretrained(str(tmp_path / "modular"), overwrite_modular_index=True)
    back = ModularPipeline.from_pretrained(str(tmp_path / "modular"))
    assert type(back) is IAPModularPipeline
    back.load_components()
    back.set_progress_bar_config(disable=True)
    options = {"prompt": prompt_for(1), "subjects": [ADA], "num_inference_steps": 1}
    first, second = (pipe(generator=seeded(), **options) for pipe in (modular, back))
    torch.testing.assert_close(first.get("audio"), second.get("audio"), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"prompt": "<S2> hi", "subjects": [ADA]}, "`prompt` names <S2>"),
        ({"prompt": "<S1> hi", "subjects": [ADA], "guidance_scale": -1}, "`guidance_scale` must be"),
        ({"prompt": "a", "subjects": [Subject(face="missing.png")]}, "missing.png"),
        ({"prompt": "a", "height": 33}, "`height` must be a positive multiple"),
        ({"prompt": "a", "output_type": "gif"}, "`output_type` must be"),
        ({"prompt": "a", "latents": torch.zeros(1, 4, 1, 1, 1)}, "`latents` must have the shape"),
        ({"prompt": "a", "negative_prompt": "b", "guidance_scale": 1.0, "audio_guidance_scale": 1.0}, "no effect"),
        ({}, "exactly one of `prompt` and `prompt_embeds`"),
    ],
)
def test_what_cannot_work_is_named(modular, options, reason):
    with pytest.raises(ValueError, match=reason):
        modular(**options)


def test_the_blocks_tell_what_they_take(modular):
    assert {"prompt", "subjects", "guidance_scale", "num_frames", "generator"} <= set(modular.blocks.input_names)
    assert [output.name for output in modular.blocks.outputs] == ["frames", "audio"]
    assert "Components" in IAPBlocks().doc
    for name in ("encode_prompt", "encode_identity", "decode_latents", "_predict"):
        assert getattr(IAPModularPipeline, name) is getattr(IAPPipeline, name)
