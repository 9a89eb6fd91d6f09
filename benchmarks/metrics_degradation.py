"""Each metric against the truth of the synthetic world, as clips are degraded step by step.

Clips of one drawn person are made worse in three ways, and only in one at a time:

- *faces*: every picture is blended with the same picture of another person; truth is the other's share;
- *late sound*: the sound is moved; truth is the delay;
- *voices*: the last words are said by another person, at the same times; truth is the share of speech that is theirs;
  both people are references.

Prints one table (means over the clips) and the rank correlation of each metric with its truth, and draws the curves
into `--plot` (SVG or PNG).

    python -m benchmarks.metrics_degradation --world data/world --plot docs/metric_curves.svg
"""

import argparse
import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from scipy.stats import spearmanr
from tqdm import tqdm

from benchmarks.measuring import markdown_table
from iap_pipelines.evaluation.loading import load_models
from iap_pipelines.evaluation.models import EvaluationModels
from iap_pipelines.evaluation.observer import ClipObserver
from iap_pipelines.evaluation.reference_embeddings import ReferenceEmbeddings
from iap_pipelines.evaluation.references import ClipReference, SubjectReference
from iap_pipelines.evaluation.scoring import ClipScorer
from iap_pipelines.evaluation.settings import EvaluationSettings
from iap_pipelines.media import export_sound
from iap_pipelines.synthetic import VoiceBank, World, WorldConfig
from iap_pipelines.synthetic.sound import SAMPLING_RATE
from iap_pipelines.synthetic.world import SyntheticClip, identity_name
from iap_pipelines.types import AudioSamples, VideoFrames


SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
DELAYS_MS = (0, 80, 160, 240, 320, 400)


class Curve(NamedTuple):
    """A metric that should follow one kind of damage."""

    damage: str
    metric: str
    rises: bool
    alone: bool = True
    """only the person is a reference, not the other one"""


CURVES = (
    Curve("faces", "face_similarity", rises=False),
    Curve("late sound", "lip_sync_offset", rises=True),
    Curve("voices", "voice_similarity", rises=False),
    Curve("voices", "binding", rises=False, alone=False),
)


@dataclass(frozen=True)
class Damaged:
    """One clip with a known amount of one kind of damage."""

    damage: str
    amount: float
    frames: np.ndarray
    samples: np.ndarray
    people: tuple[int, ...]
    """references: the person, and for voices the other one too"""


def damaged_clips(world: World, clip_index: int) -> Iterator[Damaged]:
    """Every step of every kind of damage of one clip."""
    clip = world.render_clip(clip_index)
    person = clip_index // world.config.clips_per_identity
    other = _another(world, person)
    stranger = _with_face_of(world, person, other).render_clip(clip_index).frames
    for share in SHARES:
        blended = np.round((1 - share) * clip.frames + share * stranger).astype(np.uint8)
        yield Damaged("faces", share, blended, clip.samples, (person,))
    for delay_ms in DELAYS_MS:
        count = round(delay_ms / 1000 * SAMPLING_RATE)
        late = np.concatenate([np.zeros(count, np.float32), clip.samples])[: len(clip.samples)]
        yield Damaged("late sound", delay_ms, clip.frames, late, (person,))
    for share, samples in _revoiced(world, clip, other):
        yield Damaged("voices", share, clip.frames, samples, (person, other))


def _another(world: World, person: int) -> int:
    """The next person of the same split and kind."""
    same = [index for index in world.identities(world.split_of(person)) if index != person]
    alike = [index for index in same if world.person(index).kind == world.person(person).kind] or same
    return alike[0]


def _with_face_of(world: World, person: int, other: int) -> World:
    """The same world, in which one person looks like another."""
    changed = copy.copy(world)
    changed.people = list(world.people)
    changed.people[person] = world.people[other]
    return changed


def _revoiced(world: World, clip: SyntheticClip, other: int) -> Iterator[tuple[float, np.ndarray]]:
    """The clip whose last words another voice says; the share of speech that is theirs, from none to all."""
    words = [word for line in clip.record["lines"] for word in line["words"]]
    bank = world.bank.words(other)
    total = sum(word["end"] - word["start"] for word in words)
    samples, share = clip.samples.copy(), 0.0
    yield share, samples.copy()
    for word in reversed(words):
        first, last = round(word["start"] * SAMPLING_RATE), round(word["end"] * SAMPLING_RATE)
        piece = bank[word["word"]][: last - first]
        samples[first:last] = 0
        samples[first : first + len(piece)] = piece
        share += (word["end"] - word["start"]) / total
        yield round(share, 3), samples.copy()


