"""A folder of clips with random latents, and the smallest config that trains on it."""

import json
import wave

import numpy as np
import pytest
import torch
from PIL import Image

from iap_pipelines.data.latent_store import LatentShardWriter
from tests.pipelines.tiny_components import tiny_components


CHANNELS, AUDIO_CHANNELS = 4, 6
PEOPLE = [f"id-{i}" for i in range(6)]
SPLITS = dict.fromkeys(PEOPLE[:4], "train") | dict.fromkeys(PEOPLE[4:], "validation")
TRANSFORMER = {
    "in_channels": CHANNELS,
    "audio_in_channels": AUDIO_CHANNELS,
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "ffn_dim": 32,
    "num_layers": 2,
    "freq_dim": 16,
    "audio_embed_dim": 16,
    "audio_position_scale": 0.1,
    "identity_weights": {"video": "shared", "audio": "shared"},
    "identity_attention": "per_subject",
    "identity_position": "after_clip",
    "identity_span": 8,
    "num_identity_slots": 4,
}


def _clip(index):
    first = PEOPLE[index % 6]
    people = [first] if index % 3 else [first, PEOPLE[(index + 1) % 4 if index % 6 < 4 else 9 - index % 6]]
    sides = ["center"] if len(people) == 1 else ["left", "right"]
    looks = " ".join(f"<S{k}>: {side}, man with a {k}." for k, side in enumerate(sides, start=1))
    lines = " ".join(f'<S{k}> says: "red apple".' for k in range(1, len(people) + 1))
    return {
        "clip_id": f"clip-{index}",
        "file": f"clips/clip-{index}.mp4",
        "split": SPLITS[first],
        "height": 32,
        "width": 32 * len(people),
        "num_frames": 5,
        "frame_rate": 12.5,
        "subjects": [{"identity": person, "side": side} for person, side in zip(people, sides, strict=True)],
        "caption": f"Scene: green room. {looks} {lines}",
    }


def write_latents(folder, clips, channels, audio_channels):
    """Random latents of the clips and of everybody."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape):
        return torch.randn(shape, generator=generator)

    tensors = {}
    for clip in clips:
        height, width = clip["height"] // 16, clip["width"] // 16
        tensors[f"{clip['clip_id']}/video"] = noise(channels, 2, height, width)
        tensors[f"{clip['clip_id']}/frames"] = noise(3, channels, height, width)
        tensors[f"{clip['clip_id']}/audio"] = noise(6, audio_channels)
    for person in PEOPLE:
        tensors[f"{person}/faces"] = noise(3, channels, 2, 2)
        tensors[f"{person}/voice_0"] = noise(6, audio_channels)
        tensors[f"{person}/voice_1"] = noise(5, audio_channels)
    LatentShardWriter(folder, {}).write("all", tensors)


@pytest.fixture
def clip_folder(tmp_path):
    """Twelve clips of six people, with one and two of them."""
    folder = tmp_path / "world"
    folder.mkdir()
    clips = [_clip(i) for i in range(12)]
    (folder / "clips.jsonl").write_text("".join(json.dumps(clip) + "\n" for clip in clips))
    people = [{"identity": p, "split": SPLITS[p], "faces": [f"{p}.png"], "voices": [f"{p}.wav"]} for p in PEOPLE]
    (folder / "identities.jsonl").write_text("".join(json.dumps(person) + "\n" for person in people))

    for number, person in enumerate(PEOPLE):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{person}.png")
        with wave.open(str(folder / f"{person}.wav"), "wb") as file:
            file.setparams((1, 2, 16_000, 8_000, "NONE", None))
            file.writeframes(np.random.default_rng(number).integers(-9_000, 9_000, 8_000, dtype=np.int16).tobytes())

    write_latents(tmp_path / "latents", clips, CHANNELS, AUDIO_CHANNELS)
    return folder


@pytest.fixture
def config_values(clip_folder, tmp_path):
    """A joint stage, as the YAML file would say it."""
    return {
        "output": str(tmp_path / "run"),
        "seed": 3,
        "model": {
            "type": "new",
            "transformer": TRANSFORMER,
            "text_encoder": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2},
        },
        "stage": {"target": "clips", "trainable": ["video", "audio", "identity", "text_encoder"]},
        "data": {
            "folder": str(clip_folder),
            "latents": str(tmp_path / "latents"),
            "num_views": [1, 2],
            "voice_latents": [2, 6],
            "caption_length": 40,
        },
        "flow": {"sigmas": {"type": "logit_normal", "shift": 2.0}, "independent_times": 0.5, "num_draws": 2},
        "optimization": {"steps": 6, "batch_size": 4, "micro_batch_size": 2, "warmup_steps": 2},
        "run": {"log_every": 1, "checkpoint_every": 2},
    }


@pytest.fixture
def exporting(config_values, tmp_path):
    """A run of two steps that looks at its samples and exports."""
    components = tiny_components()
    for name in ("vae", "audio_vae", "vocoder"):
        components[name].save_pretrained(tmp_path / "codecs" / name)
    sizes = {
        "height": 32,
        "width": 32,
        "num_frames": 5,
        "num_inference_steps": 2,
        "face_size": 32,
        "max_voice_seconds": 0.5,
    }
    return config_values | {
        "optimization": config_values["optimization"] | {"steps": 2, "warmup_steps": 1},
        "validation": {"every": 2, "num_samples": 2, "num_inference_steps": 2},
        "export": {"codecs": str(tmp_path / "codecs"), "sizes_by_subjects": {"2": [32, 64]}} | sizes,
    }
