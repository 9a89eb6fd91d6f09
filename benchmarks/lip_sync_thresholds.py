"""Thresholds of `match:` from people whom no fit has seen: `python -m benchmarks.lip_sync_thresholds`.

The folder is one of `benchmarks.curation_media`. Every genuine clip of one shot gives a mouth and a voice. Two models
judge them: the embedded weights, and weights fitted on all other people of the folder. A foreign voice (another
person's clip) is new to either. A mouth's own voice is new to the second only, which learns from fewer clips and so
scores lower than the embedded weights do on strangers: between the two lies the truth.
"""

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.curation_media import MEDIA_FOLDER
from benchmarks.measuring import markdown_table
from benchmarks.media_truth import Truth, read_truth
from iap_pipelines.curation.face_clips import follow_faces
from iap_pipelines.curation.sync import Sync, measure_sync
from iap_pipelines.media import iterate_frames, read_sound
from iap_pipelines.perception.backends import (
    load_face_detector,
    load_face_landmarker,
    load_lip_sync_model,
    load_voice_activity_detector,
)
from iap_pipelines.perception.interfaces import TimeSpan
from iap_pipelines.perception.lip_sync_fit import TalkingExample, fit_weights
from iap_pipelines.perception.lip_sync_linear import LinearLipSync
from iap_pipelines.perception.mouth import measure_mouth
from iap_pipelines.types import AudioSamples


FOREIGN_SHARE = 0.05
"""Share of foreign voices that may pass for a mouth's own, or for its own but late."""
OPEN_DEVIATIONS = 3.0
"""A voice this many deviations below a mouth's own ones is another's."""
LATE_SECONDS = (-0.4, 0.25, 0.4)
MAX_OFFSET_ERROR_SECONDS = 0.08


@dataclass(frozen=True, eq=False)
class Talking:
    """Somebody speaks: a mouth with its own voice, and when speech is heard."""

    example: TalkingExample
    speech: tuple[TimeSpan, ...]

    @property
    def person(self) -> str:
        return self.example.person


ModelFor = Callable[[str], LinearLipSync]
"""The model that judges a person's mouth"""


def read_talking(folder: Path, truth: Iterable[Truth]) -> list[Talking]:
    """The speaking mouth of every genuine clip of one shot with one speaker."""
    talking = []
    for known in tqdm([known for known in truth if _is_simple(known)], desc="clips"):
        file = folder / known.file
        pictures = lambda file=file: iterate_frames(file)  # noqa: E731
        tracks = follow_faces(pictures, load_face_detector(), load_face_landmarker(), search_rate=8.0)
        tracks = sorted(tracks, key=lambda track: track[0].center)
        audio = read_sound(file)
        if audio is None or len(tracks) != len(known.identities):  # who is who is not known
            continue
        _, face = tracks[known.identities.index(known.speaking[0])]
        example = TalkingExample(known.speaking[0], measure_mouth(face), audio)
        talking.append(Talking(example, tuple(load_voice_activity_detector().find_speech(audio))))
    return talking


def _is_simple(known: Truth) -> bool:
    return known.kind == "video" and known.may_be_kept and len(known.speaking) == 1 and not known.labels


def fitted_without(talking: Sequence[Talking]) -> ModelFor:
    """Weights fitted on everybody else."""
    models: dict[str, LinearLipSync] = {}

    def model_for(person: str) -> LinearLipSync:
        if person not in models:
            others = [one.example for one in talking if one.person != person]
            models[person] = LinearLipSync(fit_weights(others))
        return models[person]

    return model_for


@dataclass(frozen=True)
class Judged:
    """What a model says of mouths with their own voice, with others', and with their own voice moved."""

    own: tuple[Sync, ...]
    foreign: tuple[Sync, ...]
    late: tuple[tuple[float, Sync], ...]
    """by how much it was moved"""

    @property
    def area(self) -> float:
        """Chance that a mouth's own voice fits better in place than another's."""
        own, foreign = (np.array([sync.score_in_place for sync in group]) for group in (self.own, self.foreign))
        return float((own[:, None] > foreign[None]).mean())


def judge(talking: Sequence[Talking], model_for: ModelFor) -> Judged:
    """Compare every mouth with every voice."""
    own, foreign, late = [], [], []
    for one in talking:
        model, mouth = model_for(one.person), one.example.mouth
        own.append(measure_sync(model.compare_mouth(mouth, one.example.audio), one.speech))
        for seconds in LATE_SECONDS:
            audio, speech = moved(one.example.audio, one.speech, seconds)
            late.append((seconds, measure_sync(model.compare_mouth(mouth, audio), speech)))
        for other in (other for other in talking if other.person != one.person):
            foreign.append(measure_sync(model.compare_mouth(mouth, other.example.audio), other.speech))
    late = [(seconds, sync) for seconds, sync in late if sync is not None]
    return Judged(*(tuple(sync for sync in group if sync is not None) for group in (own, foreign)), tuple(late))


