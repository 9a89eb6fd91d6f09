"""What the metrics are worth on real clips: genuine pairs against swapped pairs, and clips with a known fault.

Reads any folder with a `manifest.csv` that says who is seen (`identity`, from left to right, with `;`) and who speaks
(`speaking`): the columns of ../shared/media. Prints two tables:

1. per metric, the area under the curve and the equal error rate of telling genuine from swapped pairs, with 95 %
   bootstrap intervals. Faces: a clip with another file of the same person, against files of others. Voices: the same.
   Lip sync: a clip with its own sound, against the sound of the others. Binding: a clip with the references of the
   person who is seen and heard, against the same clip with the sound of another person who is a reference too.
2. files whose `notes` state a fault (another voice, sound that is late), beside the person's untouched clip.

    IAP_MEDIA_DIR=../shared/media python -m benchmarks.metrics_media
"""

import argparse
import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.measuring import markdown_table
from iap_pipelines.evaluation.functional import (
    Interval,
    area_under_curve,
    bootstrap_separation,
    equal_error_rate,
    face_similarity,
    template,
    voice_similarity,
)
from iap_pipelines.evaluation.listener import Listener
from iap_pipelines.evaluation.loading import load_models
from iap_pipelines.evaluation.models import EvaluationModels, NotMeasured
from iap_pipelines.evaluation.observer import ClipObserver
from iap_pipelines.evaluation.reference_embeddings import ReferenceEmbeddings
from iap_pipelines.evaluation.references import ClipReference, SubjectReference
from iap_pipelines.evaluation.results import Score
from iap_pipelines.evaluation.scoring import ClipScorer
from iap_pipelines.evaluation.settings import EvaluationSettings
from iap_pipelines.media import read_sound, read_video


FACE, VOICE, LIPS, BINDING = "face_similarity", "voice_similarity", "lip_sync_confidence", "binding"
SHOWN = (FACE, VOICE, "lip_sync_offset", LIPS, BINDING)
FOLDER_VARIABLE = "IAP_MEDIA_DIR"

Pairs = tuple[list[float], list[float]]
"""Scores of genuine and of swapped pairs."""


@dataclass(frozen=True)
class MediaRow:
    """One line of the manifest."""

    path: Path
    kind: str
    seen: tuple[str, ...]
    speaking: tuple[str, ...]
    fault: str | None
    """what the notes say is wrong, if anything"""


