"""
The dual tower against numbers of the published code; every case, shape and configuration comes from the manifest.
"""

import json
import os
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from iap_pipelines.conversion.transformer import convert_transformer_state_dict
from iap_pipelines.models.transformer_iap import IAPIdentityInputs, IAPTransformer3DModel, Towers


REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("IAP_PARITY_DIR") or REPOSITORY.parent / "shared" / "parity")
MANIFEST = json.loads((FOLDER / "manifest.json").read_text()) if (FOLDER / "manifest.json").is_file() else None
TOLERANCE = {"atol": 2e-5, "rtol": 1e-5}

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(
        MANIFEST is None, reason=f"no parity fixtures in {FOLDER}; name their folder in IAP_PARITY_DIR"
    ),
]


def entry_with_role(role):
    """Name and manifest entry of the file that plays `role`; `None` where there is none."""
    files = {} if MANIFEST is None else MANIFEST["files"]
    return next(((name, entry) for name, entry in files.items() if entry["role"].startswith(role)), (None, {}))


WEIGHTS_FILE, WEIGHTS = entry_with_role("dual tower state dict")
CASES_FILE, CASES = entry_with_role("dual tower inputs and outputs")
CASE_NAMES = [name for name, case in CASES.get("cases", {}).items() if "inputs" in case]
TRACED = [name for name in CASE_NAMES if any(key.startswith(f"{name}/trace/") for key in CASES["tensors"])]
ROTARY_TABLES = [key for key in CASES.get("tensors", ()) if re.fullmatch(r"tables/\w+_rope_cos_sin", key)]


def evaluate(expression, tensors):
    """
    The tensor that a manifest means by `name`, `name[:, :, :1]` or `cat(name, name)`.

    >>> evaluate("cat(a, a[1:])", {"a": torch.arange(2)})
    tensor([0, 1, 1])
    """
    called = re.fullmatch(r"cat\((.*)\)", expression.strip())
    if called:
        parts = re.findall(r"[^,\[]+(?:\[[^\]]*\])?", called[1])
        return torch.cat([evaluate(part, tensors) for part in parts])
    name, index = re.fullmatch(r"([^\[\]]+)(?:\[([^\[\]]*)\])?", expression.strip()).groups()
    tensor = tensors[name.strip()]
    return tensor if index is None else tensor[tuple(map(_index, index.split(",")))]


def _index(text):
    text = text.strip()
    if text == "...":
        return ...
    if ":" in text:
        return slice(*(int(bound) if bound.strip() else None for bound in text.split(":")))
    return int(text)


@pytest.fixture(scope="module")
def tensors():
    return load_file(FOLDER / CASES_FILE)


@pytest.fixture(scope="module")
def model():
    video, audio = WEIGHTS["video_config"], WEIGHTS["audio_config"]
    model = IAPTransformer3DModel(
        patch_size=tuple(video["patch_size"]),
        in_channels=video["in_dim"],
        audio_in_channels=audio["in_dim"],
        num_attention_heads=video["num_heads"],
        attention_head_dim=video["dim"] // video["num_heads"],
        ffn_dim=video["ffn_dim"],
        num_layers=video["num_layers"],
        text_dim=video["text_dim"],
        freq_dim=video["freq_dim"],
        eps=video["eps"],
        audio_position_scale=audio["temporal_rope_scaling_factor"],
        face_position=video["x_prime_rope_offsets"][0],
        voice_position=audio["x_prime_rope_offsets"][0],
    )
    converted = convert_transformer_state_dict(load_file(FOLDER / WEIGHTS_FILE), video["num_layers"])
    model.load_state_dict(converted, strict=True)
    return model.eval()


