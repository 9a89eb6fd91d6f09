"""What the recognisers learn from, drawn and spoken once and kept as arrays.

Letters: N pictures, H height, W width, U utterances, S samples.
"""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from iap_pipelines.data.reconstruction import CodecReconstruction
from iap_pipelines.synthetic import VoiceBank, World, WorldConfig, fill_bank
from iap_pipelines.synthetic.people import draw_person, person_kind
from iap_pipelines.synthetic.rendering import snapshot
from iap_pipelines.synthetic.scenes import face_region
from iap_pipelines.synthetic.sound import SAMPLING_RATE, resample
from iap_pipelines.synthetic.speech import lay_out
from iap_pipelines.synthetic.vocabulary import SPOKEN_WORDS
from iap_pipelines.training.recognisers.config import MaterialSettings


logger = logging.getLogger(__name__)

REGION_SIZE = (96, 80)
"""Height and width that faces are kept in."""
THROATS = (0.93, 1.0, 1.075)
"""Each voice is also heard a little lower and higher, as another identity: the world makes voices in the same way, and
two people there who share a blend are about a fifth apart."""
_UTTERANCE_SAMPLES = 2 * SAMPLING_RATE
_MAX_WORDS = 4
_HISS = 0.0006
_STILLS, _COMPANY, _SPEECH, _CODED = range(4)
_CODING_BATCH = 16
_OTHER_WORLD = 70_000
"""Added to the seed: worlds of users have small ones."""


class Faces(NamedTuple):
    """Pictures of heads with who it is, and how far the mouth is open where that is known."""

    pictures: np.ndarray
    """uint8 `[N, H, W, 3]`"""
    identities: np.ndarray
    """int `[N]`"""
    openings: np.ndarray
    """float32 `[N]` in [0, 1], NaN where it is not known"""


class Speech(NamedTuple):
    """Utterances with who speaks, and which words."""

    samples: np.ndarray
    """int16 `[U, S]`"""
    identities: np.ndarray
    """int `[U]`"""
    words: np.ndarray
    """int `[U, W]`, places in the vocabulary from 1, padded with -100"""
    spans: np.ndarray
    """int `[U, 2]`, first and last sample of speech"""


def load_world(folder: Path, voices: Path | None = None) -> World:
    """
    The world that a folder was written from.

    Args:
        folder: with `world.json`.
        voices: its voice bank; `voices` in the folder if `None`.
    """
    config = WorldConfig.from_dict(json.loads((Path(folder) / "world.json").read_text())["config"])
    return World(config, VoiceBank(voices or Path(folder) / "voices"))


def prepare_faces(folder: Path, codecs: CodecReconstruction, settings: MaterialSettings, seed: int) -> Faces:
    """
    Draw stills and clips of people who live nowhere else, or read them if they are there.

    Args:
        folder: of arrays.
        codecs: that coded pictures go through.
        settings: how many of what.
        seed: of everything random.
    """
    folder = Path(folder)
    stills = _kept(folder / "stills.npz", Faces, lambda: _draw_stills(codecs, settings, seed))
    clips = _kept(folder / "clips.npz", Faces, lambda: _draw_clips(folder / "voices", codecs, settings, seed))
    clips = clips._replace(identities=clips.identities + settings.num_people)
    return Faces(*(np.concatenate(pair) for pair in zip(stills, clips, strict=True)))


def prepare_speech(
    folder: Path, world: World, codecs: CodecReconstruction, settings: MaterialSettings, seed: int
) -> Speech:
    """Let the training split's voices speak, or read what they said; see [`prepare_faces`]."""
    return _kept(Path(folder) / "speech.npz", Speech, lambda: _speak(world, codecs, settings, seed))


def cut_faces(frames: np.ndarray, num_people: int) -> np.ndarray:
    """
    Cut every person's head out of the pictures of a clip.

    Args:
        frames: uint8 `[F, H, W, 3]` with that many people side by side.
        num_people: 1 to 3.

    Returns:
        uint8 `[F, num_people, 96, 80, 3]`.
    """
    height, width = frames.shape[1:3]
    boxes = [face_region(position, num_people, height, width) for position in range(num_people)]
    size = REGION_SIZE[::-1]
    return np.stack(
        [
            [np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR, box=box)) for box in boxes]
            for frame in frames
        ]
    )


def _draw_stills(codecs: CodecReconstruction, settings: MaterialSettings, seed: int) -> Faces:
    """People alone and in company; everyone appears `pictures_per_person` times, each time coded or not."""
    people = [
        draw_person(person_kind(index), np.random.default_rng([seed, _STILLS, index]))
        for index in range(settings.num_people)
    ]
    generator, config = np.random.default_rng([seed, _COMPANY]), WorldConfig()
    heads, identities, batches = [], [], {1: [], 2: [], 3: []}
    for _ in range(settings.pictures_per_person):
        order = [int(index) for index in generator.permutation(len(people))]
        while order:
            count = min(int(generator.integers(1, 4)), len(order))
            shown, order = order[:count], order[count:]
            picture = snapshot(
                [people[index] for index in shown], generator, height=config.height, width=config.width(count)
            )
            if generator.random() < settings.coded_share:
                batches[count].append((picture, shown))
            else:
                heads.append(cut_faces(picture[None], count)[0])
                identities.extend(shown)
    noise = torch.Generator().manual_seed(seed)
    for count, batch in batches.items():
        for start in range(0, len(batch), _CODING_BATCH):
            pictures = torch.from_numpy(np.stack([picture for picture, _ in batch[start : start + _CODING_BATCH]]))
            strength = float(generator.uniform(0, settings.latent_noise))
            coded = codecs.stills(pictures, noise=strength, generator=noise).numpy()
            heads.append(cut_faces(coded, count).reshape(-1, *REGION_SIZE, 3))
            identities.extend(index for _, shown in batch[start : start + _CODING_BATCH] for index in shown)
    unknown = np.full(len(identities), np.nan, np.float32)
    return Faces(np.concatenate(heads), np.array(identities), unknown)


