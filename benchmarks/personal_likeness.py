"""Does an adapter hold a person better than references alone? One table on held-out people of the drawn world.

For some test people an adapter is learned from clips of theirs, as `iap train-identity` does it. Then clips are made
twice from the same noise, with one face and one voice as references: without the adapter, and with it. Prompts are
those of other people's test clips, with words that the person's own clips do not say in that order; recognisers,
gallery and scores are those of `benchmarks.identity_table`, and no picture or recording of the gallery was learned.
A face is nearly always found among the 32 held-out people, with references alone too, so people are also looked for
among everybody of the world.
What the recognisers make of the person's clips as the world draws them says how much there is to gain.
Values are means with 95 % intervals over people (over clips for a single one); differences are taken clip by clip.

    python -m benchmarks.personal_likeness --world data/world

Settings are chosen on other people: `--split validation`, with `--set` for those of the run that learns.

Adapters and measurements lie in `--output`: stop it at any moment, start it again, and it goes on. Each adapter's card
gets its own scores, with intervals over clips; `--results` writes those of all as rows of a card in model_cards/.
"""

import argparse
import gc
import json
import shlex
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from tqdm import tqdm

from benchmarks.identity_table import Notebook
from benchmarks.measuring import markdown_table, set_threads
from iap_pipelines import IAPPipeline
from iap_pipelines.assets import EMBEDDED_CHECKPOINT, EMBEDDED_RECOGNISERS
from iap_pipelines.evaluation.drawn_world import report
from iap_pipelines.evaluation.drawn_world.held_out import (
    Gallery,
    Scene,
    choose_scenes,
    clips_by_person,
    make_gallery,
    subjects_of,
)
from iap_pipelines.evaluation.drawn_world.measuring import ClipMeasurement, DrawnWorldRecognisers
from iap_pipelines.evaluation.functional.intervals import Interval
from iap_pipelines.pipelines.fingerprint import model_fingerprint
from iap_pipelines.synthetic.world import World, identity_name
from iap_pipelines.training.identity import identity_config
from iap_pipelines.training.model_card import write_scores
from iap_pipelines.training.personal_clips import FoundClips, find_clips, prepare_personal_clips
from iap_pipelines.training.recognisers.material import load_world
from iap_pipelines.training.trainer import Trainer


WITHOUT, WITH = COLUMNS = ("references alone", "with the adapter")
DIFFERENCE = "difference"
REAL = "clips as drawn"
MEASURED_WITH = ("split", "clips", "inference_steps", "voice_guidance_scale", "seed")


class Task(NamedTuple):
    """One clip to make and measure."""

    column: str
    scene: Scene

    @property
    def person(self) -> int:
        return self.scene.identities[0]

    @property
    def key(self) -> str:
        return f"{self.column}/{self.person}/{self.scene.clip_index}"


class Row(NamedTuple):
    """One measure; `score` gives one value per clip."""

    name: str
    """with `{everybody}` for how many people live in the world"""
    score: Callable[[Sequence[report.Measured], Gallery], list[report.Value]]
    is_share: bool = True
    among_everybody: bool = False
    """whether the gallery is that of everybody in the world; else of held-out people"""


def face_likeness(measured: Sequence[report.Measured], gallery: Gallery) -> list[report.Value]:
    """Cosine of the face in each clip and of the person's other pictures."""
    return _likeness(measured, gallery, gallery.faces, lambda clip: clip.faces[0])


def voice_likeness(measured: Sequence[report.Measured], gallery: Gallery) -> list[report.Value]:
    """Cosine of the voice in each clip and of the person's other recordings; 0 without speech."""
    return _likeness(measured, gallery, gallery.voices, lambda clip: np.nan_to_num(clip.voice))


def _likeness(
    measured: Sequence[report.Measured],
    gallery: Gallery,
    vectors: np.ndarray,
    embedding: Callable[[ClipMeasurement], np.ndarray],
) -> list[report.Value]:
    people = [scene.identities[0] for scene, _ in measured]
    return [
        (person, float(vectors[gallery.identities.index(person)] @ embedding(clip)), 1.0)
        for person, (_, clip) in zip(people, measured, strict=True)
    ]


