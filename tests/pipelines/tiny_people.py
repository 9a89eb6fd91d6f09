"""People for the tiny pipeline, and one way to run it."""

from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from iap_pipelines import IAPPipeline, Subject
from iap_pipelines.types import AudioSamples


SAMPLING_RATE = 16_000


class Clip(NamedTuple):
    """
    What a call with `output_type="latent"` returns: the cheapest thing that depends on everything but the decoders.
    """

    video: Tensor
    audio: Tensor


def face(seed: int, width: int = 40, height: int = 48) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


def voice(seed: int, seconds: float = 0.5, num_channels: int = 1) -> AudioSamples:
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (num_channels, round(seconds * SAMPLING_RATE)))
    return AudioSamples(torch.from_numpy(samples.astype(np.float32)), SAMPLING_RATE)


def person(seed: int, **changes: object) -> Subject:
    return Subject(**({"face": face(seed), "voice": voice(seed)} | changes))


def prompt_for(num_subjects: int) -> str:
    """Short enough for the tiny pipeline's 24 tokens, one of which is an anchor or a letter."""
    return "a. " + " ".join(f"<S{k}> hi" for k in range(1, num_subjects + 1))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def generate(pipe: IAPPipeline, prompt: object = None, subjects: object = None, **options: object) -> Clip:
    """Latents of a call; one step, always the same caption and noise, unless told otherwise."""
    if prompt is None and "prompt_embeds" not in options:
        identity = options.get("identity")
        counts = identity.num_subjects if identity is not None else [len(subjects or [])]
        prompt = prompt_for(counts[0])
    defaults = {"generator": seeded(), "output_type": "latent", "return_dict": False}
    if "sigmas" not in options:
        defaults["num_inference_steps"] = 1
    options = defaults | options
    return Clip(*pipe(prompt, subjects, **options))


def assert_equal(one: Clip, other: Clip) -> None:
    """Equal to the bit."""
    torch.testing.assert_close(one.video, other.video, rtol=0, atol=0)
    torch.testing.assert_close(one.audio, other.audio, rtol=0, atol=0)


def assert_close(one: Clip, other: Clip, atol: float = 2e-5) -> None:
    """Equal up to the rounding of other batch sizes."""
    torch.testing.assert_close(one.video, other.video, rtol=0, atol=atol)
    torch.testing.assert_close(one.audio, other.audio, rtol=0, atol=atol)


def difference(one: Clip, other: Clip) -> Clip:
    """Largest differences of picture and sound."""
    return Clip((one.video - other.video).abs().max(), (one.audio - other.audio).abs().max())


def assert_moved(one: Clip, other: Clip) -> None:
    """Both towers differ, far beyond rounding: what moves one reaches the other."""
    moved = difference(one, other)
    assert moved.video > 1e-4 and moved.audio > 1e-4, moved
