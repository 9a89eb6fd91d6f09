"""Does the generator keep to the people it is given? One table on held-out people of the drawn world.

First the recognisers' own accuracy on real test clips, and on the same clips through the generator's codecs, which
bounds what generated clips can reach; then generated clips. Recognisers, prompts and references are those of
`iap_pipelines.evaluation.drawn_world`. Values are means with 95 % intervals over people.

    python -m benchmarks.identity_table --world data/world --model runs/tiny_stage3_multi_view/pipeline

Every clip is measured once and written down in `--output`: stop it at any moment, start it again, and it goes on.
"""

import argparse
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.measuring import markdown_table
from iap_pipelines import IAPPipeline
from iap_pipelines.assets import EMBEDDED_CHECKPOINT, EMBEDDED_RECOGNISERS
from iap_pipelines.data.conditions import without_anchors
from iap_pipelines.data.reconstruction import CodecReconstruction
from iap_pipelines.evaluation.drawn_world import report
from iap_pipelines.evaluation.drawn_world.held_out import (
    CONDITIONS,
    Scene,
    choose_scenes,
    make_gallery,
    subjects_of,
)
from iap_pipelines.evaluation.drawn_world.measuring import ClipMeasurement, DrawnWorldRecognisers
from iap_pipelines.pipelines.guidance import IDENTITY_SCALES, SCALES
from iap_pipelines.synthetic.world import World
from iap_pipelines.training.recognisers.material import load_world
from iap_pipelines.types import StructuredCaption


COUNTS = ("clips", "pairs", "subset_clips", "coded")
Clip = tuple[np.ndarray, np.ndarray]
"""uint8 `[F, H, W, 3]` and float32 `[N]`"""


class Task(NamedTuple):
    """One clip to measure."""

    column: str
    condition: str
    scene: Scene

    @property
    def key(self) -> str:
        return f"{self.column}/{self.condition}/{self.scene.clip_index}"

    @property
    def group(self) -> tuple[str, str, int]:
        return self.column, self.condition, len(self.scene.identities)


def plan(world: World, args: argparse.Namespace) -> list[Task]:
    """Everything to measure, the quick columns first."""
    alone, pairs = (
        choose_scenes(world, people, count, args.seed, args.split)
        for people, count in ((1, args.clips), (2, args.pairs))
    )
    tasks = [Task(report.REAL, "both", scene) for scene in (*alone, *pairs)]
    tasks += [Task(report.CODED, "both", scene) for scene in (*alone[: args.coded], *pairs[: args.coded])]
    tasks += [Task(report.GENERATED, "both", scene) for scene in (*alone, *pairs)]
    subsets = [condition for condition in CONDITIONS if condition != "both"]
    return tasks + [Task(report.GENERATED, name, scene) for name in subsets for scene in alone[: args.subset_clips]]


class Makers:
    """Delivers clips of every column; loads a model when the first clip asks for it."""

    def __init__(self, world: World, args: argparse.Namespace) -> None:
        self.world, self.args = world, args
        self._codecs: CodecReconstruction | None = None
        self._pipeline: IAPPipeline | None = None

    def make(self, task: Task) -> Clip:
        return {report.REAL: self._real, report.CODED: self._coded, report.GENERATED: self._generated}[task.column](
            task
        )

    def _real(self, task: Task) -> Clip:
        clip = self.world.render_clip(task.scene.clip_index)
        return clip.frames, clip.samples

    def _coded(self, task: Task) -> Clip:
        if self._codecs is None:
            self._codecs = CodecReconstruction.from_pretrained(self.args.model)
        frames, samples = (torch.from_numpy(values) for values in self._real(task))
        return self._codecs.video(frames).numpy(), self._codecs.sound(samples[None])[0].numpy()

    def _generated(self, task: Task) -> Clip:
        if self._pipeline is None:
            self._pipeline = IAPPipeline.from_pretrained(self.args.model, torch_dtype=torch.float32)
            self._pipeline.set_progress_bar_config(disable=True)
        seed = int(np.random.default_rng([self.args.seed, task.scene.clip_index]).integers(2**31))
        # The pipeline refuses to be told to follow references where there are none.
        names = SCALES if any(CONDITIONS[task.condition]) else [name for name in SCALES if name not in IDENTITY_SCALES]
        guidance = {name: getattr(self.args, name) for name in names}
        output = self._pipeline(
            **self._caption(task),
            subjects=subjects_of(self.world, task.scene, task.condition),
            num_inference_steps=self.args.steps,
            generator=torch.Generator().manual_seed(seed),
            **guidance,
        )
        return (output.frames[0] * 255).round().astype(np.uint8), output.audio[0, 0].numpy()

    def _caption(self, task: Task) -> dict[str, StructuredCaption | torch.Tensor]:
        """As text or, without anchors, as embeddings: the pipeline refuses a text that does not name its subjects."""
        if not self.args.no_anchors:
            return {"prompt": task.scene.caption}
        text = without_anchors(task.scene.caption.render())
        embeds, _, _ = self._pipeline.encode_prompt(text, do_classifier_free_guidance=False)
        return {"prompt_embeds": embeds}


