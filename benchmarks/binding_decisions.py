"""What takes binding down: which of its decisions fail, on clips whose truth is known and on those of a model.

A row per number of people, of clips of the drawn world as they were drawn, in which everybody speaks with the own
face: what binding says of them is the most that a model can reach. `--model` sends the same clips through its codecs,
which is what is left of them when the model itself makes no mistake; `--results` adds rows for the clips of a run of
`iap evaluate`. Columns are shares of the time in which speech was found:

    bound             face and voice are the same person's
    other face        both are known, and they are different people's
    face unknown      the voice is known; the face that speaks is like nobody's, or no mouth makes the sound
    voice unknown     the face is known; the voice is like nobody's
    both unknown

and, where it is known who speaks when, the share of that time in which the right voice and the right face were found.

    python -m benchmarks.binding_decisions --world data/world --clips 8 --results runs/drawn_world/results.json
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks.measuring import markdown_table
from iap_pipelines.assets import find_benchmark
from iap_pipelines.data.reconstruction import CodecReconstruction
from iap_pipelines.evaluation.loading import load_models
from iap_pipelines.evaluation.observer import ClipObserver
from iap_pipelines.evaluation.people import CELL_SECONDS, cell_middles
from iap_pipelines.evaluation.reference_embeddings import ReferenceEmbeddings
from iap_pipelines.evaluation.references import ClipReference, SubjectReference
from iap_pipelines.evaluation.scoring import ClipScorer
from iap_pipelines.evaluation.settings import EvaluationSettings
from iap_pipelines.media import read_video
from iap_pipelines.synthetic import World
from iap_pipelines.training.recognisers.material import load_world
from iap_pipelines.types import AudioSamples, VideoFrames


OUTCOMES = ("bound", "other face", "face unknown", "voice unknown", "both unknown")
HEADER = ("clips", "number", *OUTCOMES, "right voice", "right face", "cpWER ↓")
_UNUSED = {"second_voice_embedder": None, "speech_quality": None}


class Decided(NamedTuple):
    """What was decided of one clip."""

    num_people: int
    seconds: np.ndarray
    """of each of `OUTCOMES`"""
    right: np.ndarray | None
    """seconds with the right voice, with the right face, and in all, where the truth is known"""
    word_errors: float
    num_words: float


def outcomes(confusion: Sequence[Sequence[float]]) -> np.ndarray:
    """Seconds of each of `OUTCOMES` in a confusion matrix of face (rows) and voice (columns), the last being nobody.

    >>> outcomes([[4.0, 1.0, 0.5], [0.0, 3.0, 0.0], [0.25, 0.0, 2.0]]).tolist()
    [7.0, 1.0, 0.25, 0.5, 2.0]
    """
    matrix = np.array(confusion)
    known = matrix[:-1, :-1]
    bound = np.trace(known)
    return np.array([bound, known.sum() - bound, matrix[-1, :-1].sum(), matrix[:-1, -1].sum(), matrix[-1, -1]])


def right_seconds(turns: Iterable[Mapping[str, Any]], lines: Iterable[Mapping[str, Any]], names: Sequence[str]):
    """How long the right voice and the right face were found while somebody speaks, and how long that is.

    Args:
        turns: as in `results.json`.
        lines: who speaks when, as in `clips.jsonl`.
        names: of the people, in the order of the caption.

    Returns:
        Seconds ``[3]``.
    """
    turns, lines = list(turns), list(lines)
    middles = cell_middles(max(span["end"] for span in [*turns, *lines]))
    found = {side: np.full(len(middles), None, object) for side in ("voice", "face")}
    for turn in turns:
        inside = (middles >= turn["start"]) & (middles < turn["end"])
        for side, labels in found.items():
            labels[inside] = turn[side]
    right = np.zeros(3)
    for line in lines:
        inside = (middles >= line["start"]) & (middles < line["end"])
        same = [np.sum(found[side][inside] == names[line["subject"] - 1]) for side in ("voice", "face")]
        right += np.array([*same, inside.sum()]) * CELL_SECONDS
    return right


class DrawnClips:
    """Scores clips of a folder of `iap synthesize`.

    Args:
        folder: of the world.
        world: the same.
        settings: models and thresholds.
        codecs: that the clips go through; ``None``: as they were drawn.
    """

    def __init__(
        self, folder: Path, world: World, settings: EvaluationSettings, codecs: CodecReconstruction | None = None
    ) -> None:
        self._folder, self._world, self._settings, self._codecs = folder, world, settings, codecs
        self._models = load_models(settings)
        self._references = ReferenceEmbeddings(self._models)

    def decide(self, clip_index: int) -> Decided:
        record = self._world.describe_clip(clip_index)
        names = [subject["identity"] for subject in record["subjects"]]
        subjects = tuple(self._subject(name, number, record) for number, name in enumerate(names, start=1))
        clip = ClipReference(record["clip_id"], self._folder / record["file"], subjects, record["caption"])
        observer = ClipObserver(*self._watch(clip.video), self._models)
        scorer = ClipScorer(clip, observer, self._references, self._settings.thresholds)
        (words,) = scorer.scores(("speaker_word_error_rate",))
        details = scorer.details()
        return Decided(
            len(names),
            outcomes(details["binding_confusion_seconds"]),
            right_seconds(details["turns"], record["lines"], names),
            words.value * words.weight,
            words.weight,
        )

    def _watch(self, path: Path) -> tuple[VideoFrames, AudioSamples]:
        video, audio = read_video(path)
        if self._codecs is None:
            return video, audio
        frames, samples = self._codecs.video(video.frames), self._codecs.sound(audio.to_mono().samples)
        return replace(video, frames=frames), replace(audio, samples=samples)

    def _subject(self, name: str, number: int, record: Mapping[str, Any]) -> SubjectReference:
        known = self._world.describe_identity(int(name.rpartition("-")[2]))
        text = " ".join(line["text"] for line in record["lines"] if line["subject"] == number)
        face, voice = (self._folder / known[side][0] for side in ("faces", "voices"))
        return SubjectReference(name, (face,), (), (voice,), text or None)


def read_results(path: Path) -> tuple[str, list[Decided]]:
    """Title and clips of a run; clips without a value of binding are left out."""
    content = json.loads(path.read_text(encoding="utf-8"))
    found = []
    for clip in content["clips"]:
        confusion = clip["details"].get("binding_confusion_seconds")
        words = next((score for score in clip["scores"] if score["metric"] == "speaker_word_error_rate"), None)
        if confusion and words and words["value"] is not None:
            errors = words["value"] * words["weight"]
            found.append(Decided(len(confusion) - 1, outcomes(confusion), None, errors, words["weight"]))
    return content["title"], found


def rows(title: str, decided: Iterable[Decided]) -> list[list[str]]:
    """A row per number of people."""
    decided = list(decided)
    table = []
    for people in sorted({clip.num_people for clip in decided}):
        of_count = [clip for clip in decided if clip.num_people == people]
        seconds = sum(clip.seconds for clip in of_count)
        cells = [f"{share:.0%}" for share in seconds / seconds.sum()]
        known = [clip.right for clip in of_count if clip.right is not None]
        voice, face, total = sum(known) if known else (0, 0, 0)
        cells += [f"{voice / total:.0%}", f"{face / total:.0%}"] if total else ["", ""]
        errors = sum(clip.word_errors for clip in of_count) / sum(clip.num_words for clip in of_count)
        name = f"{title}, {people} {'person' if people == 1 else 'people'}"
        table.append([name, str(len(of_count)), *cells, f"{errors:.2f}"])
    return table


def choose_clips(world: World, split: str, count: int) -> list[int]:
    """So many clips with each number of people, of the people of a split in turn."""
    per_person = world.config.clips_per_identity
    order = [person * per_person + turn for turn in range(per_person) for person in world.identities(split)]
    return [
        index
        for people in (1, 2, 3)
        for index in [index for index in order if world.num_people(index) == people][:count]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, required=True, help="folder that `iap synthesize` wrote")
    parser.add_argument("--voices", type=Path, help="its voice bank, if that is not in the folder")
    parser.add_argument("--split", default="test", choices=("train", "validation", "test"), help="(%(default)s)")
    parser.add_argument("--clips", type=int, default=32, help="with each number of people (%(default)s)")
    parser.add_argument("--settings", type=Path, help="YAML of `iap evaluate`; that of the drawn world if not given")
    parser.add_argument("--model", type=Path, help="pipeline folder whose codecs the clips go through too")
    parser.add_argument("--results", type=Path, help="results.json of a run to put beside them")
    args = parser.parse_args()
    settings = EvaluationSettings.load(args.settings or find_benchmark("drawn-world") / "settings.yaml")
    world = load_world(args.world, args.voices)
    settings, chosen = settings.model_copy(update=_UNUSED), choose_clips(world, args.split, args.clips)
    ways = {"as drawn": None}
    if args.model:
        ways["through the codecs"] = CodecReconstruction.from_pretrained(args.model)
    table = []
    for title, codecs in ways.items():
        clips = DrawnClips(args.world, world, settings, codecs)
        table += rows(title, map(clips.decide, tqdm(chosen, desc=title, mininterval=2)))
    if args.results:
        table += rows(*read_results(args.results))
    print(markdown_table(HEADER, table))


if __name__ == "__main__":
    main()
