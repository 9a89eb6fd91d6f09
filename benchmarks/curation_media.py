"""Curate a folder whose truth is known, and say what was reached: `python -m benchmarks.curation_media`.

The folder holds `manifest.csv` (one line per file: who is seen from left to right, who speaks) and `labels.csv` (timed
truth: shots, and who speaks when on which side). `IAP_MEDIA_DIR` names it; `../shared/media` beside the repository if
not given.
"""

import argparse
import csv
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import markdown_table
from iap_pipelines.curation.collect import Collected, collect
from iap_pipelines.curation.config import CurationConfig
from iap_pipelines.curation.discovery import find_sources
from iap_pipelines.curation.ledger import Ledger
from iap_pipelines.curation.records import Clip, ClipTurn, Shot, Source, Track, TrackSync
from iap_pipelines.curation.run import curate, make_plan
from iap_pipelines.curation.walk import Walked


MEDIA_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "media"
CHANGE_SECONDS = 0.3
"""Around a change of speaker nobody is asked who speaks."""
MAX_SHOT_FRAMES = 2
MAX_OFFSET_ERROR_SECONDS = 0.08


@dataclass(frozen=True)
class Truth:
    """What is known of one file."""

    file: str
    kind: str
    identities: tuple[str, ...]
    speaking: tuple[str, ...]
    late_seconds: float | None
    labels: tuple[dict[str, str], ...]

    @property
    def may_be_kept(self) -> bool:
        """Somebody is seen, everybody who is heard is seen, and the sound is in time."""
        heard = set(self.speaking)
        return bool(self.identities) and bool(heard) and heard <= set(self.identities) and self.late_seconds is None


def read_truth(folder: Path) -> dict[str, Truth]:
    """Videos of the manifest by file."""
    with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
        manifest = list(csv.DictReader(file))
    labels: dict[str, list[dict[str, str]]] = {}
    if (folder / "labels.csv").is_file():
        with open(folder / "labels.csv", newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                labels.setdefault(row["file"], []).append(row)
    return {row["file"]: _truth(row, labels.get(row["file"], [])) for row in manifest if _is_video(row)}


def _is_video(row: dict[str, str]) -> bool:
    return row["kind"] in ("video", "composite", "bad")


def _truth(row: dict[str, str], labels: list[dict[str, str]]) -> Truth:
    late = re.search(r"(\d+) ms late", row["notes"] or "")
    return Truth(
        file=row["file"],
        kind=row["kind"],
        identities=_names(row["identity"]),
        speaking=_names(row["speaking"]),
        late_seconds=int(late[1]) / 1000 if late else None,
        labels=tuple(labels),
    )


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name for name in (text or "").split(";") if name)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    target: str
    found: str
    reached: bool | None
    """``None`` for what is told, but no target"""


def judge(collected: Collected, truth: dict[str, Truth]) -> list[Row]:
    """Every target with what was found."""
    by_path = {walked.known.source.path: walked for walked in collected.walked.values()}
    rows: list[Row] = []
    sound: dict[str, Walked] = {}
    for file, known in truth.items():
        walked = by_path.get(file)
        if walked is None:
            rejects = [reject for reject in collected.rejects if reject.record_id == file]
            rows.append(Row(f"{file}: handled", rejects[0].reason if rejects else "lost", bool(rejects)))
            continue
        if known.kind == "bad":
            rows.append(Row(f"{file}: handled", _outcome(walked), True))
            continue
        if any(label["what"] == "shot" for label in known.labels):
            rows.append(_shots(walked, known))
        if any(label["what"] == "speech" for label in known.labels):
            rows.append(_turns(walked, known))
        if known.late_seconds is not None:
            rows.append(_offset(walked, known))
        if known.may_be_kept:
            sound[file] = walked
        else:
            rows.append(Row(f"{file}: rejected", _outcome(walked), not walked.kept))
    kept = [file for file, walked in sound.items() if walked.kept]
    left_out = [f"{file}: {_outcome(walked)}" for file, walked in sound.items() if not walked.kept]
    found = f"{len(kept)} of {len(sound)}" + (f"; not {'; '.join(left_out)}" if left_out else "")
    rows.append(Row("files that may be kept: kept", found, None))
    rows += _identities(collected, truth)
    return rows


def _outcome(walked: Walked) -> str:
    source_id = walked.known.source.source_id
    if source_id in walked.rejects:
        return walked.rejects[source_id].reason
    clips = walked.known.all(Clip)
    reasons = [walked.rejects[clip.clip_id].reason if clip.clip_id in walked.rejects else "kept" for clip in clips]
    counts = {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}
    return ", ".join(reason if count == 1 else f"{count} x {reason}" for reason, count in counts.items())


def _shots(walked: Walked, known: Truth) -> Row:
    rate = walked.known.one(Source).source_frame_rate
    wanted = sorted(float(label["start"]) for label in known.labels if label["what"] == "shot")[1:]
    found = [shot.start_seconds for shot in walked.known.all(Shot) if shot.shot_index > 0]
    hits = sum(any(abs(cut - start) <= MAX_SHOT_FRAMES / rate + 1e-6 for cut in found) for start in wanted)
    extra = len(found) - hits
    return Row(
        f"{known.file}: every cut within {MAX_SHOT_FRAMES} frames",
        f"{hits} of {len(wanted)} found, {extra} too many",
        hits == len(wanted) and extra == 0,
    )