ROWS = (
    Row("face: top-1 among 32", report.face_found),
    Row("voice: top-1 among 32", report.voice_found),
    Row("face: top-1 among all {everybody}", partial(report.face_found, among_all=True), among_everybody=True),
    Row("voice: top-1 among all {everybody}", partial(report.voice_found, among_all=True), among_everybody=True),
    Row("face: cosine to other pictures", face_likeness, is_share=False),
    Row("voice: cosine to other recordings", voice_likeness, is_share=False),
    Row("lip sync: best offset within one frame", report.lips_in_sync),
    Row("spoken word accuracy", report.words_spoken),
)


def choose_prompts(world: World, person: int, count: int, seed: int) -> list[Scene]:
    """
    What clips of other people of the same split say and show, with this person in their place.

    Raises:
        ValueError: if too few say anything else than the person's own clips.
    """
    every = _every_scene(world, person, seed)
    known = {scene.words for scene in every if scene.identities == (person,)}
    # From the next person on, so that people get different prompts.
    per_person = world.config.clips_per_identity
    num_clips = world.config.num_identities * per_person
    order = sorted(every, key=lambda scene: (scene.clip_index - (person + 1) * per_person) % num_clips)
    found: dict[str, Scene] = {}
    for scene in order:
        if scene.identities != (person,) and scene.words not in known:
            looks = tuple(replace(subject, appearance=world.person(person).kind) for subject in scene.caption.subjects)
            mine = replace(scene, identities=(person,), caption=replace(scene.caption, subjects=looks))
            found.setdefault(scene.words, mine)
    if len(found) < count:
        raise ValueError(f"`--prompts` must be at most {len(found)} in this world, but is {count}.")
    return list(found.values())[:count]


def own_scenes(world: World, person: int, seed: int) -> list[Scene]:
    """The clips in which a person is alone."""
    return [scene for scene in _every_scene(world, person, seed) if scene.identities == (person,)]


def _every_scene(world: World, person: int, seed: int) -> list[Scene]:
    """All clips of one person in the split that a person belongs to."""
    split = world.split_of(person)
    return choose_scenes(world, 1, sum(map(len, clips_by_person(world, split, 1))), seed, split)


def learn(person: int, args: argparse.Namespace) -> Path:
    """Learn the adapter of a person, or go on; returns its folder."""
    name = identity_name(person)
    output = args.output / name
    if not (output / "lora" / "README.md").is_file():  # which is written last
        found = find_clips(args.world, name)
        # The gallery is made of the other faces and voices.
        found = FoundClips(found.clips[: args.clips], found.faces[:1], found.voices[:1])
        clips = prepare_personal_clips(found, str(args.model), name, output)
        Trainer(identity_config(clips, str(args.model), name, output, overrides_of(args))).run()
        gc.collect()
    return output / "lora"


def overrides_of(args: argparse.Namespace) -> dict[str, Any]:
    """Settings of the run that learns, by dotted key, in place of those of `iap train-identity`."""
    return {key: yaml.safe_load(value) for key, value in (entry.split("=", maxsplit=1) for entry in args.set)}


class Maker:
    """Makes clips with and without the adapter of whom they show."""

    def __init__(self, world: World, args: argparse.Namespace) -> None:
        self.world, self.args = world, args
        self.pipe = IAPPipeline.from_pretrained(args.model, dtype=torch.float32)
        self.pipe.set_progress_bar_config(disable=True)
        self._loaded: int | None = None

    def make(self, task: Task) -> tuple[np.ndarray, np.ndarray]:
        """uint8 `[F, H, W, 3]` and float32 `[N]`; the noise depends on person and prompt alone."""
        if task.column == REAL:
            clip = self.world.render_clip(task.scene.clip_index)
            return clip.frames, clip.samples
        [subject] = subjects_of(self.world, task.scene, "both")
        if task.column == WITH:
            subject = replace(subject, adapter=self._adapter_of(task.person))
        seed = int(np.random.default_rng([self.args.seed, task.person, task.scene.clip_index]).integers(2**31))
        output = self.pipe(
            task.scene.caption,
            [subject],
            num_inference_steps=self.args.inference_steps,
            generator=torch.Generator().manual_seed(seed),
            voice_guidance_scale=self.args.voice_guidance_scale,
        )
        return (output.frames[0] * 255).round().astype(np.uint8), output.audio[0, 0].numpy()

    def _adapter_of(self, person: int) -> str:
        if self._loaded != person:
            self.pipe.unload_lora_weights()
            self.pipe.load_lora_weights(self.args.output / identity_name(person) / "lora", adapter_name="own")
            self._loaded = person
        return "own"


