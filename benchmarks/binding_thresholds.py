"""From where on a face, a voice and a mouth are somebody's in `binding`: found on the validation people of a world.

Every threshold of the settings is the one at which a model refuses as many genuine pairs as it accepts swapped ones
(equal errors). For faces and lips over clips of one person each: a clip with the references of its person, against
those of the others; a clip with its own sound, against the sounds of others. For voices over what is said in 1, 2, 3
and 6 words, because short speech says less about who speaks. Test people, with whom generators are scored, are not
looked at. Prints a row per threshold, with the errors there and at the value of the settings now.

    python -m benchmarks.binding_thresholds --world data/world

finds those of the benchmark `drawn-world`. `--settings mine.yaml --height 258` finds those of other models, which have
to see more pixels.
"""

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.measuring import markdown_table
from iap_pipelines.assets import find_benchmark
from iap_pipelines.evaluation.drawn_world.held_out import GIVEN_REFERENCE, clips_by_person
from iap_pipelines.evaluation.functional import equal_error_rate, equal_error_threshold, template
from iap_pipelines.evaluation.listener import Listener
from iap_pipelines.evaluation.loading import load_models
from iap_pipelines.evaluation.models import EvaluationModels, NotMeasured
from iap_pipelines.evaluation.observer import ClipObserver
from iap_pipelines.evaluation.people import Turn
from iap_pipelines.evaluation.settings import EvaluationSettings
from iap_pipelines.evaluation.speaking import find_speaking_faces
from iap_pipelines.synthetic import World
from iap_pipelines.synthetic.sound import SAMPLING_RATE
from iap_pipelines.synthetic.speech import lay_out
from iap_pipelines.training.recognisers.material import load_world
from iap_pipelines.types import AudioSamples, VideoFrames


NUM_STRANGERS = 4
"""Whose sounds each mouth is compared with, beside its own."""
NUM_WORDS = (1, 2, 3, 6)
"""In the utterances that voices are compared by."""
_SECONDS_PER_WORD = 1.5
"""More than any word lasts, with the pause before it."""


class Pairs(NamedTuple):
    """Scores of one threshold."""

    threshold: str
    """name of the setting"""
    genuine: list[float]
    swapped: list[float]
    seconds: float | None = None
    """mean length of what was compared, where the threshold depends on it"""


class Observed(NamedTuple):
    """One clip of one person."""

    person: int
    observer: ClipObserver


