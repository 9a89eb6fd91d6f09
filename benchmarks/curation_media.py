"""Curate a folder whose truth is known, and say what was reached: `python -m benchmarks.curation_media`.

The folder holds `manifest.csv` (one line per file: who is seen from left to right, who speaks) and `labels.csv` (timed
truth: shots, and who speaks when on which side). `IAP_MEDIA_DIR` names it; `../shared/media` beside the repository if
not given.
"""

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measuring import markdown_table
from benchmarks.media_truth import Truth, read_truth
from iap_pipelines.curation.collect import Collected, collect
from iap_pipelines.curation.config import CurationConfig
from iap_pipelines.curation.discovery import find_sources
from iap_pipelines.curation.ledger import Ledger
from iap_pipelines.curation.people import numbered_tracks
from iap_pipelines.curation.records import Clip, ClipTurn, Shot, Source, TrackSync
from iap_pipelines.curation.run import curate, make_plan
from iap_pipelines.curation.walk import Walked
from iap_pipelines.media import read_sound
from iap_pipelines.types import AudioSamples


MEDIA_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "media"
CHANGE_SECONDS = 0.3
"""Around a change of speaker nobody is asked who speaks."""
MAX_SHOT_FRAMES = 2
MAX_OFFSET_ERROR_SECONDS = 0.08
MAX_UNHEARD_SECONDS = 0.3
"""Longest piece of a line that may be heard by nobody: what a voice activity detector takes off its ends."""
_QUIET_DECIBELS = 20.0
"""A line is silent where it lies this far below its own loud parts: lines are labelled with their pauses."""
_STEP_SECONDS = 0.02
_BESIDE = {"too_short", "no_speech"}
"""Reasons that pieces of a file may have whatever the whole is rejected for."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    target: str
    found: str
    reached: bool | None
    """``None`` for what is told, but no target"""


def judge(collected: Collected, truth: dict[str, Truth], folder: Path) -> list[Row]:
    """Every target with what was found in the files of a folder."""
    by_path = {walked.known.source.path: walked for walked in collected.walked.values()}
    unread = {reject.record_id: reject.reason for reject in collected.rejects}
    rows: list[Row] = []
    sound: dict[str, Walked] = {}
    for file, known in truth.items():
        walked = by_path.get(file)
        if walked is None:
            reason = unread.get(file, "lost")
            rows.append(_right_reason(known, reason, {reason: 1}))
            continue
        if any(label["what"] == "shot" for label in known.labels):
            rows.append(_shots(walked, known))
        if any(label["what"] == "speech" for label in known.labels):
            rows.append(_turns(walked, known, folder))
        if known.late_seconds is not None:
            rows.append(_offset(walked, known))
        if known.may_be_kept:
            sound[file] = walked
        else:
            rows.append(_right_reason(known, _outcome(walked), _reasons(walked)))
    kept = [file for file, walked in sound.items() if walked.kept]
    left_out = [f"{file}: {_outcome(walked)}" for file, walked in sound.items() if not walked.kept]
    found = f"{len(kept)} of {len(sound)}" + (f"; not {'; '.join(left_out)}" if left_out else "")
    rows.append(Row("files that may be kept: kept", found, None))
    rows += _identities(collected, truth)
    return rows


def _right_reason(known: Truth, outcome: str, reasons: Mapping[str, int]) -> Row:
    """A file that must not be kept, for a reason that is true; where none is stated it has to be accounted for."""
    if not known.reasons:
        return Row(f"{known.file}: handled", outcome, "lost" not in reasons)
    right = set(reasons) <= known.reasons | _BESIDE and bool(set(reasons) & known.reasons)
    return Row(f"{known.file}: rejected, {' or '.join(sorted(known.reasons))}", outcome, right)


def _reasons(walked: Walked) -> dict[str, int]:
    """How many clips of a source have each reason, ``kept`` among them."""
    source_id = walked.known.source.source_id
    if source_id in walked.rejects:
        return {walked.rejects[source_id].reason: 1}
    clips = walked.known.all(Clip)
    reasons = [walked.rejects[clip.clip_id].reason if clip.clip_id in walked.rejects else "kept" for clip in clips]
    return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}


def _outcome(walked: Walked) -> str:
    return ", ".join(reason if count == 1 else f"{count} x {reason}" for reason, count in _reasons(walked).items())


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


def _turns(walked: Walked, known: Truth, folder: Path) -> Row:
    """Share of the labelled speech that is heard by us and given to the side of the picture that the labels say."""
    sides = _sides(walked)
    turns = walked.known.all(ClipTurn)
    right = wrong = open_ = unheard = 0.0
    for label in (label for label in known.labels if label["what"] == "speech"):
        start, end = float(label["start"]) + CHANGE_SECONDS, float(label["end"]) - CHANGE_SECONDS
        for turn in turns:
            seconds = max(0.0, min(end, turn.end_seconds) - max(start, turn.start_seconds))
            if turn.track_id is None:
                open_ += seconds
            elif sides[turn.track_id] == label["side"]:
                right += seconds
            else:
                wrong += seconds
        unheard += unheard_seconds(read_sound(folder / known.file), start, end, turns)
    total = right + wrong + open_ + unheard
    parts = {"right": right, "wrong": wrong, "open": open_, "not heard": unheard}
    return Row(
        f"{known.file}: lines given to who says them",
        ", ".join(f"{100 * seconds / total:.1f} % {name}" for name, seconds in parts.items())
        if total
        else "no speech",
        total > 0 and right == total,
    )


def _sides(walked: Walked) -> dict[str, str]:
    """Where each track is seen, as labels name it."""
    return {
        track.track_id: position or ("left" if track.center_x < 0.5 else "right")
        for clip in walked.known.all(Clip)
        for track, position in numbered_tracks(walked.known, clip)
    }


def unheard_seconds(sound: AudioSamples | None, start: float, end: float, turns: Iterable[ClipTurn]) -> float:
    """How much of a line is as loud as speech and in no turn, of pieces longer than `MAX_UNHEARD_SECONDS`."""
    if sound is None:
        return end - start
    size = round(_STEP_SECONDS * sound.sampling_rate)
    samples = sound.to_mono().samples[0, round(start * sound.sampling_rate) : round(end * sound.sampling_rate)].numpy()
    power = (samples[: len(samples) // size * size].reshape(-1, size) ** 2).mean(axis=1)
    missing = power > np.quantile(power, 0.95) * 10 ** (-_QUIET_DECIBELS / 10)
    clock = start + _STEP_SECONDS * (np.arange(len(power)) + 0.5)
    for turn in turns:
        missing &= (clock < turn.start_seconds) | (clock >= turn.end_seconds)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], missing, [False]]).astype(int)))
    lengths = _STEP_SECONDS * (edges[1::2] - edges[::2])
    return float(lengths[lengths > MAX_UNHEARD_SECONDS].sum())


def _offset(walked: Walked, known: Truth) -> Row:
    scores = walked.known.all(TrackSync) if walked.known.has(TrackSync) else ()
    best = max(scores, key=lambda record: record.sync_score, default=None)
    error = None if best is None else abs(best.sync_offset_seconds - known.late_seconds)
    return Row(
        f"{known.file}: {1000 * known.late_seconds:.0f} ms within {1000 * MAX_OFFSET_ERROR_SECONDS:.0f} ms",
        "not measured" if best is None else f"{1000 * best.sync_offset_seconds:.0f} ms",
        error is not None and error <= MAX_OFFSET_ERROR_SECONDS + 1e-9,
    )


def _identities(collected: Collected, truth: dict[str, Truth]) -> Iterable[Row]:
    person: dict[str, str] = {}
    unseen: list[str] = []
    for walked in collected.walked.values():
        known = truth.get(walked.known.source.path)
        if known is None or not known.may_be_kept or not walked.known.has(Clip):
            continue
        kept = {clip.clip_id for clip in walked.kept}
        for clip in walked.known.all(Clip):
            names = known.people_at((clip.start_seconds + clip.end_seconds) / 2)
            group = [subject for subject in collected.subjects if subject.clip_id == clip.clip_id]
            if clip.clip_id not in kept:
                unseen += names
            elif len(group) == len(names):  # otherwise the labels do not say who is who
                person |= {subject.subject_id: names[subject.number - 1] for subject in group}
    found = {subject.subject_id: subject.identity_id for subject in collected.subjects}
    pairs = [(a, b) for a in person for b in person if a < b]
    same = [pair for pair in pairs if person[pair[0]] == person[pair[1]]]
    linked = [pair for pair in pairs if found[pair[0]] == found[pair[1]]]
    right = [pair for pair in linked if person[pair[0]] == person[pair[1]]]
    rejected = _num_pairs([*person.values(), *unseen]) - len(same)
    beside = f"; {rejected} more were not compared: a clip of theirs is rejected" if rejected else ""
    yield Row(
        "appearances of one person linked", f"{len(right)} of {len(same)} pairs{beside}", len(right) == len(same)
    )
    merged = sorted({"+".join(sorted((person[a], person[b]))) for a, b in linked if person[a] != person[b]})
    yield Row("different people merged", ", ".join(merged) or "none", not merged)


def _num_pairs(names: Iterable[str]) -> int:
    counts = Counter(names).values()
    return sum(count * (count - 1) // 2 for count in counts)


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
    return judge(collected, read_truth(media, config.gates), media)


if __name__ == "__main__":
    raise SystemExit(main())