def read_inputs(case, tensors):
    """Keyword arguments of `forward`, and the references apart."""
    named = case["inputs"]

    def latents(key):
        return None if named.get(key) is None else evaluate(named[key], tensors)

    def captions(key, text_len):
        if named.get(key) is None:
            return None
        texts = [evaluate(expression, tensors) for expression in named[key]]
        return torch.stack([F.pad(text, (0, 0, 0, text_len - text.shape[0])) for text in texts])

    video, audio = latents("vid"), latents("audio")
    video_caption = captions("vid_context", WEIGHTS["video_config"]["text_len"])
    audio_caption = captions("audio_context", WEIGHTS["audio_config"]["text_len"])
    present = video if video is not None else audio
    faces, voices = latents("id_images"), latents("spkid")
    identity = None
    if faces is not None or voices is not None:
        # Published: faces along the frame axis, the voices of one sample along the batch axis.
        faces = None if faces is None else faces.transpose(1, 2)
        identity = IAPIdentityInputs(face_latents=faces, voice_latents=None if voices is None else voices[None])
    kwargs = {
        "hidden_states": video,
        "audio_hidden_states": audio,
        "timestep": torch.as_tensor(case["t"]).expand(present.shape[0]),
        "encoder_hidden_states": audio_caption if video_caption is None else video_caption,
        "audio_encoder_hidden_states": audio_caption,
        # The published condition is `slg_layer > 0`.
        "skip_layers": (case["slg_layer"],) if case.get("slg_layer", -1) > 0 else (),
    }
    return kwargs, identity


@pytest.mark.parametrize("name", CASE_NAMES)
def test_outputs(model, tensors, name):
    kwargs, identity = read_inputs(CASES["cases"][name], tensors)
    with torch.no_grad():
        outputs = model(**kwargs, identity=identity, return_dict=False)
    compared = 0
    for tower, output in zip(Towers._fields, outputs, strict=True):
        expected = tensors.get(f"{name}/{tower}_out")
        assert (expected is None) == (output is None)
        if expected is not None:
            torch.testing.assert_close(output, expected, **TOLERANCE)
            compared += 1
    assert compared


