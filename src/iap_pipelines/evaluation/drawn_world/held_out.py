"""People whom no model has seen: their clips, their references, and prompts in which they play.

Prompts are those of the world's test clips, but looks are replaced by "woman" or "man", so that they must come from
the face that is given, and subjects are numbered at random, so that `<S1>` may stand on the right.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from iap_pipelines.data.conditions import permute_subjects
from iap_pipelines.evaluation.drawn_world.measuring import DrawnWorldRecognisers
from iap_pipelines.synthetic.sound import SAMPLING_RATE
from iap_pipelines.synthetic.world import World
from iap_pipelines.types import AudioSamples, StructuredCaption, Subject


GIVEN_REFERENCE = 0
"""Number of the face and of the voice that the generator is given; the gallery is made from the others."""
CONDITIONS = {"both": (True, True), "face": (True, False), "voice": (False, True), "nothing": (False, False)}
"""Per name, whether faces and whether voices are given."""


@dataclass(frozen=True)
class Scene:
    """A clip of the world, and what a generator is asked for in its place."""

    clip_index: int
    identities: tuple[int, ...]
    """from left to right"""
    caption: StructuredCaption
    """subjects in the order of `slots`"""
    slots: tuple[int, ...]
    """`slots[k]` is the place, from the left, of the person who is called `<S{k+1}>`"""

    @property
    def words(self) -> str:
        """Everything that is said, in order."""
        return " ".join(line.text for line in self.caption.lines)


class Gallery(NamedTuple):
    """One row per person."""

    identities: tuple[int, ...]
    faces: np.ndarray
    """unit vectors `[G, D]`"""
    voices: np.ndarray
    """unit vectors `[G, D]`"""

    def of(self, identities: Sequence[int]) -> "Gallery":
        """The rows of some of its people, in their order."""
        rows = [self.identities.index(identity) for identity in identities]
        return Gallery(tuple(identities), self.faces[rows], self.voices[rows])


def choose_scenes(world: World, num_people: int, count: int, seed: int, split: str = "test") -> list[Scene]:
    """
    Clips of a split with so many people, everybody's first one before anybody's second.

    Args:
        world: that the people live in.
        num_people: 1 or 2.
        count: of scenes.
        seed: of the numbering of the subjects.
        split: `train`, `validation` or `test`.

    Raises:
        ValueError: if the world has fewer such clips.
    """
    own_clips = clips_by_person(world, split, num_people)
    rounds = max(map(len, own_clips))
    indices = [clips[turn] for turn in range(rounds) for clips in own_clips if turn < len(clips)]
    if len(indices) < count:
        raise ValueError(
            f"`count` must be at most {len(indices)}, the world's {split} clips of {num_people}; got {count}."
        )
    return [_scene(world, index, seed) for index in indices[:count]]


def clips_by_person(world: World, split: str, num_people: int) -> list[list[int]]:
    """
    The clips with so many people in which each person of a split comes first, by person.

    Args:
        world: that the people live in.
        split: `train`, `validation` or `test`.
        num_people: in a clip.
    """
    per_person = world.config.clips_per_identity
    own = (range(first * per_person, (first + 1) * per_person) for first in world.identities(split))
    return [[index for index in clips if world.num_people(index) == num_people] for clips in own]


def _scene(world: World, clip_index: int, seed: int) -> Scene:
    record = world.describe_clip(clip_index)
    identities = tuple(int(subject["identity"].rpartition("-")[2]) for subject in record["subjects"])
    caption = StructuredCaption.parse(record["caption"])
    subjects = tuple(
        replace(subject, appearance=world.person(identity).kind)
        for subject, identity in zip(caption.subjects, identities, strict=True)
    )
    slots = tuple(np.random.default_rng([seed, clip_index]).permutation(len(identities)).tolist())
    return Scene(clip_index, identities, permute_subjects(replace(caption, subjects=subjects), slots), slots)


def subjects_of(world: World, scene: Scene, condition: str) -> list[Subject]:
    """
    Whom a generator is given for a scene, in the order of its slots.

    Args:
        world: that the people live in.
        scene: what is to be generated.
        condition: a key of `CONDITIONS`.
    """
    with_face, with_voice = CONDITIONS[condition]
    people = [scene.identities[slot] for slot in scene.slots]
    return [
        Subject(
            face=Image.fromarray(world.render_face(identity, GIVEN_REFERENCE)) if with_face else None,
            voice=_recording(world, identity) if with_voice else None,
        )
        for identity in people
    ]


def _recording(world: World, identity: int) -> AudioSamples:
    return AudioSamples(torch.from_numpy(world.speak_reference(identity, GIVEN_REFERENCE))[None], SAMPLING_RATE)


def make_gallery(world: World, recognisers: DrawnWorldRecognisers, identities: Sequence[int]) -> Gallery:
    """Embed the references that no generator is given: the mean of each person's pictures and of their recordings."""
    views = [view for view in range(world.config.num_reference_views) if view != GIVEN_REFERENCE]
    recordings = [number for number in range(world.config.num_reference_voices) if number != GIVEN_REFERENCE]
    faces, voices = [], []
    for identity in identities:
        pictures = np.stack([world.render_face(identity, view) for view in views])
        faces.append(recognisers.embed_faces(pictures, num_people=1)[0])
        spoken = [recognisers.embed_voice(world.speak_reference(identity, number)) for number in recordings]
        voices.append(np.mean(spoken, axis=0))
    voices = np.stack(voices)
    return Gallery(tuple(identities), np.stack(faces), voices / np.linalg.norm(voices, axis=1, keepdims=True))