def measure_all(
    tasks: Sequence[Task], notebook: Notebook, make, recognisers, frame_rate: float
) -> report.Measurements:
    """Measure what is not written down yet; returns clips by column, in the order of the tasks."""
    for task in tqdm([task for task in tasks if task not in notebook], desc="clips", mininterval=2):
        frames, samples = make(task)
        notebook.add(task, recognisers.measure(frames, samples, num_people=1, frame_rate=frame_rate))
    columns = defaultdict(list)
    for task in tasks:
        columns[task.column].append((task.scene, notebook[task]))
    return columns


class Comparison(NamedTuple):
    """One line of the table: both columns, their difference and clips as drawn, each with its interval over people."""

    row: Row
    without: Interval
    with_adapter: Interval
    difference: Interval
    real: Interval | None
    """`None` where no clips as drawn were measured"""


def compare(
    measured: report.Measurements, everybody: Gallery, held_out: Sequence[int], *, by_clip: bool = False
) -> list[Comparison]:
    """
    Score both columns and take the difference clip by clip.

    Args:
        measured: by column; clips of the two that are compared are in the same order.
        everybody: of the world, to find faces and voices among.
        held_out: numbers of the people that no model has seen, 32 or more, among whom they are found more easily.
        by_clip: intervals are over clips; else over people, whose clips are not independent.
    """
    comparisons = []
    found_among = {True: everybody, False: everybody.of(held_out)}
    for row in ROWS:
        row = row._replace(name=row.name.format(everybody=len(everybody.identities)))
        gallery = found_among[row.among_everybody]
        before, after, real = (row.score(measured.get(column, ()), gallery) for column in (*COLUMNS, REAL))
        if by_clip:
            before, after, real = (
                [(number, value, weight) for number, (_, value, weight) in enumerate(values)]
                for values in (before, after, real)
            )
        change = [
            (person, new - old, weight) for (person, old, weight), (_, new, _) in zip(before, after, strict=True)
        ]
        comparisons.append(Comparison(row, *map(report.interval_of, (before, after, change, real))))
    return comparisons


def card_scores(comparisons: Sequence[Comparison], on: str, command: str) -> list[dict[str, str]]:
    """Rows of a model card: both columns of every measure, and their difference clip by clip."""
    rows = []
    for entry in comparisons:
        intervals = (entry.without, entry.with_adapter, entry.difference)
        for column, interval in zip((*COLUMNS, DIFFERENCE), intervals, strict=True):
            value, ends = report.value_and_interval(
                interval, is_share=entry.row.is_share, is_difference=column == DIFFERENCE
            )
            name = f"{entry.row.name}, {column}"
            row = {"name": name, "value": value, "interval": ends, "better": "higher", "on": on, "command": command}
            rows.append(row)
    return rows


def command_of(args: argparse.Namespace) -> str:
    """What to type to measure the same again."""
    parts = [f"--{name.replace('_', '-')} {getattr(args, name)}" for name in ("people", "clips", "prompts", "seed")]
    if args.split != "test":
        parts.append(f"--split {args.split}")
    if args.voice_guidance_scale is not None:
        parts.append(f"--voice-guidance-scale {args.voice_guidance_scale}")
    if args.set:
        parts.append("--set " + " ".join(map(shlex.quote, args.set)))
    return " ".join(["python -m benchmarks.personal_likeness --world data/world", *parts])