@pytest.mark.parametrize("name", CASE_NAMES)
def test_constants_give_the_same_bits(model, tensors, name):
    kwargs, identity = read_inputs(CASES["cases"][name], tensors)
    with torch.no_grad():
        expected = model(**kwargs, identity=identity, return_dict=False)
        captions = (kwargs.pop("encoder_hidden_states"), kwargs.pop("audio_encoder_hidden_states"))
        memory = None
        if identity is not None:
            num_frames, num_audio_latents = kwargs["hidden_states"].shape[2], kwargs["audio_hidden_states"].shape[1]
            memory = model.encode_identity(identity, num_frames, num_audio_latents, skip_layers=kwargs["skip_layers"])
        known = {"caption_memory": model.encode_caption(*captions), "identity_memory": memory}
        outputs = model(**kwargs, **known, return_dict=False)
    for one, other in zip(outputs, expected, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


def record(model, kwargs, identity):
    """Everything a trace may name, under the names of the fixtures."""
    found = {}

    def before_first(_, args):
        target, _, identity, caption = args
        for tower in Towers._fields:
            found[f"embed/{tower}"] = getattr(target, tower).hidden_states
            found[f"temb/{tower}_e0"] = getattr(target, tower).time_modulation
            found[f"context/{tower}"] = getattr(caption, tower)
            if getattr(identity, tower) is not None:
                found[f"embed/{tower}_identity"] = getattr(identity, tower).hidden_states

    def after(index):
        def hook(_, args, output):
            target, _, identity = output
            for tower in Towers._fields:
                found[f"block{index}/{tower}"] = getattr(target, tower).hidden_states
                if getattr(identity, tower) is not None:
                    found[f"block{index}/{tower}_identity"] = getattr(identity, tower).hidden_states

        return hook

    handles = [model.blocks[0].register_forward_pre_hook(before_first)]
    handles += [block.register_forward_hook(after(index)) for index, block in enumerate(model.blocks)]
    for tower in Towers._fields:
        head = getattr(model, f"{tower}_head")
        handles.append(
            head.register_forward_pre_hook(lambda _, args, tower=tower: found.update({f"temb/{tower}_e": args[1]}))
        )
    with torch.no_grad():
        model(**kwargs, identity=identity)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("name", TRACED)
def test_traces(model, tensors, name):
    found = record(model, *read_inputs(CASES["cases"][name], tensors))
    prefix = f"{name}/trace/"
    traces = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    # Nobody reads what the last layer makes of identity tokens, so we do not make it.
    discarded = {f"block{len(model.blocks) - 1}/{tower}_identity" for tower in Towers._fields}
    compared = traces.keys() - discarded
    assert compared and compared <= found.keys()
    for key in compared:
        torch.testing.assert_close(found[key], traces[key], **TOLERANCE, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize("key", ROTARY_TABLES)
def test_rotary_tables(model, tensors, key):
    """The rotations that the model itself makes for a clip and references of the fixtures' sizes."""
    expected = tensors[key]
    stream = re.fullmatch(r"tables/(\w+)_rope_cos_sin", key)[1]
    config = model.config
    frames, rows, columns = CASES["face_grid_per_subject"] if stream == "face" else CASES["video_grid"]
    patch = config.patch_size
    num_tokens = expected.shape[0]
    video = torch.zeros(1, config.in_channels, frames * patch[0], rows * patch[1], columns * patch[2])
    audio = torch.zeros(1, num_tokens, config.audio_in_channels)
    num_faces = num_tokens // (rows * columns)
    identity = IAPIdentityInputs(
        face_latents=video[:, None, :, 0].expand(-1, num_faces, -1, -1, -1), voice_latents=audio[:, None]
    )
    seen = []
    handle = model.rope.register_forward_hook(lambda _, args, rotations: seen.append(rotations))
    with torch.no_grad():
        model(video, audio, torch.zeros(1), torch.zeros(1, 1, config.text_dim), identity=identity)
    handle.remove()
    # `[N, P, K / 2]`: references come one by one, a clip's tokens as one.
    made = dict(zip(("face", "voice", "video", "audio"), seen, strict=True))[stream].flatten(0, 1)
    num_pairs = expected.shape[1]
    # Positions in the hundreds times float32 frequencies: 1e-4 rad is what float32 can do.
    tolerance = {"atol": 1e-4, "rtol": 0}
    torch.testing.assert_close(torch.view_as_real(made[:, :num_pairs]).double(), expected, **tolerance)
    # The pairs that the fixture leaves out pass through.
    assert (made[:, num_pairs:] == 1).all()


@pytest.mark.skipif("tables/sinusoid" not in CASES.get("tensors", ()), reason="the fixtures hold no time sinusoid")
def test_time_sinusoid(model, tensors):
    seen = []
    embedder = model.video_condition_embedder
    handle = embedder.time_embedder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        embedder.embed_time(tensors["tables/sinusoid_timesteps"], torch.float32)
    handle.remove()
    torch.testing.assert_close(seen[0].double(), tensors["tables/sinusoid"], atol=1e-6, rtol=0)


def test_expressions():
    faces, voices = torch.randn(1, 2, 3), torch.randn(1, 2, 3)
    known = {"shared/faces": faces, "shared/voices": voices}
    assert torch.equal(evaluate("shared/faces", known), faces)
    assert torch.equal(evaluate("shared/faces[:, 1:, -1]", known), faces[:, 1:, -1])
    assert torch.equal(evaluate("shared/faces[..., 0]", known), faces[..., 0])
    both = torch.cat((faces[:, :, :1], voices[:, :, 1:2]))
    assert torch.equal(evaluate("cat(shared/faces[:, :, :1], shared/voices[:, :, 1:2])", known), both)
    with pytest.raises(KeyError):
        evaluate("somewhere/else", known)
