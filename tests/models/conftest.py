"""A real transformer, small enough to run hundreds of times, and people for it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from iap_pipelines.models.transformer_iap import IAPIdentityInputs, IAPTransformer3DModel


VIDEO_CHANNELS, AUDIO_CHANNELS, TEXT_DIM = 4, 6, 16
TINY = {
    "in_channels": VIDEO_CHANNELS,
    "audio_in_channels": AUDIO_CHANNELS,
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "ffn_dim": 32,
    "num_layers": 3,
    "text_dim": TEXT_DIM,
    "freq_dim": 16,
    "audio_embed_dim": 32,
}
EXTENDED = {"identity_attention": "per_subject", "identity_position": "after_clip", "num_identity_slots": 4}
"""Our own semantics, where the defaults are the published ones."""


class Person(NamedTuple):
    """One subject's references: views `[V, C, h, w]` and speech `[l, C_audio]`; `None` is not there."""

    subject: int
    views: Tensor | None = None
    voice: Tensor | None = None


def _draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _person(subject: int, num_views: int = 1, voice_length: int = 5, seed: int | None = None) -> Person:
    seed = 100 + subject if seed is None else seed
    views = _draw(seed, num_views, VIDEO_CHANNELS, 4, 4) if num_views else None
    return Person(subject, views, _draw(seed + 50, voice_length, AUDIO_CHANNELS) if voice_length else None)


def _gather(
    samples: Sequence[Sequence[Person]], padding: float = 3.0, padding_first: bool = False
) -> IAPIdentityInputs:
    """Batch people; `padding` is what stands where nobody is, to show that nobody reads it."""
    faces = [[(p.subject, view) for p in people if p.views is not None for view in p.views] for people in samples]
    voices = [[(p.subject, p.voice) for p in people if p.voice is not None] for people in samples]
    inputs = IAPIdentityInputs()
    if any(faces):
        latents, subjects, mask = _pad(faces, (VIDEO_CHANNELS, 4, 4), padding, padding_first)
        inputs = inputs._replace(face_latents=latents, face_subjects=subjects, face_mask=mask)
    if any(voices):
        length = max(voice.shape[0] for sample in voices for _, voice in sample)
        latents, subjects, mask = _pad(voices, (length, AUDIO_CHANNELS), padding, padding_first)
        lengths = torch.zeros_like(subjects)
        for row, sample in enumerate(voices):
            columns = mask[row].nonzero()[:, 0].tolist()
            for column, (_, voice) in zip(columns, sample, strict=True):
                lengths[row, column] = voice.shape[0]
        voice_mask = torch.arange(length) < lengths[..., None]
        inputs = inputs._replace(voice_latents=latents, voice_subjects=subjects, voice_mask=voice_mask)
    return inputs


def _pad(
    samples: Sequence[Sequence[tuple[int, Tensor]]], shape: tuple[int, ...], padding: float, padding_first: bool
) -> tuple[Tensor, Tensor, Tensor]:
    num_entries = max(map(len, samples))
    values = torch.full((len(samples), num_entries, *shape), padding)
    subjects = torch.zeros(len(samples), num_entries, dtype=torch.long)
    mask = torch.zeros(len(samples), num_entries, dtype=torch.bool)
    for row, sample in enumerate(samples):
        first = num_entries - len(sample) if padding_first else 0
        for column, (subject, value) in enumerate(sample, start=first):
            values[row, column, : value.shape[0]] = value
            subjects[row, column], mask[row, column] = subject, True
    return values, subjects, mask


@pytest.fixture
def tiny_config() -> dict[str, Any]:
    return dict(TINY)


@pytest.fixture
def extended_config() -> dict[str, Any]:
    return {**TINY, **EXTENDED}


@pytest.fixture
def make_transformer() -> Callable[..., IAPTransformer3DModel]:
    """`make_transformer(**config)`: the same weights for the same configuration, in eval mode."""

    def make(**config: Any) -> IAPTransformer3DModel:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return IAPTransformer3DModel(**{**TINY, **config}).eval()

    return make


@pytest.fixture
def make_inputs() -> Callable[..., dict[str, Tensor]]:
    """`make_inputs(batch_size, seed)`: everything `forward` needs except people."""

    def make(batch_size: int = 1, seed: int = 0, num_frames: int = 3, num_audio_latents: int = 8) -> dict[str, Tensor]:
        return {
            "hidden_states": _draw(seed, batch_size, VIDEO_CHANNELS, num_frames, 4, 4),
            "audio_hidden_states": _draw(seed + 1, batch_size, num_audio_latents, AUDIO_CHANNELS),
            "timestep": torch.linspace(900, 300, batch_size),
            "encoder_hidden_states": _draw(seed + 2, batch_size, 6, TEXT_DIM),
        }

    return make


@pytest.fixture
def make_person() -> Callable[..., Person]:
    """`make_person(subject, num_views, voice_length, seed)`."""
    return _person


@pytest.fixture
def gather() -> Callable[..., IAPIdentityInputs]:
    """`gather(samples, padding, padding_first)`: lists of [`Person`] per sample into one batch, always with masks."""
    return _gather


@pytest.fixture
def two_people() -> IAPIdentityInputs:
    """One sample with two subjects, each with a face and a voice; no masks."""
    return IAPIdentityInputs(_draw(7, 1, 2, VIDEO_CHANNELS, 4, 4), voice_latents=_draw(8, 1, 2, 5, AUDIO_CHANNELS))
