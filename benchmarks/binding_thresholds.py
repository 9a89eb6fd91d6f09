"""From where on a face, a voice and a mouth are somebody's in `binding`: found on the validation people of a world.

Every threshold of the settings is the one at which a model refuses as many genuine pairs as it accepts swapped ones
(equal errors), over clips of one person each: a clip with the references of its person, against those of the others;
for lips, a clip with its own sound, against the sounds of others. Test people, with whom generators are scored, are
not looked at. Prints a row per threshold, with the errors there and at the value of the settings now.

    python -m benchmarks.binding_thresholds --world data/world
    python -m benchmarks.binding_thresholds --world data/world --frames 75 --lines 3 --clips 2

find those of the benchmark `drawn-world`: on clips as it asks for, and on longer ones, in which voices are compared as
a whole too. `--settings mine.yaml --height 258` finds those of other models, which have to see more pixels.
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
from iap_pipelines.evaluation.clip_voices import LONG_SECONDS
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
from iap_pipelines.training.recognisers.material import load_world
from iap_pipelines.types import AudioSamples, VideoFrames


NUM_STRANGERS = 4
"""Whose sounds each mouth is compared with, beside its own."""
THRESHOLDS = ("min_face_similarity", "min_piece_similarity", "min_voice_similarity", "min_lip_agreement")


class Pairs(NamedTuple):
    """Scores of one threshold."""

    genuine: list[float]
    swapped: list[float]


class Observed(NamedTuple):
    """One clip of one person."""

    person: int
    observer: ClipObserver


def measure(world: World, models: EvaluationModels, num_clips: int) -> dict[str, Pairs]:
    """Genuine and swapped scores of every threshold.

    Args:
        world: whose validation people are taken.
        models: who looks and listens.
        num_clips: of each person.
    """
    found = {name: Pairs([], []) for name in THRESHOLDS}
    clips = [
        Observed(index // world.config.clips_per_identity, _observe(world, index, models))
        for own in clips_by_person(world, "validation", 1)
        for index in own[:num_clips]
    ]
    references = {person: _Reference(world, person, models) for person in world.identities("validation")}
    for number, clip in enumerate(tqdm(clips, desc="clips", mininterval=2)):
        _compare_identities(clip, references, found)
        following = [*clips[number + 1 :], *clips[:number]]
        strangers = [other for other in following if other.person != clip.person][:NUM_STRANGERS]
        _compare_sounds(clip, [clip, *strangers], found["min_lip_agreement"])
    return found


class _Reference:
    """What a generator would be given of a person."""

    def __init__(self, world: World, person: int, models: EvaluationModels) -> None:
        picture = world.render_face(person, GIVEN_REFERENCE)
        (face, *_), embedder = models.require("face_detector").detect(picture), models.require("face_embedder")
        self.face = template(embedder.embed(picture, face))
        sound = _listen(world.speak_reference(person, GIVEN_REFERENCE), models)
        self.voice = template(sound.embed_voice("voice_embedder", sound.speech))


def _compare_identities(clip: Observed, references: dict[int, _Reference], found: dict[str, Pairs]) -> None:
    sound = clip.observer.sound
    faces = clip.observer.embed_faces("face_embedder")[0]
    whole = sound.embed_voice("voice_embedder", sound.speech)
    is_long = sum(span.duration for span in sound.speech) >= LONG_SECONDS
    for person, reference in references.items():
        swapped = person != clip.person
        found["min_face_similarity"][swapped].append(float(np.nanmean(faces @ reference.face)))
        found["min_piece_similarity"][swapped].extend((sound.window_voices @ reference.voice).tolist())
        if is_long:
            found["min_voice_similarity"][swapped].append(float(whole @ reference.voice))


def _compare_sounds(clip: Observed, others: Iterable[Observed], found: Pairs) -> None:
    for other in others:
        heard = clip.observer.with_sound(other.observer.sound)
        speaking = find_speaking_faces(heard.sync_scores, [Turn(span, 0) for span in heard.sound.speech])
        agreements = [] if speaking is None else [value for value in speaking.agreements if value is not None]
        found[other is not clip].extend(agreements[:1])  # one voice and one face agree as a whole


def _observe(world: World, clip_index: int, models: EvaluationModels) -> ClipObserver:
    clip = world.render_clip(clip_index)
    audio = AudioSamples(torch.from_numpy(clip.samples)[None], SAMPLING_RATE)
    return ClipObserver(VideoFrames(torch.from_numpy(clip.frames), world.config.frame_rate), audio, models)


def _listen(samples: np.ndarray, models: EvaluationModels) -> Listener:
    audio = AudioSamples(torch.from_numpy(samples)[None], SAMPLING_RATE)
    return Listener(audio, audio.duration_seconds, models)


def rows(found: dict[str, Pairs], settings: EvaluationSettings) -> list[list[str]]:
    """A row per threshold; without pairs of both kinds, only what is set now."""
    table = []
    for name, pairs in found.items():
        now = getattr(settings, name)
        cells = [f"`{name}`", str(len(pairs.genuine)), str(len(pairs.swapped)), f"{now:g}"]
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
    args = parser.parse_args()
    settings = EvaluationSettings.load(args.settings or find_benchmark("drawn-world") / "settings.yaml")
    world = load_world(args.world, args.voices)
    config = replace(world.config, height=args.height, num_frames=args.frames, lines_per_turn=args.lines)
    try:
        found = measure(World(config, world.bank), load_models(settings), args.clips)
    except NotMeasured as reason:
        parser.error(str(reason))
    header = ["threshold", "genuine", "swapped", "set now", "refused / accepted now", "equal errors at", "error"]
    print(markdown_table(header, rows(found, settings)))


if __name__ == "__main__":
    main()
