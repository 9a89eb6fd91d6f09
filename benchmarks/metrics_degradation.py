"""Each metric against the truth of the drawn world, as clips are damaged step by step (`benchmarks.damage`).

Prints one table (means over the clips, and the rank correlation of each metric with the true amount of damage) and
draws the curves into `--plot` (SVG or PNG). Clips are longer than those of the world: a voice needs more than a word.

    python -m benchmarks.metrics_degradation --world data/world --plot docs/metric_curves.svg

Every clip is scored once and written down in `--work`: stop it at any moment, start it again, and it goes on.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from scipy.stats import spearmanr
from tqdm import tqdm

from benchmarks.damage import KINDS, Damaged, another_person, damaged_clips
from benchmarks.figures import TEXT_AS_TEXT, open_pyplot, save_figure
from benchmarks.measuring import markdown_table
from benchmarks.score_book import ScoreBook
from iap_pipelines.assets import find_benchmark
from iap_pipelines.evaluation.definitions import METRICS_BY_NAME
from iap_pipelines.evaluation.drawn_world.held_out import GIVEN_REFERENCE, clips_by_person
from iap_pipelines.evaluation.loading import load_models
from iap_pipelines.evaluation.models import EvaluationModels
from iap_pipelines.evaluation.observer import ClipObserver
from iap_pipelines.evaluation.reference_embeddings import ReferenceEmbeddings
from iap_pipelines.evaluation.references import ClipReference, SubjectReference
from iap_pipelines.evaluation.scoring import ClipScorer
from iap_pipelines.evaluation.settings import EvaluationSettings
from iap_pipelines.media import export_sound
from iap_pipelines.synthetic import World
from iap_pipelines.synthetic.sound import SAMPLING_RATE
from iap_pipelines.synthetic.world import identity_name
from iap_pipelines.training.recognisers.material import load_world
from iap_pipelines.types import AudioSamples, VideoFrames


class Curve(NamedTuple):
    """A metric that should follow one kind of damage."""

    metric: str
    kind: str
    rises: bool
    both: bool = False
    """whether the other person is a reference too"""


CURVES = (
    Curve("face_similarity", "faces", rises=False),
    Curve("identity_drift", "faces over time", rises=True),
    Curve("copy_paste", "pasted picture", rises=True),
    Curve("voice_similarity", "voices", rises=False),
    Curve("second_voice_similarity", "voices", rises=False),
    Curve("binding", "voices", rises=False, both=True),
    Curve("lip_sync_offset", "late sound", rises=True),
    Curve("lip_sync_confidence", "held pictures", rises=False),
    Curve("word_error_rate", "words", rises=True),
    Curve("speech_quality", "noise", rises=False),
)


class Point(NamedTuple):
    """One score of one clip."""

    step: float
    amount: float
    value: float


Curves = Mapping[Curve, Sequence[Point]]


class DamageTest:
    """Scores damaged clips of one world.

    Args:
        world: whose test people are taken.
        models: who looks and listens.
        settings: thresholds.
        work: folder for references and scores.
    """

    def __init__(self, world: World, models: EvaluationModels, settings: EvaluationSettings, work: Path) -> None:
        self._world, self._models, self._settings, self._folder = world, models, settings, work / "references"
        self._folder.mkdir(parents=True, exist_ok=True)
        depends = {"models": models.revisions(), "world": vars(world.config), **settings.model_dump(mode="json")}
        self._book = ScoreBook(work / "scores.jsonl", depends)
        self._references = ReferenceEmbeddings(models)

    def measure(self, clip_indices: Iterable[int]) -> Curves:
        """Every curve over these clips of one person each."""
        found: dict[Curve, list[Point]] = {curve: [] for curve in CURVES}
        for clip_index in clip_indices:
            measured = self._book.get(f"clip {clip_index}", lambda index=clip_index: self._measure_clip(index))
            for curve, points in zip(CURVES, measured, strict=True):
                found[curve] += [Point(*point) for point in points]
        return found

    def _measure_clip(self, clip_index: int) -> list[list[Point]]:
        """Points of every curve, in order."""
        person = clip_index // self._world.config.clips_per_identity
        text = " ".join(line["text"] for line in self._world.describe_clip(clip_index)["lines"])
        subjects = (self._subject(person, text), self._subject(another_person(self._world, person), None))
        found: dict[Curve, list[Point]] = {curve: [] for curve in CURVES}
        for damaged in damaged_clips(self._world, clip_index):
            observer = self._observe(damaged)
            for curve in (curve for curve in CURVES if curve.kind == damaged.kind):
                value = self._score(observer, curve.metric, subjects if curve.both else subjects[:1])
                if value is not None:
                    found[curve].append(Point(damaged.step, damaged.amount, value))
        return list(found.values())

    def _observe(self, damaged: Damaged) -> ClipObserver:
        video = VideoFrames(torch.from_numpy(damaged.frames), self._world.config.frame_rate)
        return ClipObserver(video, AudioSamples(torch.from_numpy(damaged.samples)[None], SAMPLING_RATE), self._models)

    def _score(self, observer: ClipObserver, metric: str, subjects: tuple[SubjectReference, ...]) -> float | None:
        clip = ClipReference("clip", self._folder, subjects)
        scorer = ClipScorer(clip, observer, self._references, self._settings.thresholds)
        return scorer.scores((metric,))[0].value

    def _subject(self, person: int, text: str | None) -> SubjectReference:
        """A person by what a generator would be given, and by the pictures that it would not."""
        views = range(self._world.config.num_reference_views)
        faces = {view: self._folder / f"{identity_name(person)}_{view}.png" for view in views}
        voice = self._folder / f"{identity_name(person)}.flac"
        if not voice.exists():
            for view, path in faces.items():
                Image.fromarray(self._world.render_face(person, view)).save(path)
            samples = torch.from_numpy(self._world.speak_reference(person, GIVEN_REFERENCE))[None]
            export_sound(AudioSamples(samples, SAMPLING_RATE), voice)
        given = faces.pop(GIVEN_REFERENCE)
        return SubjectReference(identity_name(person), (given,), tuple(faces.values()), (voice,), text)


def clips_of_one_person(world: World) -> list[int]:
    """The first clip of each test person that shows nobody else."""
    return [own[0] for own in clips_by_person(world, "test", 1)]


def mean_curve(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """The steps, and the mean value at each."""
    steps = sorted({point.step for point in points})
    return steps, [float(np.mean([point.value for point in points if point.step == step])) for step in steps]


def is_monotone(curve: Curve, points: Sequence[Point]) -> bool:
    """Whether the mean never goes the wrong way, and ends elsewhere than it began."""
    change = np.diff(mean_curve(points)[1]) * (1 if curve.rises else -1)
    return bool((change >= 0).all() and change.sum() > 0)


def rank_correlation(points: Sequence[Point]) -> float:
    """Spearman's, of the true amounts with the values."""
    return float(spearmanr([point.amount for point in points], [point.value for point in points]).statistic)


