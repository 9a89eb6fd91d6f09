"""What is known of a folder of clips: `manifest.csv`, one line per file, and `labels.csv`, the timed truth.

`../shared/media/README.md` describes the columns. Why a file must not be kept follows from them: nobody is seen, who
speaks is not seen, the sound is late, nobody speaks; of damaged and unsuitable files, from what the columns measure
and, where they do not, from the words of the notes.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from iap_pipelines.curation.gates import Thresholds


OTHER_VOICE = frozenset({"dubbed", "other_voice", "offscreen_speech"})
"""Somebody is heard who is not seen: the mouth that is seen moves to other words or not at all."""
_NOTES = (
    (r"\bdamage|\bcorrupt|\btruncat|is gone|lost part|wrong suffix|empty file", {"unreadable"}),
    (r"\bsilen", {"silent", "no_speech"}),
    (r"\bdark", {"dark", "dark_face", "no_face"}),
    (r"out of focus|\bblur", {"blurred", "blurred_face", "no_face"}),
    (r"\bover-?exposed", {"bright"}),
    (r"\bfrozen|held frame throughout|still picture", {"frozen"}),
    (r"\bblack (border|bar)", {"black_borders"}),
    (r"\bsubtitle|\btext overlay", {"text_overlay"}),
)
"""Words of the notes of a file of the kind `bad`, and the reasons that are right for it."""


@dataclass(frozen=True)
class Truth:
    """What is known of one file.

    Args:
        file: relative to the folder.
        kind: `video`, `composite` or `bad`.
        identities: who is seen, from left to right.
        speaking: who is heard.
        late_seconds: by how much the sound is late (negative: early), if it is.
        labels: its lines of `labels.csv`.
        reasons: of which one has to be given, because they are true; empty when it may be kept, or nothing is stated.
    """

    file: str
    kind: str
    identities: tuple[str, ...]
    speaking: tuple[str, ...]
    late_seconds: float | None
    labels: tuple[Mapping[str, str], ...]
    reasons: frozenset[str]

    @property
    def may_be_kept(self) -> bool:
        """Somebody is seen, everybody who is heard is seen, and the sound is in time."""
        return self.kind != "bad" and not self.reasons

    def people_at(self, seconds: float) -> tuple[str, ...]:
        """Who is seen, from left to right; by shot where the labels have shots."""
        for label in self.labels:
            if label["what"] == "shot" and float(label["start"]) <= seconds < float(label["end"]):
                return _names(label["identity"])
        return self.identities


def read_truth(folder: Path, thresholds: Thresholds | None = None) -> dict[str, Truth]:
    """Videos of the manifest by file.

    Args:
        folder: with `manifest.csv` and, where there is timed truth, `labels.csv`.
        thresholds: of the run, which say what is too short, too small or too slow. ``None``: the defaults.
    """
    labels: dict[str, list[dict[str, str]]] = {}
    if (folder / "labels.csv").is_file():
        for row in _read(folder / "labels.csv"):
            labels.setdefault(row["file"], []).append(row)
    rows = [row for row in _read(folder / "manifest.csv") if row["kind"] in ("video", "composite", "bad")]
    return {row["file"]: _truth(row, labels.get(row["file"], []), thresholds or Thresholds()) for row in rows}


def _read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _truth(row: dict[str, str], labels: list[dict[str, str]], thresholds: Thresholds) -> Truth:
    late = re.search(r"(\d+) ms (late|early)", row.get("notes") or "")
    identities, speaking = _names(row["identity"]), _names(row["speaking"])
    if row["kind"] == "bad":
        reasons = _reasons_of_bad(row, thresholds)
    elif not identities:
        reasons = {"no_face"} if speaking else {"no_face", "no_speech", "silent"}
    elif not speaking:
        reasons = {"no_speech", "silent"}
    elif late:
        reasons = {"sound_out_of_sync"}
    else:
        reasons = set() if set(speaking) <= set(identities) else OTHER_VOICE
    return Truth(
        file=row["file"],
        kind=row["kind"],
        identities=identities,
        speaking=speaking,
        late_seconds=int(late[1]) / (1000 if late[2] == "late" else -1000) if late else None,
        labels=tuple(labels),
        reasons=frozenset(reasons),
    )


def _reasons_of_bad(row: Mapping[str, str], thresholds: Thresholds) -> set[str]:
    if row.get("duration") == "unreadable":
        return {"unreadable"}
    reasons = set()
    if row.get("video_codec") is not None and not (row["video_codec"] and row.get("audio_codec")):
        reasons.add("no_audio" if row["video_codec"] else "no_video")
    frames, rate = _number(row.get("frames")), _number(row.get("fps"))
    sizes = [size for size in (_number(row.get("width")), _number(row.get("height"))) if size]
    measured = {
        "too_short": (frames / rate if frames and rate else None, thresholds.min_clip_seconds),
        "low_resolution": (min(sizes, default=None), thresholds.min_short_side),
        "low_frame_rate": (rate, thresholds.min_frame_rate),
        "low_sampling_rate": (_number(row.get("sample_rate")), thresholds.min_sampling_rate),
    }
    reasons |= {
        reason
        for reason, (value, limit) in measured.items()
        if value is not None and limit is not None and value < limit
    }
    for pattern, right in _NOTES:
        if re.search(pattern, row.get("notes") or "", re.IGNORECASE):
            reasons |= right
    return reasons


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name for name in (text or "").split(";") if name)