def measure(
    world: World, num_clips: int, models: EvaluationModels, settings: EvaluationSettings, folder: Path
) -> dict:
    """Scores of every damaged clip: curve to a list of (amount, value)."""
    found: dict[Curve, list[tuple[float, float]]] = {curve: [] for curve in CURVES}
    references = ReferenceEmbeddings(models)
    for clip_index in tqdm(_clips_of_one_person(world)[:num_clips], leave=False):
        for damaged in damaged_clips(world, clip_index):
            subjects = tuple(_reference(world, person, folder) for person in damaged.people)
            audio = AudioSamples(torch.from_numpy(damaged.samples)[None], SAMPLING_RATE)
            video = VideoFrames(torch.from_numpy(damaged.frames), world.config.frame_rate)
            observer = ClipObserver(video, audio, models)
            for curve in (curve for curve in CURVES if curve.damage == damaged.damage):
                scorer = ClipScorer(
                    ClipReference("clip", folder, subjects[:1] if curve.alone else subjects),
                    observer,
                    references,
                    min_face_similarity=settings.min_face_similarity,
                    min_voice_similarity=settings.min_voice_similarity,
                )
                scores = [score for score in scorer.scores((curve.metric,)) if score.value is not None]
                found[curve] += [(damaged.amount, scores[0].value)] if scores else []
    return found


def _clips_of_one_person(world: World) -> list[int]:
    """The first clip of each test person that shows nobody else."""
    per_person = world.config.clips_per_identity
    own = (range(person * per_person, (person + 1) * per_person) for person in world.identities("test"))
    return [next(index for index in clips if world.num_people(index) == 1) for clips in own]


def _reference(world: World, person: int, folder: Path) -> SubjectReference:
    face, voice = folder / f"{identity_name(person)}.png", folder / f"{identity_name(person)}.flac"
    if not voice.exists():
        Image.fromarray(world.render_face(person, 0)).save(face)
        export_sound(AudioSamples(torch.from_numpy(world.speak_reference(person, 0))[None], SAMPLING_RATE), voice)
    return SubjectReference(identity_name(person), faces=(face,), voices=(voice,))


def table(found: dict[Curve, list[tuple[float, float]]]) -> str:
    """Mean value per step, and how well values rank as the truth."""
    rows = []
    for curve, points in found.items():
        amounts, means = mean_curve(points)
        steps = ", ".join(f"{amount:g}: {mean:.3f}" for amount, mean in zip(amounts, means, strict=True))
        correlation = spearmanr(*zip(*points, strict=True)).statistic if len(amounts) > 1 else float("nan")
        steady = np.all(np.diff(means) >= 0 if curve.rises else np.diff(means) <= 0)
        cells = [f"{curve.metric} / {curve.damage}", steps, "yes" if steady else "no", f"{correlation:.3f}"]
        rows.append([*cells, str(len(points))])
    return markdown_table(["metric / damage", "mean per step", "monotone", "rank correlation", "clips"], rows)


def mean_curve(points: list[tuple[float, float]], step: float = 0.25) -> tuple[list[float], list[float]]:
    """Amounts, rounded to steps where they are shares, and the mean value at each."""
    grouped: dict[float, list[float]] = {}
    for amount, value in points:
        grouped.setdefault(round(amount / step) * step if amount <= 1 else amount, []).append(value)
    return sorted(grouped), [float(np.mean(grouped[amount])) for amount in sorted(grouped)]


def draw(found: dict[Curve, list[tuple[float, float]]], path: Path) -> None:
    """One panel per metric: points are clips, the line is their mean."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "iap"
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(found), figsize=(3.2 * len(found), 3), layout="constrained")
    for panel, (curve, points) in zip(panels, found.items(), strict=True):
        amounts, means = mean_curve(points)
        panel.plot(*zip(*points, strict=True), ".", color="0.65", markersize=4)
        panel.plot(amounts, means, "o-", color="C0")
        panel.set_title(curve.metric, fontsize=9)
        panel.set_xlabel(
            "delay, ms" if curve.damage == "late sound" else f"share of the other's {curve.damage}", fontsize=8
        )
        panel.tick_params(labelsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", type=Path, required=True, help="folder that `iap synthesize` wrote")
    parser.add_argument("--voice-bank", type=Path, help="folder of its words; `voices` in the world if not given")
    parser.add_argument("--height", type=int, default=258, help="pixels; faces are drawn anew (%(default)s)")
    parser.add_argument("--clips", type=int, default=8, help="test people, one clip each (%(default)s)")
    parser.add_argument("--settings", type=Path, help="YAML of `iap evaluate`")
    parser.add_argument("--work", type=Path, default=Path("runs/metrics_degradation"), help="(%(default)s)")
    parser.add_argument("--plot", type=Path, help="SVG or PNG to write")
    args = parser.parse_args()
    config = WorldConfig.from_dict(json.loads((args.world / "world.json").read_text())["config"])
    world = World(replace(config, height=args.height), VoiceBank(args.voice_bank or args.world / "voices"))
    settings = EvaluationSettings.load(args.settings) if args.settings else EvaluationSettings()
    settings = settings.model_copy(update={"transcriber": None, "speech_quality": None})
    models = load_models(settings)
    args.work.mkdir(parents=True, exist_ok=True)
    found = measure(world, args.clips, models, settings, args.work)
    print(table(found))
    if args.plot:
        draw(found, args.plot)
        print(args.plot)


if __name__ == "__main__":
    main()