def table(found: Curves) -> str:
    """A row per curve; metrics without a model are `null`."""
    rows = []
    for curve, points in found.items():
        definition = METRICS_BY_NAME[curve.metric]
        cells = [f"{curve.metric} {definition.arrow}", KINDS[curve.kind]]
        if points:
            values = zip(*mean_curve(points), strict=True)
            shown = ", ".join(f"{step:g}: {value:.{definition.decimals}f}" for step, value in values)
            cells += [shown, "yes" if is_monotone(curve, points) else "**no**", f"{rank_correlation(points):.2f}"]
        rows.append([*cells, *["null"] * (5 - len(cells)), str(len(points))])
    return markdown_table(["metric", "damage", "mean at each step", "monotone", "rank correlation", "scores"], rows)


def draw(found: Curves, path: Path) -> None:
    """One panel per metric: points are clips, the line is their mean."""
    pyplot = open_pyplot(TEXT_AS_TEXT)

    shown = {curve: points for curve, points in found.items() if points}
    columns = min(5, len(shown))
    lines = -(-len(shown) // columns)
    figure, panels = pyplot.subplots(
        lines, columns, figsize=(2.3 * columns, 2.1 * lines), layout="constrained", squeeze=False
    )
    for panel in panels.flat[len(shown) :]:
        panel.axis("off")
    for panel, (curve, points) in zip(panels.flat, shown.items(), strict=False):
        panel.plot([point.step for point in points], [point.value for point in points], ".", color="0.7", markersize=3)
        panel.plot(*mean_curve(points), "o-", color="C0", markersize=4)
        panel.set_title(f"{curve.metric} {METRICS_BY_NAME[curve.metric].arrow}", fontsize=8)
        panel.set_xlabel(KINDS[curve.kind], fontsize=7)
        panel.tick_params(labelsize=7)
    save_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, required=True, help="folder that `iap synthesize` wrote")
    parser.add_argument("--voices", type=Path, help="its voice bank, if that is not in the folder")
    parser.add_argument("--height", type=int, default=96, help="pixels; faces are drawn anew (%(default)s)")
    parser.add_argument("--frames", type=int, default=58, help="per clip (%(default)s)")
    parser.add_argument("--lines", type=int, default=2, help="that are said in a clip (%(default)s)")
    parser.add_argument("--clips", type=int, default=8, help="test people, one clip each (%(default)s)")
    parser.add_argument("--settings", type=Path, help="YAML of `iap evaluate`; that of the drawn world if not given")
    parser.add_argument("--work", type=Path, default=Path("runs/metrics_degradation"), help="(%(default)s)")
    parser.add_argument("--plot", type=Path, help="SVG or PNG to write")
    args = parser.parse_args()
    settings = EvaluationSettings.load(args.settings or find_benchmark("drawn-world") / "settings.yaml")
    world = load_world(args.world, args.voices)
    config = replace(world.config, height=args.height, num_frames=args.frames, lines_per_turn=args.lines)
    test = DamageTest(World(config, world.bank), load_models(settings), settings, args.work)
    found = test.measure(tqdm(clips_of_one_person(world)[: args.clips], desc="clips", mininterval=2))
    print(table(found))
    if args.plot:
        draw(found, args.plot)
        print(args.plot)


if __name__ == "__main__":
    main()
