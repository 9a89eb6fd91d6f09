"""What the metrics are worth on real clips: genuine pairs against swapped pairs, and clips with a known fault.

Reads any folder with a `manifest.csv` (`benchmarks.media_folder` says which columns). Prints two tables:

1. per metric, the area under the curve and the equal error rate of telling genuine from swapped pairs, with 95 %
   bootstrap intervals. Faces and voices: a clip with another file of the same person, against files of others. Lip
   sync: a clip with its own sound, against the sounds of the others. Binding: the person who is seen and heard,
   against the same clip with the sound of another person, who is a reference too (`binding`) or is not (`binding,
   unknown voice`). There a person is known from all other files of them, and from the clip itself if there is none.
2. clips with a stated fault (another voice, sound that is late), below the person's clips without it.

    IAP_MEDIA_DIR=../shared/media python -m benchmarks.metrics_media

Every value is measured once and written down in `--work`: stop it at any moment, start it again, and it goes on.
"""

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.measuring import markdown_table
from benchmarks.media_folder import MediaRow, read_manifest
from benchmarks.score_book import ScoreBook
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
from iap_pipelines.evaluation.run import DEFINITIONS
from iap_pipelines.evaluation.scoring import ClipScorer
from iap_pipelines.evaluation.settings import EvaluationSettings
from iap_pipelines.media import MediaError, read_sound, read_video


FACE, VOICE, LIPS, BINDING = "face_similarity", "voice_similarity", "lip_sync_confidence", "binding"
UNKNOWN = "binding, unknown voice"
SHOWN = (FACE, VOICE, "lip_sync_offset", LIPS, BINDING)
FOLDER_VARIABLE = "IAP_MEDIA_DIR"

Pairs = tuple[list[float], list[float]]
"""Scores of genuine and of swapped pairs."""
Values = dict[str, float | None]


class MediaTest:
    """Observes each clip once and compares it with everything.

    Args:
        rows: of the manifest.
        models: who looks and listens.
        settings: thresholds and seed.
        book: keeps what was measured.
    """

    def __init__(
        self, rows: Sequence[MediaRow], models: EvaluationModels, settings: EvaluationSettings, book: ScoreBook
    ) -> None:
        self._models, self._settings, self._book = models, settings, book
        self._references = ReferenceEmbeddings(models)
        self._observers: dict[Path, ClipObserver] = {}
        self._sounds: dict[Path, Listener] = {}
        self._frames: dict[Path, np.ndarray] = {}
        self.clean = [row for row in rows if row.is_clean]
        self.faulty = [row for row in rows if row.is_faulty]
        self._faces = [row for row in rows if row.shows_one and not row.is_faulty and row.kind != "composite"]
        self._voices = [row for row in rows if row.sounds_like_one and row.kind != "composite"]

    # --- Genuine and swapped ---------------------------------------------------------------------------------------

    def separate(self, progress: Callable[[Iterable], Iterable] = list) -> dict[str, Pairs]:
        """Scores of genuine and of swapped pairs, per metric."""
        found: dict[str, Pairs] = {name: ([], []) for name in (FACE, VOICE, LIPS, BINDING, UNKNOWN)}
        for row in progress(self.clean):
            self._separate_sounds(row, found)
            self._forget(row)
        self._compare(FACE, self._faces, lambda row: row.seen[0], self._face_pair, found)
        self._compare(VOICE, self._voices, lambda row: row.speaking[0], self._voice_pair, found)
        return found

    def _separate_sounds(self, row: MediaRow, found: dict[str, Pairs]) -> None:
        """One clip with its own sound and with that of every other person."""
        # The same person in another clip is neither the genuine sound nor a stranger's.
        for other in (other for other in self.clean if other is row or other.seen != row.seen):
            values = self._measured("sounds", (row, other), lambda other=other: self._with_sound_of(row, other))
            swapped = other is not row
            for name in (LIPS, BINDING, UNKNOWN):
                if values.get(name) is not None:
                    found[name][swapped].append(values[name])

    def _with_sound_of(self, row: MediaRow, other: MediaRow) -> Values:
        observer = self._observe(row).with_sound(self._listen(other))
        alone = self._score(observer, [self._person(row)], (LIPS, BINDING))
        if other is row:
            return alone | {UNKNOWN: alone[BINDING]}
        both = self._score(observer, [self._person(row), self._person(other)], (BINDING,))
        return {LIPS: alone[LIPS], UNKNOWN: alone[BINDING], BINDING: both[BINDING]}

    def _compare(
        self,
        name: str,
        rows: Sequence[MediaRow],
        who: Callable[[MediaRow], str],
        similarity: Callable[[MediaRow, MediaRow], float],
        found: dict[str, Pairs],
    ) -> None:
        for one, other in combinations(rows, 2):
            values = self._measured(name, (one, other), lambda one=one, other=other: {name: similarity(one, other)})
            if values.get(name) is not None:
                found[name][who(one) != who(other)].append(values[name])

    def _face_pair(self, one: MediaRow, other: MediaRow) -> float | None:
        """Frames of a clip, where one of them is a clip, with a picture of the other."""
        if not one.is_video:
            one, other = other, one
        picture = self._references.faces("face_embedder", (other.path,))
        return face_similarity(self._frames_of(one), picture).similarity

    def _frames_of(self, row: MediaRow) -> np.ndarray:
        """Embeddings ``[F, D]`` of the face that is seen longest."""
        if not row.is_video:
            return self._references.faces("face_embedder", (row.path,))
        if row.path not in self._frames:
            self._frames[row.path] = self._observe(row).embed_faces("face_embedder")[0]
        return self._frames[row.path]

    def _voice_pair(self, one: MediaRow, other: MediaRow) -> float:
        voices = [self._references.voices("voice_embedder", (row.path,)) for row in (one, other)]
        return voice_similarity(template(voices[0]), voices[1])

    # --- Faults ----------------------------------------------------------------------------------------------------

    def fault_rows(self) -> list[list[str]]:
        """Scores of the clips of everybody who has a faulty one, the faulty ones last."""
        rows = []
        for person in dict.fromkeys(faulty.seen for faulty in self.faulty):
            faulty = [row for row in self.faulty if row.seen == person]
            for row in [*(row for row in self.clean if row.seen == person), *faulty]:
                values = self._measured("fault", (row,), lambda row=row: self._score_file(row))
                rows.append([row.path.name, describe_fault(row), *(_show(values.get(name)) for name in SHOWN)])
        return rows

    def _score_file(self, row: MediaRow) -> Values:
        """Everybody who is seen or heard is a reference, as far as they are known from other files."""
        people = [self._person(row)]
        heard = next((other for other in self.clean if other.seen == row.speaking and row.has_another_voice), None)
        return self._score(self._observe(row), people + ([self._person(heard)] if heard else []), SHOWN)

    # --- One clip --------------------------------------------------------------------------------------------------

    def _measured(self, what: str, rows: Sequence[MediaRow], measure: Callable[[], Values]) -> Values:
        """What is written down about these files, or what is found now; nothing of what cannot be read."""

        def try_to() -> Values:
            try:
                return measure()
            except (MediaError, NotMeasured) as reason:
                tqdm.write(f"{what} of {', '.join(row.path.name for row in rows)}: {reason}", file=sys.stderr)
                return {}

        return self._book.get(" ".join([what, *(row.digest for row in rows)]), try_to)

    def _observe(self, row: MediaRow) -> ClipObserver:
        if row.path not in self._observers:
            self._observers[row.path] = ClipObserver(*read_video(row.path), self._models)
        return self._observers[row.path]

    def _forget(self, row: MediaRow) -> None:
        """Let a clip's pictures go, but not its faces."""
        if row.path in self._observers:
            with suppress(NotMeasured):
                self._frames_of(row)
            del self._observers[row.path]

    def _listen(self, row: MediaRow) -> Listener:
        if row.path not in self._sounds:
            audio = read_sound(row.path)
            self._sounds[row.path] = Listener(audio, audio.duration_seconds if audio else 0.0, self._models)
        return self._sounds[row.path]

    def _person(self, row: MediaRow) -> SubjectReference:
        """Who is seen in a clip, known from all other files; from this one where there is none."""
        faces = [other.path for other in self._faces if other.seen == row.seen and other.path != row.path]
        voices = [other.path for other in self._voices if other.speaking == row.seen and other.path != row.path]
        own = () if row.has_another_voice else (row.path,)
        return SubjectReference(row.seen[0], faces=tuple(faces) or (row.path,), voices=tuple(voices) or own)

    def _score(self, observer: ClipObserver, people: Sequence[SubjectReference], names: Sequence[str]) -> Values:
        """Scores by metric; of metrics per person, the first one's."""
        scorer = ClipScorer(
            ClipReference("clip", Path(), tuple(people)), observer, self._references, self._settings.thresholds
        )
        values: Values = {}
        for score in scorer.scores(names):
            values.setdefault(score.metric, score.value)
        return values