def settings_of(args: argparse.Namespace, world: World, transformer: torch.nn.Module) -> dict:
    """What a measurement depends on besides the clip."""
    return {
        "model": str(args.model),
        "model_fingerprint": model_fingerprint(transformer),
        "recognisers": str(args.recognisers),
        "world": {name: getattr(world.config, name) for name in ("num_identities", "clips_per_identity", "seed")},
        "run": overrides_of(args),
        **{name: getattr(args, name) for name in MEASURED_WITH},
    }


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, required=True, help="folder written by `iap synthesize`")
    parser.add_argument("--model", type=Path, default=EMBEDDED_CHECKPOINT, help="pipeline folder; the embedded one")
    parser.add_argument("--recognisers", type=Path, default=EMBEDDED_RECOGNISERS, help="the embedded ones")
    parser.add_argument("--output", type=Path, default=Path("runs/personal_likeness"), help="(%(default)s)")
    parser.add_argument("--people", type=int, default=16, help="people who get an adapter (%(default)s)")
    parser.add_argument(
        "--split", default="test", choices=("test", "validation"), help="whose; choose settings on `validation`"
    )
    parser.add_argument("--clips", type=int, default=7, help="of each to learn from (%(default)s)")
    parser.add_argument("--prompts", type=int, default=4, help="clips of each to make, twice (%(default)s)")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="as of `iap train-identity`; its own if not given"
    )
    parser.add_argument("--voice-guidance-scale", type=float, help="the checkpoint's own if not given")
    parser.add_argument("--inference-steps", type=int, default=20, help="denoising steps (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of noise (%(default)s)")
    parser.add_argument("--results", type=Path, help="JSON file to write for a card in model_cards/")
    parser.add_argument("--threads", type=int, help="threads of torch; its own choice if not given")
    return parser.parse_args(argv)


def main() -> None:
    args = parse_arguments()
    set_threads(args.threads)
    world = load_world(args.world)
    people = world.identities(args.split)[: args.people]
    recognisers, maker = DrawnWorldRecognisers.from_pretrained(args.recognisers), Maker(world, args)
    notebook = Notebook(args.output, settings_of(args, world, maker.pipe.transformer))
    tasks: list[Task] = []
    for person in people:
        learn(person, args)
        scenes = choose_prompts(world, person, args.prompts, args.seed)
        tasks += [Task(column, scene) for scene in scenes for column in COLUMNS]
        tasks += [Task(REAL, scene) for scene in own_scenes(world, person, args.seed)]
        measured = measure_all(tasks, notebook, maker.make, recognisers, world.config.frame_rate)
    everybody = make_gallery(world, recognisers, range(world.config.num_identities))
    held_out = [*world.identities("test"), *world.identities("validation")]
    comparisons = compare(measured, everybody, held_out, by_clip=len(people) == 1)
    table = markdown_table(
        ["held-out prompts", *COLUMNS, DIFFERENCE, REAL],
        [
            [
                entry.row.name,
                *(report.with_ends(i, is_share=entry.row.is_share) for i in (entry.without, entry.with_adapter)),
                report.with_ends(entry.difference, is_share=entry.row.is_share, is_difference=True),
                report.with_ends(entry.real, is_share=entry.row.is_share),
            ]
            for entry in comparisons
        ],
    )
    note = (
        f"{len(people)} {args.split} people, {args.clips} clips of each to learn from; {args.prompts} prompts for "
        f"each, {args.inference_steps} denoising steps, seed {args.seed}."
    )
    command = command_of(args)
    for person in people:
        own = {column: [entry for entry in measured[column] if entry[0].identities == (person,)] for column in COLUMNS}
        scores = card_scores(
            compare(own, everybody, held_out, by_clip=True),
            f"{args.prompts} clips, prompts that were not learned",
            command,
        )
        write_scores(args.output / identity_name(person) / "lora", scores)
    if args.results:
        on = f"{args.prompts} clips each of {len(people)} held-out people, prompts that were not learned"
        args.results.parent.mkdir(parents=True, exist_ok=True)
        scores = card_scores(comparisons, on, command)
        args.results.write_text(json.dumps(scores, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (args.output / "table.md").write_text(f"{note}\n\n{table}\n", encoding="utf-8")
    print(f"{note}\n\n{table}")


if __name__ == "__main__":
    main()
