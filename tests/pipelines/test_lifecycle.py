"""Saving, loading, moving and casting a pipeline."""

import subprocess
import sys

import pytest
import torch
from accelerate import cpu_offload, cpu_offload_with_hook
from diffusers import DiffusionPipeline
from PIL import Image

from iap_pipelines import IAPPipeline, IAPTransformer3DModel, Subject
from tests.pipelines.tiny_people import assert_equal, assert_moved, difference, generate, person, prompt_for, seeded


ADA, BEN = person(1), person(2)
SIZES = ("height", "width", "sizes_by_subjects", "num_frames", "frame_rate", "face_size", "max_voice_seconds")


@pytest.fixture(scope="module")
def folder(pipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    pipe.save_pretrained(folder)
    return folder


@pytest.fixture
def expected(pipe):
    return generate(pipe, subjects=[ADA, BEN])


@pytest.mark.parametrize("loader", [IAPPipeline, DiffusionPipeline])
def test_saved_and_loaded_is_the_same(pipe, folder, loader):
    loaded = loader.from_pretrained(folder)
    assert type(loaded) is IAPPipeline
    assert all(loaded.config[name] == pipe.config[name] for name in SIZES)
    loaded.set_progress_bar_config(disable=True)
    for kind in ("pt", "latent"):
        ours, theirs = (generate(p, subjects=[ADA, BEN], output_type=kind) for p in (pipe, loaded))
        assert_equal(ours, theirs)


def test_another_process_loads_it_too(pipe, folder, tmp_path):
    """After `import iap_pipelines` the plain loader of diffusers finds every class."""
    program = f"""
import sys
import torch
import iap_pipelines
from diffusers import DiffusionPipeline
from safetensors.torch import save_file

torch.set_num_threads({torch.get_num_threads()})
pipe = DiffusionPipeline.from_pretrained({str(folder)!r})
frames, audio = pipe("a room", generator=torch.Generator().manual_seed(0), output_type="pt", return_dict=False)
save_file({{"frames": frames.contiguous(), "audio": audio}}, {str(tmp_path / "clip.safetensors")!r})
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    from safetensors.torch import load_file

    theirs = load_file(tmp_path / "clip.safetensors")
    frames, audio = pipe("a room", generator=seeded(), output_type="pt", return_dict=False)
    assert torch.equal(theirs["frames"], frames) and torch.equal(theirs["audio"], audio)


def test_where_weights_lie_in_memory_does_not_matter(own_pipe, expected):
    """A memory-mapped file puts them anywhere; kernels round by alignment."""
    for parameter in own_pipe.transformer.parameters():
        shifted = torch.empty(parameter.numel() + 2)[2:].view(parameter.shape)
        parameter.data = shifted.copy_(parameter.data)
    assert_equal(expected, generate(own_pipe, subjects=[ADA, BEN]))


def test_parts_can_be_loaded_in_their_own_precision(folder):
    pipe = IAPPipeline.from_pretrained(folder, dtype={"transformer": torch.bfloat16, "default": torch.float32})
    pipe.set_progress_bar_config(disable=True)
    assert pipe.transformer.dtype == torch.bfloat16 and pipe.vae.dtype == torch.float32
    clip = generate(pipe, subjects=[ADA, BEN], output_type="pt")
    assert clip.video.isfinite().all() and clip.audio.isfinite().all()


def test_parts_can_be_given(pipe, folder):
    transformer = IAPTransformer3DModel.from_pretrained(folder, subfolder="transformer")
    loaded = IAPPipeline.from_pretrained(folder, transformer=transformer, text_encoder=None, tokenizer=None)
    loaded.set_progress_bar_config(disable=True)
    with torch.no_grad():
        embeds = dict(zip(("prompt_embeds", "negative_prompt_embeds"), pipe.encode_prompt("a room"), strict=False))
    assert_equal(generate(pipe, "a room"), generate(loaded, **embeds))


def test_from_pipe_shares_the_parts(pipe, expected):
    other = IAPPipeline.from_pipe(pipe, num_inference_steps=7)
    assert other.transformer is pipe.transformer and other.config.num_inference_steps == 7
    assert all(other.config[name] == pipe.config[name] for name in SIZES)
    other.set_progress_bar_config(disable=True)
    assert_equal(expected, generate(other, subjects=[ADA, BEN]))


def test_a_checkpoint_has_its_own_guidance(pipe, expected):
    scales = {
        "guidance_scale": 1.5,
        "audio_guidance_scale": 2.5,
        "face_guidance_scale": 1.2,
        "voice_guidance_scale": 2.0,
    }
    other = IAPPipeline.from_pipe(pipe, **scales)
    other.set_progress_bar_config(disable=True)
    own = generate(other, subjects=[ADA, BEN])
    assert other.guidance_scale == 1.5
    assert_equal(own, generate(pipe, subjects=[ADA, BEN], **scales))
    assert_moved(own, expected)
    published = {"guidance_scale": 4.0, "audio_guidance_scale": 3.0}
    neutral = {"face_guidance_scale": 1.0, "voice_guidance_scale": 1.0}
    assert_equal(expected, generate(other, subjects=[ADA, BEN], **published, **neutral))


def test_its_guidance_towards_references_rests_where_there_are_none(pipe):
    other = IAPPipeline.from_pipe(pipe, voice_guidance_scale=2.0)
    other.set_progress_bar_config(disable=True)
    expected = generate(pipe, subjects=[Subject()])
    assert_equal(expected, generate(other, subjects=[Subject()]))
    assert_equal(expected, generate(other, subjects=[Subject()], voice_guidance_scale=2.0))
    with pytest.raises(ValueError, match="`voice_guidance_scale` has no effect"):
        generate(other, subjects=[Subject()], voice_guidance_scale=3.0)


def test_prompts_can_be_encoded_with_the_text_parts_alone(pipe):
    components = dict.fromkeys(pipe.components) | {"tokenizer": pipe.tokenizer, "text_encoder": pipe.text_encoder}
    alone = IAPPipeline(**components, max_sequence_length=pipe.config.max_sequence_length)
    with torch.no_grad():
        ours, theirs = (p.encode_prompt(["a", "b"], num_videos_per_prompt=2) for p in (pipe, alone))
    assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
    assert ours[0].shape == (4, 24, 16) and torch.equal(ours[0][0], ours[0][1])


@pytest.mark.parametrize("compat", ["native", "official"])
def test_low_precision(own_pipe, compat):
    """The same noise in bfloat16 gives about the same clip, and leaves everything in bfloat16."""
    own_pipe.transformer.register_to_config(identity_span=64)
    full = generate(own_pipe, subjects=[ADA, BEN], compat=compat, output_type="latent", guidance_scale=2.0)
    own_pipe.to(torch.bfloat16)
    dtypes = {name: {p.dtype for p in part.parameters()} for name, part in modules(own_pipe)}
    options = {"compat": compat, "guidance_scale": 2.0}
    half = generate(own_pipe, subjects=[ADA, BEN], **options)
    assert half.video.dtype == torch.float32
    if compat == "native":
        moved = difference(full, half)
        assert moved.video < 0.1 * full.video.std() and moved.audio < 0.1 * full.audio.std()
    decoded = generate(own_pipe, subjects=[ADA, BEN], output_type="np", **options)
    assert decoded.video.dtype == "float32" and decoded.audio.dtype == torch.float32
    assert dtypes == {name: {p.dtype for p in part.parameters()} for name, part in modules(own_pipe)}


def modules(pipe):
    return [(name, part) for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)]


# --- Memory ---


def test_models_can_leave_the_device_between_their_turns(own_pipe, expected):
    """What `enable_model_cpu_offload` installs, on the only device there is; it must fire for every entry point."""
    hook, fired = None, []
    for name in own_pipe.model_cpu_offload_seq.split("->"):
        part = getattr(own_pipe, name)
        _, hook = cpu_offload_with_hook(part, torch.device("cpu"), prev_module_hook=hook)
        record_first_use(part, name, fired)
    clip = generate(own_pipe, subjects=[ADA, BEN])
    assert_equal(expected, clip)
    # The transformer comes last and once: the codecs would send it away again.
    assert fired == ["text_encoder", "vae", "audio_vae", "transformer"]


def record_first_use(part, name, fired):
    original = part._hf_hook.pre_forward

    def pre_forward(module, *args, **kwargs):
        if name not in fired:
            fired.append(name)
        return original(module, *args, **kwargs)

    part._hf_hook.pre_forward = pre_forward


def test_layers_can_leave_the_device_between_their_turns(own_pipe, expected):
    """`enable_sequential_cpu_offload`: every weight is elsewhere (on the meta device) until its module is called."""
    for _, part in modules(own_pipe):
        if part is own_pipe.transformer:
            cpu_offload(part, torch.device("cpu"), offload_buffers=len(part._parameters) > 0)
            assert all(parameter.is_meta for parameter in part.parameters())
    assert_equal(expected, generate(own_pipe, subjects=[ADA, BEN]))
    assert all(parameter.is_meta for parameter in own_pipe.transformer.parameters())


@pytest.mark.parametrize("offload_type", ["block_level", "leaf_level"])
def test_group_offloading(own_pipe, tmp_path, offload_type):
    options = {"generator": seeded(), "num_inference_steps": 1, "output_type": "pt", "return_dict": False}
    expected = own_pipe(prompt_for(2), [ADA, BEN], **options)
    own_pipe.enable_group_offload(
        onload_device=torch.device("cpu"),
        offload_type=offload_type,
        num_blocks_per_group=1,
        offload_to_disk_path=str(tmp_path),
    )
    # What was offloaded lies on disk. Whoever is used without having been fetched shows itself.
    for name, part in own_pipe.components.items():
        if isinstance(part, torch.nn.Module) and name != "audio_vae":
            for parameter in part.parameters():
                parameter.data.fill_(torch.nan)
    frames, audio = own_pipe(prompt_for(2), [ADA, BEN], **options | {"generator": seeded()})
    torch.testing.assert_close(frames, expected[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(audio, expected[1], rtol=0, atol=1e-5)


def test_offloaded_weights_have_no_fingerprint(own_pipe, tmp_path):
    """What lies in their place is not theirs."""
    known = own_pipe.encode_identity([ADA])
    own_pipe.transformer.enable_group_offload(
        onload_device=torch.device("cpu"), offload_type="leaf_level", offload_to_disk_path=str(tmp_path)
    )
    assert known.model_fingerprint and own_pipe.encode_identity([ADA]).model_fingerprint is None
    for parameter in own_pipe.transformer.parameters():
        parameter.data.fill_(-1.0)
    generate(own_pipe, identity=known)


def test_weights_in_float8_have_the_same_fingerprint(own_pipe):
    known = own_pipe.encode_identity([ADA])
    own_pipe.transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    generate(own_pipe, subjects=[ADA])
    generate(own_pipe, identity=known)
    assert own_pipe.encode_identity([ADA]).model_fingerprint == known.model_fingerprint


def test_released_weights_are_gone(own_pipe):
    before = sum(parameter.numel() for parameter in own_pipe.transformer.parameters())
    known = own_pipe.encode_identity([ADA])
    expected = generate(own_pipe, identity=known)
    own_pipe.release_identity_weights()
    after = sum(parameter.numel() for parameter in own_pipe.transformer.parameters())
    assert after < 0.9 * before
    assert_equal(expected, generate(own_pipe, identity=known))
    own_pipe.release_identity_weights()
    assert_equal(expected, generate(own_pipe, identity=known))


def test_known_people_follow_the_model_to_another_precision(own_pipe):
    known = own_pipe.encode_identity([ADA])
    own_pipe.transformer.to(torch.bfloat16)
    clip = generate(own_pipe, identity=known)
    assert clip.video.isfinite().all()
    assert_moved(clip, generate(own_pipe, prompt_for(0)))


# --- Steps run alone ---


def test_latents_decode_with_gradients(pipe):
    """`torch.no_grad` is on `__call__` and `encode_identity` only: whoever runs a step alone may differentiate it."""
    latents = torch.zeros(1, 4, 1, 2, 2, requires_grad=True)
    audio_latents = torch.zeros(1, 4, 6, requires_grad=True)
    for decode, given in ((pipe.decode_latents, latents), (pipe.decode_audio_latents, audio_latents)):
        (gradient,) = torch.autograd.grad(decode(given).sum(), given)
        assert gradient.abs().sum() > 0


def test_the_middle_of_a_picture_is_the_face(pipe):
    size = pipe.config.face_size
    square = ADA.face.resize((size, size))
    wide = Image.new("RGB", (3 * size, size), "blue")
    wide.paste(square, (size, 0))
    with torch.no_grad():
        assert torch.equal(pipe.encode_faces([square]), pipe.encode_faces([wide]))
        assert pipe.encode_faces([ADA.face, BEN.face.convert("L"), BEN.face.convert("RGBA")]).shape == (3, 4, 2, 2)


def test_latents_survive_the_codecs_scaling(pipe):
    """Faces are normalised by the statistics that decoding undoes."""
    with torch.no_grad():
        latents = pipe.encode_faces([ADA.face])
        mean, std = pipe._latent_statistics(latents)
        pixels = pipe.decode_latents(latents[:, :, None])
        raw = pipe.vae.decode(latents[:, :, None] * std + mean, return_dict=False)[0]
    assert torch.equal(pixels, raw)


def test_voices_are_encoded_as_the_audio_vae_does(pipe):
    """Only its mel front end is not asked, so that it may be in any precision."""
    voice = ADA.voice
    with torch.no_grad():
        expected = pipe.audio_vae.encode(voice.samples).latent_dist.mode()[0].transpose(0, 1)
        assert torch.equal(pipe.encode_voice(voice), expected * pipe.audio_vae.config.scaling_factor)