def describe_fault(row: MediaRow) -> str:
    """What the manifest says is wrong."""
    parts = ["another voice"] if row.has_another_voice else []
    if row.late_ms is not None:
        parts.append("late sound" if math.isnan(row.late_ms) else f"sound {row.late_ms:g} ms late")
    return ", ".join(parts)


def separation_rows(found: dict[str, Pairs], seed: int) -> list[list[str]]:
    """A row per metric; `null` without pairs of both kinds."""
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get(FOLDER_VARIABLE, "../shared/media"))
    parser.add_argument(
        "--folder", type=Path, default=default, help=f"with manifest.csv; ${FOLDER_VARIABLE} (%(default)s)"
    )
    parser.add_argument("--settings", type=Path, help="YAML of `iap evaluate`")
    parser.add_argument("--work", type=Path, default=Path("runs/metrics_media"), help="keeps scores (%(default)s)")
    args = parser.parse_args()
    settings = EvaluationSettings.load(args.settings) if args.settings else EvaluationSettings()
    try:
        rows = read_manifest(args.folder)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    # Words are not compared here, and hearing them takes longest.
    settings = settings.model_copy(update={"transcriber": None, "speech_quality": None})
    models = load_models(settings)
    depends = {"models": models.revisions(), "definitions": DEFINITIONS, **settings.model_dump(mode="json")}
    test = MediaTest(rows, models, settings, ScoreBook(args.work / "scores.jsonl", depends))
    found = test.separate(lambda items: tqdm(items, desc="clips"))
    header = ["metric", "genuine", "swapped", "mean genuine", "mean swapped", "AUC ↑", "EER ↓"]
    print(markdown_table(header, separation_rows(found, settings.seed)), end="\n\n")
    print(markdown_table(["file", "fault", *SHOWN], test.fault_rows()), end="\n\n")
    print("; ".join(f"{role}: {model}" for role, model in models.revisions().items() if model))


if __name__ == "__main__":
    main()