class ScoreBook:
    """Values on disk, one JSON line each, so that an interrupted run goes on.

    Args:
        path: the file; its folder is made.
        settings: what the values depend on; others' values are left alone.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._prefix = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
        self._values: dict[str, Any] = {}
        written = path.read_text(encoding="utf-8") if path.exists() else ""
        whole = written[: written.rfind("\n") + 1]  # without a line that was cut off when the run was stopped
        path.write_text(whole, encoding="utf-8")
        for line in whole.splitlines():
            self._values.update(json.loads(line))

    def get(self, key: str, measure: Callable[[], Any]) -> Any:
        """The value that is written down, or what ``measure`` finds."""
        key = f"{self._prefix} {key}"
        if key not in self._values:
            self._values[key] = measure()
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps({key: self._values[key]}) + "\n")
        return self._values[key]


def read_manifest(folder: Path) -> list[MediaRow]:
    """Every file of the manifest but those of the kind `bad`.

    Raises:
        FileNotFoundError: without a manifest.
    """
    path = folder / "manifest.csv"
    if not path.is_file():
        raise FileNotFoundError(f"`{FOLDER_VARIABLE}` must name a folder with a manifest.csv, but there is no {path}.")
    with open(path, encoding="utf-8", newline="") as file:
        return [_row(folder, row) for row in csv.DictReader(file) if row["kind"] != "bad"]


def _row(folder: Path, row: dict[str, str]) -> MediaRow:
    seen, speaking = (tuple(filter(None, row[name].split(";"))) for name in ("identity", "speaking"))
    fault = "late sound" if "audio" in row["notes"] and "late" in row["notes"] else None
    if row["kind"] in ("video", "composite") and len(seen) == 1 and speaking and speaking != seen:
        fault = "another voice"
    return MediaRow(folder / row["file"], row["kind"], seen, speaking, fault)


class MediaTest:
    """Observes each clip once and compares it with everything.

    Args:
        rows: of the manifest.
        models: who looks and listens.
        settings: thresholds and seed.
        book: keeps what was measured.
    """

    def __init__(
        self, rows: Sequence[MediaRow], models: EvaluationModels, settings: EvaluationSettings, book: "ScoreBook"
    ) -> None:
        self._models, self._settings, self._book = models, settings, book
        self._sounds: dict[Path, Listener] = {}
        self._references = ReferenceEmbeddings(models)
        self._frames: dict[Path, np.ndarray] = {}
        self.alone = [row for row in rows if row.kind == "video" and row.seen == row.speaking and len(row.seen) == 1]
        """clips of one person who is seen and heard"""
        self.faulty = [row for row in rows if row.fault and row.kind in ("video", "composite")]
        self._faces = [row for row in rows if len(row.seen) == 1 and row.kind in ("video", "image") and not row.fault]
        self._voices = [row for row in rows if len(row.speaking) == 1 and row.kind in ("video", "voice")]

    def separate(self, progress: Callable[[Iterable], Iterable]) -> dict[str, Pairs]:
        """Scores of genuine and of swapped pairs, per metric."""
        found: dict[str, Pairs] = {name: ([], []) for name in (FACE, VOICE, LIPS, BINDING)}
        for row in progress(self.alone):
            self._separate_sounds(row, found)
        self._compare(FACE, self._faces, lambda row: row.seen[0], self._face_pair, found)
        self._compare(VOICE, self._voices, lambda row: row.speaking[0], self._voice_pair, found)
        return found

    def _separate_sounds(self, row: MediaRow, found: dict[str, Pairs]) -> None:
        """One clip with its own sound and with that of every other person."""
        observer: ClipObserver | None = None
        # The same person in another clip is neither the genuine sound nor a stranger's.
        for other in (other for other in self.alone if other is row or other.seen != row.seen):

            def measure(other: MediaRow = other) -> dict[str, float | None]:
                nonlocal observer
                observer = observer or ClipObserver(*read_video(row.path), self._models)
                people = [row] if other is row else [row, other]
                scores = self._score(row, observer.with_sound(self._sound(other)), people, (LIPS, BINDING))
                return {name: score.value for name, score in scores.items()}

            values = self._book.get(f"sounds {row.path.name} {other.path.name}", measure)
            for name in (LIPS, BINDING):
                if values[name] is not None:
                    found[name][other is not row].append(values[name])

    def _sound(self, row: MediaRow) -> Listener:
        if row.path not in self._sounds:
            audio = read_sound(row.path)
            self._sounds[row.path] = Listener(audio, audio.duration_seconds if audio else 0.0, self._models)
        return self._sounds[row.path]

    def _compare(
        self,
        name: str,
        rows: Sequence[MediaRow],
        who: Callable[[MediaRow], str],
        similarity: Callable[[MediaRow, MediaRow], float],
        found: dict[str, Pairs],
    ) -> None:
        for one, other in combinations(rows, 2):

            def measure(one: MediaRow = one, other: MediaRow = other) -> float | None:
                try:
                    return similarity(one, other)
                except NotMeasured:
                    return None

            value = self._book.get(f"{name} {one.path.name} {other.path.name}", measure)
            if value is not None:
                found[name][who(one) != who(other)].append(value)

    def _face_pair(self, one: MediaRow, other: MediaRow) -> float:
        """Frames of a clip, where one of them is a clip, with a picture of the other."""
        if one not in self.alone:
            one, other = other, one
        picture = self._references.faces("face_embedder", (other.path,))
        return face_similarity(self._frames_of(one), picture).similarity

    def _frames_of(self, row: MediaRow) -> np.ndarray:
        if row not in self.alone:
            return self._references.faces("face_embedder", (row.path,))
        if row.path not in self._frames:
            self._frames[row.path] = ClipObserver(*read_video(row.path), self._models).embed_faces("face_embedder")[0]
        return self._frames[row.path]

    def _voice_pair(self, one: MediaRow, other: MediaRow) -> float:
        voices = [self._references.voices("voice_embedder", (row.path,)) for row in (one, other)]
        return voice_similarity(template(voices[0]), voices[1])

    def fault_rows(self) -> list[list[str]]:
        """Scores of each faulty clip and, before it, of the person's clip without the fault."""
        rows = []
        for faulty in self.faulty:
            clean = next((row for row in self.alone if row.seen == faulty.seen and row.path != faulty.path), None)
            heard = [row for row in self.alone if row.seen == faulty.speaking and row.seen != faulty.seen]
            people = [clean or faulty, *heard[:1]]
            for row in filter(None, (clean, faulty)):
                values = self._book.get(
                    f"fault {row.path.name} {' '.join(p.path.name for p in people)}",
                    lambda row=row, people=people: self._score_file(row, people),
                )
                rows.append([row.path.name, row.fault or "", *(_show(values[name]) for name in SHOWN)])
        return rows

    def _score_file(self, row: MediaRow, people: Sequence[MediaRow]) -> dict[str, float | None]:
        scores = self._score(row, ClipObserver(*read_video(row.path), self._models), people, SHOWN)
        return {name: score.value for name, score in scores.items()}

    def _score(
        self, row: MediaRow, observer: ClipObserver, people: Sequence[MediaRow], names: Sequence[str]
    ) -> dict[str, Score]:
        """Scores with every person's own clip as the reference; of metrics per person, the first one's."""
        subjects = tuple(SubjectReference(p.seen[0], faces=(p.path,), voices=(p.path,)) for p in people)
        scorer = ClipScorer(
            ClipReference(row.path.name, row.path, subjects),
            observer,
            self._references,
            min_face_similarity=self._settings.min_face_similarity,
            min_voice_similarity=self._settings.min_voice_similarity,
        )
        found: dict[str, Score] = {}
        for score in scorer.scores(names):
            found.setdefault(score.metric, score)
        return found