def _draw_clips(voices: Path, codecs: CodecReconstruction, settings: MaterialSettings, seed: int) -> Faces:
    """
    Every frame of one clip of everybody in a new world, as drawn and as coded. Its voices buzz: they only move mouths.
    """
    config = WorldConfig(
        num_identities=settings.num_clips,
        seed=_OTHER_WORLD + seed,
        held_out_share=0.0,
        voice_backend="formant",
    )
    world = World(config, fill_bank(voices, config.num_identities, config.seed, voice_backend="formant"))
    # One clip of each person; every kind of clip (one, two, three people) in turn.
    chosen = [
        person * config.clips_per_identity + person % config.clips_per_identity
        for person in range(config.num_identities)
    ]
    generator, noise = np.random.default_rng([seed, _CODED]), torch.Generator().manual_seed(seed + 1)
    parts = []
    for clip in map(world.render_clip, chosen):
        people = [int(subject["identity"].rpartition("-")[2]) for subject in clip.record["subjects"]]
        strength = float(generator.uniform(0, settings.latent_noise))
        coded = codecs.video(torch.from_numpy(clip.frames), noise=strength, generator=noise).numpy()
        for frames in (clip.frames, coded):
            pictures = cut_faces(frames, len(people)).reshape(-1, *REGION_SIZE, 3)
            parts.append(Faces(pictures, np.tile(people, len(frames)), clip.mouth_opening.reshape(-1)))
    return Faces(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _speak(world: World, codecs: CodecReconstruction, settings: MaterialSettings, seed: int) -> Speech:
    generator, noise = np.random.default_rng([seed, _SPEECH]), torch.Generator().manual_seed(seed + 2)
    missing = set(world.bank.missing(world.config.num_identities))
    voices = [identity for identity in world.identities("train") if identity not in missing]
    logger.info("%d of %d voices of the training split are in the bank", len(voices), len(world.identities("train")))
    vocabulary = list(SPOKEN_WORDS)
    samples, identities, words, spans = [], [], [], []
    for number in range(settings.num_utterances):
        identity = number % (len(voices) * len(THROATS))
        voice, throat = voices[identity // len(THROATS)], THROATS[identity % len(THROATS)]
        bank = {
            word: resample(piece, SAMPLING_RATE * throat, SAMPLING_RATE)
            for word, piece in world.bank.words(voice).items()
        }
        said, utterance = _say(bank, vocabulary, generator)
        identities.append(identity)
        words.append([vocabulary.index(word) + 1 for word in said] + [-100] * (_MAX_WORDS - len(said)))
        spans.append([round(time * SAMPLING_RATE) for time in (utterance.words[0].start, utterance.words[-1].end)])
        hiss = _HISS * generator.standard_normal(_UTTERANCE_SAMPLES)
        samples.append(np.clip(utterance.tracks[0] + hiss, -1, 1).astype(np.float32))
    samples = np.stack(samples)
    coded = np.flatnonzero(generator.random(len(samples)) < settings.coded_share)
    for start in range(0, len(coded), _CODING_BATCH):
        batch = coded[start : start + _CODING_BATCH]
        strength = float(generator.uniform(0, settings.latent_noise))
        samples[batch] = codecs.sound(torch.from_numpy(samples[batch]), noise=strength, generator=noise).numpy()
    samples = np.round(samples * 32767).astype(np.int16)
    return Speech(samples, np.array(identities), np.array(words), np.array(spans))


def _say(bank: dict[str, np.ndarray], vocabulary: list[str], generator: np.random.Generator) -> tuple:
    """Random words, as many as are drawn and fit; returns them and the utterance."""
    count = int(generator.integers(1, _MAX_WORDS + 1))
    said = [str(word) for word in generator.choice(vocabulary, count, replace=False)]
    while True:
        utterance = lay_out([(0, tuple(said))], [bank], _UTTERANCE_SAMPLES, generator)
        if utterance is not None:
            return said, utterance
        if len(said) == 1:
            raise ValueError(f"The word {said[0]!r} does not fit into {_UTTERANCE_SAMPLES / SAMPLING_RATE} s.")
        said.pop()


def _kept(path: Path, kind: type, make: Callable[[], Faces | Speech]) -> Faces | Speech:
    """Read arrays, or make them and write them down whole."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, **make()._asdict())
        os.replace(partial, path)
    with np.load(path) as stored:
        return kind(**{name: stored[name] for name in kind._fields})