def measure(world: World, models: EvaluationModels, num_clips: int, num_utterances: int) -> list[Pairs]:
    """Genuine and swapped scores of every threshold.

    Args:
        world: whose validation people are taken.
        models: who looks and listens.
        num_clips: of each person.
        num_utterances: of each person, for each number of words.
    """
    faces, lips = Pairs("min_face_similarity", [], []), Pairs("min_lip_agreement", [], [])
    clips = [
        Observed(index // world.config.clips_per_identity, _observe(world, index, models))
        for own in clips_by_person(world, "validation", 1)
        for index in own[:num_clips]
    ]
    references = {person: _Reference(world, person, models) for person in world.identities("validation")}
    for number, clip in enumerate(tqdm(clips, desc="clips", mininterval=2)):
        seen = clip.observer.embed_faces("face_embedder")[0]
        for person, reference in references.items():
            side = faces.genuine if person == clip.person else faces.swapped
            side.append(float(np.nanmean(seen @ reference.face)))
        following = [*clips[number + 1 :], *clips[:number]]
        strangers = [other for other in following if other.person != clip.person][:NUM_STRANGERS]
        _compare_sounds(clip, [clip, *strangers], lips)
    voices = [compare_voices(world, references, models, count, num_utterances) for count in NUM_WORDS]
    return [faces, *voices, lips]


def compare_voices(
    world: World, references: dict[int, "_Reference"], models: EvaluationModels, num_words: int, num_utterances: int
) -> Pairs:
    """Random words of everybody with the references of everybody."""
    pairs, seconds = Pairs("min_voice_similarity", [], []), []
    for person, number in ((person, number) for person in references for number in range(num_utterances)):
        generator = np.random.default_rng([world.config.seed, person, num_words, number])
        samples = _say(world, person, num_words, generator)
        seconds.append(len(samples) / SAMPLING_RATE)
        audio = AudioSamples(torch.from_numpy(samples)[None], SAMPLING_RATE)
        voice = models.require("voice_embedder").embed(audio)
        for other, reference in references.items():
            (pairs.genuine if other == person else pairs.swapped).append(float(voice @ reference.voice))
    return pairs._replace(seconds=float(np.mean(seconds)))


def _say(world: World, person: int, num_words: int, generator: np.random.Generator) -> np.ndarray:
    """From the first word to the last one, mono float32 ``[N]``."""
    bank = world.bank.words(person)
    words = tuple(str(word) for word in generator.permutation(list(bank))[:num_words])
    count = round(num_words * _SECONDS_PER_WORD * SAMPLING_RATE)
    utterance = lay_out([(0, words)], [bank], count, generator)
    if utterance is None:
        raise ValueError(f"Voice {person} is too slow: {num_words} words do not fit into {count / SAMPLING_RATE} s.")
    first, last = (round(time * SAMPLING_RATE) for time in (utterance.words[0].start, utterance.words[-1].end))
    return np.clip(utterance.tracks[0, first:last], -1, 1)


class _Reference:
    """What a generator would be given of a person."""

    def __init__(self, world: World, person: int, models: EvaluationModels) -> None:
        picture = world.render_face(person, GIVEN_REFERENCE)
        (face, *_), embedder = models.require("face_detector").detect(picture), models.require("face_embedder")
        self.face = template(embedder.embed(picture, face))
        sound = _listen(world.speak_reference(person, GIVEN_REFERENCE), models)
        self.voice = template(sound.embed_voice("voice_embedder", sound.speech))


def _compare_sounds(clip: Observed, others: Iterable[Observed], found: Pairs) -> None:
    for other in others:
        heard = clip.observer.with_sound(other.observer.sound)
        speaking = find_speaking_faces(heard.sync_scores, [Turn(span, 0) for span in heard.sound.speech])
        agreements = [] if speaking is None else [value for value in speaking.agreements if value is not None]
        side = found.genuine if other is clip else found.swapped
        side.extend(agreements[:1])  # one voice and one face agree as a whole


def _observe(world: World, clip_index: int, models: EvaluationModels) -> ClipObserver:
    clip = world.render_clip(clip_index)
    audio = AudioSamples(torch.from_numpy(clip.samples)[None], SAMPLING_RATE)
    return ClipObserver(VideoFrames(torch.from_numpy(clip.frames), world.config.frame_rate), audio, models)


def _listen(samples: np.ndarray, models: EvaluationModels) -> Listener:
    audio = AudioSamples(torch.from_numpy(samples)[None], SAMPLING_RATE)
    return Listener(audio, audio.duration_seconds, models)


def rows(found: Iterable[Pairs], settings: EvaluationSettings) -> list[list[str]]:
    """A row per threshold; without pairs of both kinds, only what is set now."""
    table = []
    for pairs in found:
        now = getattr(settings, pairs.threshold)
        if pairs.seconds is not None:
            now = settings.thresholds.voice_similarity_at(pairs.seconds)
        name = f"`{pairs.threshold}`" + (f" at {pairs.seconds:.2f} s" if pairs.seconds is not None else "")
        cells = [name, str(len(pairs.genuine)), str(len(pairs.swapped)), f"{now:.3g}"]
        if pairs.genuine and pairs.swapped:
            genuine, swapped = np.array(pairs.genuine), np.array(pairs.swapped)
            cells.append(f"{(genuine < now).mean():.1%} / {(swapped >= now).mean():.1%}")
            cells += [f"{equal_error_threshold(genuine, swapped):.3f}", f"{equal_error_rate(genuine, swapped):.1%}"]
        table.append(cells + ["null"] * (7 - len(cells)))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, required=True, help="folder that `iap synthesize` wrote")
    parser.add_argument("--voices", type=Path, help="its voice bank, if that is not in the folder")
    parser.add_argument("--settings", type=Path, help="YAML of `iap evaluate`; that of the drawn world if not given")
    parser.add_argument("--height", type=int, default=96, help="pixels; faces are drawn anew (%(default)s)")
    parser.add_argument("--frames", type=int, default=25, help="per clip (%(default)s)")
    parser.add_argument("--lines", type=int, default=1, help="that are said in a clip (%(default)s)")
    parser.add_argument("--clips", type=int, default=4, help="of each person (%(default)s)")
    parser.add_argument("--utterances", type=int, default=16, help="of each person and number of words (%(default)s)")
    args = parser.parse_args()
    settings = EvaluationSettings.load(args.settings or find_benchmark("drawn-world") / "settings.yaml")
    world = load_world(args.world, args.voices)
    config = replace(world.config, height=args.height, num_frames=args.frames, lines_per_turn=args.lines)
    try:
        found = measure(World(config, world.bank), load_models(settings), args.clips, args.utterances)
    except NotMeasured as reason:
        parser.error(str(reason))
    header = ["threshold", "genuine", "swapped", "set now", "refused / accepted now", "equal errors at", "error"]
    print(markdown_table(header, rows(found, settings)))


if __name__ == "__main__":
    main()