class Notebook:
    """
    Measurements on disk, one JSON line each, under the settings that they depend on.

    Raises:
        ValueError: if the folder holds measurements made with other settings.
    """

    def __init__(self, folder: Path, settings: dict) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, settings_path = folder / "measurements.jsonl", folder / "settings.json"
        if settings_path.exists() and (found := json.loads(settings_path.read_text())) != settings:
            different = sorted(key for key in settings | found if settings.get(key) != found.get(key))
            raise ValueError(
                f"`--output` {folder} holds measurements made with other settings ({', '.join(different)}): give "
                "another folder."
            )
        settings_path.write_text(json.dumps(settings, indent=1))
        self._lines: dict[str, dict] = {}
        whole = []
        for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True) if self.path.exists() else ():
            if line.endswith("\n"):
                entry = json.loads(line)
                self._lines[entry["key"]] = entry["measurement"]
                whole.append(line)
        # A line that was cut off when the run was stopped goes, and its clip is measured again.
        self.path.write_text("".join(whole), encoding="utf-8")

    def __contains__(self, task: Task) -> bool:
        return task.key in self._lines

    def __getitem__(self, task: Task) -> ClipMeasurement:
        return ClipMeasurement.from_json(self._lines[task.key])

    def add(self, task: Task, measurement: ClipMeasurement) -> None:
        self._lines[task.key] = measurement.to_json()
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": task.key, "measurement": self._lines[task.key]}) + "\n")


def measure_all(
    tasks: list[Task],
    notebook: Notebook,
    make: Callable[[Task], Clip],
    recognisers: DrawnWorldRecognisers,
    frame_rate: float,
) -> report.Measurements:
    """Measure what is not written down yet, with a progress bar; returns everything by group."""
    for task in tqdm([task for task in tasks if task not in notebook], desc="clips", mininterval=2):
        frames, samples = make(task)
        num_people = len(task.scene.identities)
        notebook.add(task, recognisers.measure(frames, samples, num_people=num_people, frame_rate=frame_rate))
    groups = defaultdict(list)
    for task in tasks:
        groups[task.group].append((task.scene, notebook[task]))
    return groups


def settings_of(args: argparse.Namespace, world: World) -> dict:
    """What a measurement depends on besides the clip: how many are measured does not matter."""
    return {
        "model": str(args.model),
        "model_weights": weights_digest(args.model),
        "recognisers": str(args.recognisers),
        "recogniser_weights": weights_digest(args.recognisers),
        "world": {name: getattr(world.config, name) for name in ("num_identities", "clips_per_identity", "seed")},
        **{name: getattr(args, name) for name in ("split", "steps", "seed", "no_anchors", *SCALES)},
    }


def command_of(args: argparse.Namespace) -> str:
    """How the table is made again, without the places of files."""
    default = parse_arguments(["--world", "data/world"])
    numbers = (*COUNTS, "steps", "seed", *SCALES)
    changed = [name for name in numbers if getattr(args, name) != getattr(default, name)]
    words = [f"--{name.replace('_', '-')} {getattr(args, name):g}" for name in changed]
    words += ["--no-anchors"] if args.no_anchors else []
    words += [f"--split {args.split}"] if args.split != default.split else []
    return " ".join(["python -m benchmarks.identity_table --world data/world", *words])


def weights_digest(folder: Path) -> str:
    """First 12 digits of the SHA-256 of all weights of a folder, and of what its pipeline does if not told."""
    digest = hashlib.sha256()
    for path in sorted([*Path(folder).rglob("*.safetensors"), *Path(folder).glob("model_index.json")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, required=True, help="folder written by `iap synthesize`")
    parser.add_argument("--voices", type=Path, help="its voice bank, if that is not in the folder")
    parser.add_argument("--model", type=Path, default=EMBEDDED_CHECKPOINT, help="pipeline folder; the embedded one")
    parser.add_argument(
        "--recognisers", type=Path, default=EMBEDDED_RECOGNISERS, help="their folder; the embedded ones"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("runs/identity_table"), help="measurements and table (%(default)s)"
    )
    parser.add_argument("--clips", type=int, default=64, help="clips of one person (%(default)s)")
    parser.add_argument("--pairs", type=int, default=64, help="clips of two people (%(default)s)")
    parser.add_argument(
        "--subset-clips", type=int, default=32, help="clips for each subset of references (%(default)s)"
    )
    parser.add_argument(
        "--coded", type=int, default=32, help="clips of one and of two people through the codecs (%(default)s)"
    )
    parser.add_argument(
        "--split", default="test", choices=("test", "validation"), help="whose clips; choose settings on `validation`"
    )
    parser.add_argument("--steps", type=int, default=20, help="denoising steps (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of noise and numbering of the subjects (%(default)s)")
    parser.add_argument("--no-anchors", action="store_true", help="captions do not say which subject is which")
    for name in ("guidance", "audio-guidance", "face-guidance", "voice-guidance"):
        parser.add_argument(f"--{name}-scale", type=float, help="the pipeline's own default if not given")
    return parser.parse_args(argv)


def main() -> None:
    args = parse_arguments()
    world = load_world(args.world, args.voices)
    recognisers = DrawnWorldRecognisers.from_pretrained(args.recognisers)
    settings = settings_of(args, world)
    notebook, tasks = Notebook(args.output, settings), plan(world, args)
    measurements = measure_all(tasks, notebook, Makers(world, args).make, recognisers, world.config.frame_rate)
    gallery = make_gallery(world, recognisers, [*world.identities("test"), *world.identities("validation")])
    results = report.evaluate(measurements, gallery)
    table = markdown_table(
        ["held-out people", "chance", "real clips", "through the codecs", "generated", "aim"], report.cells(results)
    )
    counts = ", ".join(f"{len(clips)} {group[0]} of {group[2]} ({group[1]})" for group, clips in measurements.items())
    note = f"Model {args.model} ({settings['model_weights']}), {args.steps} steps, seed {args.seed}. Clips: {counts}."
    entries = [result._asdict() for result in results]
    content = {"settings": settings, "command": command_of(args), "results": entries}
    (args.output / "table.json").write_text(json.dumps(content, indent=1))
    (args.output / "table.md").write_text(f"{note}\n\n{table}\n")
    print(f"{note}\n\n{table}")


if __name__ == "__main__":
    main()