def moved(audio: AudioSamples, speech: Sequence[TimeSpan], seconds: float) -> tuple[AudioSamples, list[TimeSpan]]:
    """The same sound later (positive) or earlier; what leaves the clip is lost, what is missing is silence."""
    count, samples = round(abs(seconds) * audio.sampling_rate), audio.samples
    silence = torch.zeros_like(samples[:, :count])
    samples = torch.cat([silence, samples[:, :-count]] if seconds > 0 else [samples[:, count:], silence], dim=1)
    spans = [TimeSpan(max(0.0, span.start + seconds), span.end + seconds) for span in speech]
    return AudioSamples(samples, audio.sampling_rate), [span for span in spans if span.duration > 0]


@dataclass(frozen=True)
class Thresholds:
    """Of `match:`, by these clips."""

    min_sync_score: float
    min_open_score: float
    min_late_score: float

    @classmethod
    def choose(cls, foreign: Sequence[Sync], own: Sequence[Sync], min_late_gain: float) -> "Thresholds":
        """Few foreign voices may pass; and few own ones may be called foreign for sure.

        Args:
            foreign: of the model that is used.
            own: of a model that does not know the person.
            min_late_gain: how much better a late sound has to fit than one in place.
        """
        in_place = np.array([sync.score_in_place for sync in own])
        gained = [sync.score for sync in foreign if sync.score - sync.score_in_place >= min_late_gain]
        num_late = round(FOREIGN_SHARE * len(foreign))
        return cls(
            min_sync_score=float(np.quantile([sync.score_in_place for sync in foreign], 1 - FOREIGN_SHARE)),
            min_open_score=float(in_place.mean() - OPEN_DEVIATIONS * in_place.std()),
            min_late_score=sorted(gained)[-num_late - 1] if num_late < len(gained) else -1.0,
        )


def rows(name: str, judged: Judged, thresholds: Thresholds, min_late_gain: float) -> list[list[str]]:
    """One line per measure of one model."""
    own, foreign = (np.array([sync.score_in_place for sync in group]) for group in (judged.own, judged.foreign))

    def is_late(sync: Sync) -> bool:
        return sync.score >= thresholds.min_late_score and sync.score - sync.score_in_place >= min_late_gain

    near = [abs(sync.offset - seconds) <= MAX_OFFSET_ERROR_SECONDS for seconds, sync in judged.late]
    return [
        [name, "in place, own / foreign voice", f"{own.mean():.3f} / {foreign.mean():.3f}"],
        [name, "deviation, own / foreign", f"{own.std():.3f} / {foreign.std():.3f}"],
        [name, "own above foreign", f"{judged.area:.3f}"],
        [name, "matched, of own / foreign", _shares(own, foreign, lambda score: score >= thresholds.min_sync_score)],
        [name, "dubbed for sure, of own / foreign", _shares(own, foreign, lambda x: x < thresholds.min_open_score)],
        [name, "late, of own / foreign", _shares(judged.own, judged.foreign, is_late)],
        [name, "late, of voices that were moved", f"{np.mean([is_late(sync) for _, sync in judged.late]):.2f}"],
        [name, "offset of those within 80 ms", f"{np.mean(near):.2f}"],
    ]


def _shares(own: Iterable, foreign: Iterable, passes: Callable[..., bool]) -> str:
    return " / ".join(f"{np.mean([bool(passes(one)) for one in group]):.2f}" for group in (own, foreign))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, default=Path(os.environ.get("IAP_MEDIA_DIR", MEDIA_FOLDER)))
    parser.add_argument("--min-late-gain", type=float, default=0.05, help="as of `match:` (%(default)s)")
    args = parser.parse_args()
    talking = read_talking(args.media, read_truth(args.media).values())
    embedded, left_out = judge(talking, lambda _: load_lip_sync_model()), judge(talking, fitted_without(talking))
    thresholds = Thresholds.choose(embedded.foreign, left_out.own, args.min_late_gain)
    people = {one.person for one in talking}
    print(f"{len(talking)} clips of {len(people)} people; {len(embedded.foreign)} foreign pairs.\n")
    lines = [
        row
        for name, judged in (("embedded", embedded), ("left out", left_out))
        for row in rows(name, judged, thresholds, args.min_late_gain)
    ]
    print(markdown_table(("weights", "measured", "value"), lines))
    print()
    print(markdown_table(("threshold", "value"), [(name, f"{value:.3f}") for name, value in vars(thresholds).items()]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