def separation_rows(found: dict[str, Pairs], seed: int) -> list[list[str]]:
    """A row per metric with enough pairs."""
    rows = []
    for name, (genuine, swapped) in found.items():
        cells = [name, str(len(genuine)), str(len(swapped))]
        if genuine and swapped:
            pairs = np.array(genuine), np.array(swapped)
            cells += [f"{pairs[0].mean():.3f}", f"{pairs[1].mean():.3f}"]
            cells += [
                _show_interval(bootstrap_separation(statistic, *pairs, seed=seed))
                for statistic in (area_under_curve, equal_error_rate)
            ]
        rows.append(cells + ["null"] * (7 - len(cells)))
    return rows


def _show(value: float | None) -> str:
    return "null" if value is None else f"{value:.3f}"


def _show_interval(interval: Interval) -> str:
    ends = "" if interval.low is None else f" ({interval.low:.3f} to {interval.high:.3f})"
    return f"{interval.value:.3f}{ends}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(os.environ.get(FOLDER_VARIABLE, "../shared/media"))
    parser.add_argument(
        "--folder", type=Path, default=default, help=f"with manifest.csv; ${FOLDER_VARIABLE} (%(default)s)"
    )
    parser.add_argument("--settings", type=Path, help="YAML of `iap evaluate`")
    parser.add_argument("--work", type=Path, default=Path("runs/metrics_media"), help="keeps scores (%(default)s)")
    args = parser.parse_args()
    settings = EvaluationSettings.load(args.settings) if args.settings else EvaluationSettings()
    # Words are not compared here, and hearing them takes longest.
    settings = settings.model_copy(update={"transcriber": None, "speech_quality": None})
    models = load_models(settings)
    book = ScoreBook(args.work / "scores.jsonl", {"models": models.revisions(), **settings.model_dump(mode="json")})
    test = MediaTest(read_manifest(args.folder), models, settings, book)
    found = test.separate(lambda items: tqdm(items, leave=False))
    header = ["metric", "genuine", "swapped", "mean genuine", "mean swapped", "AUC ↑", "EER ↓"]
    print(markdown_table(header, separation_rows(found, settings.seed)), end="\n\n")
    print(markdown_table(["file", "fault", *SHOWN], test.fault_rows()), end="\n\n")
    print("; ".join(f"{role}: {model}" for role, model in models.revisions().items() if model))


if __name__ == "__main__":
    main()