def _turns(walked: Walked, known: Truth) -> Row:
    """Share of the labelled speech that is heard by us and given to the side of the picture that the labels say."""
    tracks = {track.track_id: track for track in walked.known.all(Track)}
    right = wrong = open_ = 0.0
    for label in (label for label in known.labels if label["what"] == "speech"):
        start, end = float(label["start"]) + CHANGE_SECONDS, float(label["end"]) - CHANGE_SECONDS
        for turn in walked.known.all(ClipTurn):
            seconds = max(0.0, min(end, turn.end_seconds) - max(start, turn.start_seconds))
            if turn.track_id is None:
                open_ += seconds
                continue
            side = "left" if tracks[turn.track_id].center_x < 0.5 else "right"
            right, wrong = (right + seconds, wrong) if side == label["side"] else (right, wrong + seconds)
    total = right + wrong + open_
    return Row(
        f"{known.file}: lines given to who says them",
        f"{100 * right / total:.1f} % right, {100 * wrong / total:.1f} % wrong, {100 * open_ / total:.1f} % open"
        if total
        else "no speech found",
        total > 0 and right == total,
    )


def _offset(walked: Walked, known: Truth) -> Row:
    scores = walked.known.all(TrackSync) if walked.known.has(TrackSync) else ()
    best = max(scores, key=lambda record: record.sync_score, default=None)
    error = None if best is None else abs(best.sync_offset_seconds - known.late_seconds)
    return Row(
        f"{known.file}: {1000 * known.late_seconds:.0f} ms within {1000 * MAX_OFFSET_ERROR_SECONDS:.0f} ms",
        "not measured" if best is None else f"{1000 * best.sync_offset_seconds:.0f} ms",
        error is not None and error <= MAX_OFFSET_ERROR_SECONDS + 1e-9,
    )


def true_identity(known: Truth, number: int, num_subjects: int, middle_seconds: float) -> str | None:
    """Who the k-th subject from the left is; ``None`` when the labels do not say."""
    for label in known.labels:
        if label["what"] == "shot" and float(label["start"]) <= middle_seconds < float(label["end"]):
            names = _names(label["identity"])
            return names[number - 1] if len(names) == num_subjects else None
    return known.identities[number - 1] if len(known.identities) == num_subjects else None


def _identities(collected: Collected, truth: dict[str, Truth]) -> Iterable[Row]:
    person: dict[str, str] = {}
    for walked in collected.walked.values():
        known = truth.get(walked.known.source.path)
        for clip in walked.kept if known is not None else ():
            group = [subject for subject in collected.subjects if subject.clip_id == clip.clip_id]
            for subject in group:
                middle = (clip.start_seconds + clip.end_seconds) / 2
                name = true_identity(known, subject.number, len(group), middle)
                if name is not None:
                    person[subject.subject_id] = name
    found = {subject.subject_id: subject.identity_id for subject in collected.subjects}
    pairs = [(a, b) for a in person for b in person if a < b]
    same = [pair for pair in pairs if person[pair[0]] == person[pair[1]]]
    linked = [pair for pair in pairs if found[pair[0]] == found[pair[1]]]
    right = [pair for pair in linked if person[pair[0]] == person[pair[1]]]
    yield Row("appearances of one person linked", f"{len(right)} of {len(same)} pairs", len(right) == len(same))
    merged = sorted({"+".join(sorted((person[a], person[b]))) for a, b in linked if person[a] != person[b]})
    yield Row("different people merged", ", ".join(merged) or "none", not merged)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--media", type=Path, default=Path(os.environ.get("IAP_MEDIA_DIR", MEDIA_FOLDER)))
    parser.add_argument("--output", type=Path, help="folder of the run, continued; a temporary one if not given")
    parser.add_argument("--config", type=Path, help="settings as of `iap curate --config`")
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        output = args.output or Path(temporary)
        rows = measure(args.media, output, args.config, args.workers)
    words = {True: "yes", False: "NO", None: ""}
    cells = [(row.target, row.found, words[row.reached]) for row in rows]
    print(markdown_table(("target", "found", "reached"), cells))
    targets = [row.reached for row in rows if row.reached is not None]
    print(f"\n{sum(targets)} of {len(targets)} targets reached.")
    return 0


def measure(media: Path, output: Path, config_file: Path | None, workers: int) -> list[Row]:
    """Curate, read the ledger again, and compare with the truth."""
    config = CurationConfig() if config_file is None else CurationConfig.from_yaml(config_file)
    curate(media, output, config, workers=workers)
    found = find_sources(media.absolute(), leave_out=output.absolute())
    plan = make_plan(config, output.absolute())
    collected = collect(found, config, plan, Ledger(output.absolute() / "ledger"), media.absolute())
    return judge(collected, read_truth(media))


if __name__ == "__main__":
    raise SystemExit(main())
