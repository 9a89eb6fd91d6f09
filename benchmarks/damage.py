"""Clips of the drawn world with one kind of damage each, of a known amount, and nothing else changed.

Every kind goes in steps from none to all of it; the first step is the clip as it is.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from iap_pipelines.evaluation.drawn_world.held_out import GIVEN_REFERENCE
from iap_pipelines.synthetic import World
from iap_pipelines.synthetic.sound import SAMPLING_RATE
from iap_pipelines.synthetic.vocabulary import SPOKEN_WORDS
from iap_pipelines.synthetic.world import SyntheticClip


SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
DELAYS_MS = (0, 80, 160, 240, 320, 400)
NOISE_LEVELS = (0.0, 0.05, 0.1, 0.2, 0.4)
_WORDS = tuple(SPOKEN_WORDS)

KINDS = {
    "faces": "share of another person's face",
    "faces over time": "share of another person's face at the end",
    "pasted picture": "share of the given picture",
    "late sound": "delay, ms",
    "held pictures": "share of the pictures that stand still",
    "voices": "share of the words in another voice",
    "words": "share of the words that are others",
    "noise": "level of noise, share of the speech",
}
"""What is done to clips, and the unit of its amount."""


@dataclass(frozen=True)
class Damaged:
    """One clip with a known amount of one kind of damage."""

    kind: str
    step: float
    """the amount that was asked for; equal for all clips"""
    amount: float
    """the amount that it came to: words cannot be halved"""
    frames: np.ndarray
    """uint8 ``[F, H, W, 3]``"""
    samples: np.ndarray
    """float32 ``[N]``"""


def another_person(world: World, person: int) -> int:
    """Somebody else of the same split, of the same kind where there is one."""
    same = [index for index in world.identities(world.split_of(person)) if index != person]
    alike = [index for index in same if world.person(index).kind == world.person(person).kind] or same
    return alike[0]


def damaged_clips(world: World, clip_index: int) -> Iterator[Damaged]:
    """Every step of every kind of damage of a clip that shows one person."""
    clip = world.render_clip(clip_index)
    person = clip_index // world.config.clips_per_identity
    other = another_person(world, person)
    yield from _pictures(world, clip, person, _with_face_of(world, person, other).render_clip(clip_index).frames)
    yield from _held(clip)
    yield from _late(clip)
    yield from _said_anew("voices", clip, world.bank.words(other), lambda word: word)
    yield from _said_anew("words", clip, world.bank.words(person), _other_word)
    yield from _noisy(clip, np.random.default_rng([world.config.seed, clip_index]))


def _with_face_of(world: World, person: int, other: int) -> World:
    """The same world, in which one person looks like another."""
    changed = copy.copy(world)
    changed.people = list(world.people)
    changed.people[person] = world.people[other]
    return changed


def _pictures(world: World, clip: SyntheticClip, person: int, stranger: np.ndarray) -> Iterator[Damaged]:
    """Blends: with the same pictures of another person, at once or more and more, and with the picture given."""
    given = world.render_face(person, GIVEN_REFERENCE)[None]
    growing = np.linspace(0, 1, len(clip.frames))[:, None, None, None]
    for share in SHARES:
        yield Damaged("faces", share, share, _blend(clip.frames, stranger, share), clip.samples)
        yield Damaged("faces over time", share, share, _blend(clip.frames, stranger, share * growing), clip.samples)
        yield Damaged("pasted picture", share, share, _blend(clip.frames, given, share), clip.samples)


def _blend(frames: np.ndarray, others: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    return np.round((1 - share) * frames + share * others).astype(np.uint8)


def _held(clip: SyntheticClip) -> Iterator[Damaged]:
    """The last pictures are replaced by the one before them."""
    for share in SHARES:
        last = round((1 - share) * (len(clip.frames) - 1))
        frames = clip.frames[np.minimum(np.arange(len(clip.frames)), last)]
        yield Damaged("held pictures", share, share, frames, clip.samples)


def _late(clip: SyntheticClip) -> Iterator[Damaged]:
    for delay_ms in DELAYS_MS:
        silence = np.zeros(round(delay_ms / 1000 * SAMPLING_RATE), np.float32)
        late = np.concatenate([silence, clip.samples])[: len(clip.samples)]
        yield Damaged("late sound", delay_ms, delay_ms, clip.frames, late)


def _said_anew(
    kind: str, clip: SyntheticClip, bank: dict[str, np.ndarray], said_instead: Callable[[str], str]
) -> Iterator[Damaged]:
    """The last words come from a bank, at the times of those that they replace."""
    words = [word for line in clip.record["lines"] for word in line["words"]]
    for share in SHARES:
        count = round(share * len(words))
        samples = clip.samples.copy()
        for word in words[len(words) - count :]:
            first, last = round(word["start"] * SAMPLING_RATE), round(word["end"] * SAMPLING_RATE)
            piece = bank[said_instead(word["word"])][: last - first]
            samples[first:last] = 0
            samples[first : first + len(piece)] = piece
        yield Damaged(kind, share, count / len(words), clip.frames, samples)


def _other_word(word: str) -> str:
    return _WORDS[(_WORDS.index(word) + len(_WORDS) // 2) % len(_WORDS)]


def _noisy(clip: SyntheticClip, generator: np.random.Generator) -> Iterator[Damaged]:
    """White noise, as a share of the root mean square of the sound."""
    noise = generator.standard_normal(len(clip.samples)) * np.sqrt(np.mean(clip.samples**2))
    for level in NOISE_LEVELS:
        samples = np.clip(clip.samples + level * noise, -1, 1).astype(np.float32)
        yield Damaged("noise", level, level, clip.frames, samples)
