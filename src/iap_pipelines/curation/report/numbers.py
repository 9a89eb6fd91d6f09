"""The report as numbers: funnel, reasons, histograms, people, time."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from iap_pipelines.curation.calibrate import calibrate, strangers_of_clips
from iap_pipelines.curation.collect import Collected
from iap_pipelines.curation.config import CurationConfig
from iap_pipelines.curation.discovery import Input
from iap_pipelines.curation.gates import GATES, clip_row, measurements_of
from iap_pipelines.curation.records import Clip, Source, Track
from iap_pipelines.curation.walk import Walked


NUM_BINS = 24


def report_numbers(collected: Collected, found: Input, config: CurationConfig) -> dict[str, Any]:
    """Everything of the report but its pictures, as JSON has it."""
    statuses = Counter(outcome.status for outcome in collected.outcomes.values())
    statuses.update(reject.kind for reject in found.rejects)
    rows = list(clip_rows(collected))
    kept = [row for row in rows if row["reason"] is None]
    return {
        "input": {
            "videos": found.num_files,
            "kept": statuses["kept"],
            "rejected": statuses["rejected"],
            "failed": statuses["failed"],
            "other_files": found.ignored,
        },
        "dataset": {
            "clips": len(kept),
            "seconds": round(sum(row["clip_seconds"] for row in kept), 3),
            "people": len(collected.identities),
        },
        "funnel": funnel(collected, found),
        "reasons": reasons(collected),
        "histograms": histograms(rows, config),
        "people": people(collected),
        "calibration": calibration(collected, config),
        "seconds": stage_seconds(collected),
    }


def clip_rows(collected: Collected) -> Iterable[dict[str, Any]]:
    """What was measured of each clip, with ``reason``: ``None`` when it is kept."""
    for walked in collected.walked.values():
        for clip in walked.known.all(Clip) if walked.known.has(Clip) else ():
            reject = walked.rejects.get(clip.clip_id)
            row = clip_row(walked.known, clip, measurements_of(walked.known, clip))
            yield {**row, "reason": reject and reject.reason}


def funnel(collected: Collected, found: Input) -> list[dict[str, Any]]:
    """How much is left after the files were read, after every gate in turn, and at the end."""
    steps = [{"step": "files", "videos": found.num_files, "clips": None, "seconds": None}]
    walked = list(collected.walked.values())
    readable = [item for item in walked if item.known.has(Clip)]
    clips = [(item, clip) for item in readable for clip in item.known.all(Clip)]
    steps.append(_step("cut into clips", clips))
    order = [gate.reason for gate in GATES]
    seen = Counter(item.rejects[clip.clip_id].reason for item, clip in clips if clip.clip_id in item.rejects)
    for reason in [*(r for r in seen if r not in order), *(r for r in order if r in seen)]:
        clips = [(item, clip) for item, clip in clips if _reason(item, clip) != reason]
        steps.append(_step(f"after {reason}", clips))
    return steps


def _reason(walked: Walked, clip: Clip) -> str | None:
    reject = walked.rejects.get(clip.clip_id)
    return reject and reject.reason


def _step(name: str, clips: list[tuple[Walked, Clip]]) -> dict[str, Any]:
    return {
        "step": name,
        "videos": len({clip.source_id for _, clip in clips}),
        "clips": len(clips),
        "seconds": round(sum(clip.clip_seconds for _, clip in clips), 3),
    }


def reasons(collected: Collected) -> list[dict[str, Any]]:
    """How often each reason was given, for files, sources and clips; the most frequent first."""
    counts = Counter((reject.level, reject.kind, reject.reason) for reject in collected.rejects)
    return [
        {"level": level, "kind": kind, "reason": reason, "count": count}
        for (level, kind, reason), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def histograms(rows: list[dict[str, Any]], config: CurationConfig) -> list[dict[str, Any]]:
    """Of each judged measurement: counts of kept and of rejected clips between equal steps, and its thresholds."""
    found = []
    for measurement in dict.fromkeys(gate.measurement for gate in GATES):
        kept = [row[measurement] for row in rows if row.get(measurement) is not None and row["reason"] is None]
        rejected = [row[measurement] for row in rows if row.get(measurement) is not None and row["reason"] is not None]
        if not kept and not rejected:
            continue
        thresholds = [
            {"reason": gate.reason, "side": gate.side, "value": getattr(config.gates, gate.threshold)}
            for gate in GATES
            if gate.measurement == measurement and getattr(config.gates, gate.threshold) is not None
        ]
        # Thresholds lie within, so that it is seen how far the values are from them.
        values = np.array([*kept, *rejected, *(item["value"] for item in thresholds)], np.float64)
        edges = np.histogram_bin_edges(values, NUM_BINS)
        found.append(
            {
                "measurement": measurement,
                "edges": edges.tolist(),
                "kept": np.histogram(kept, edges)[0].tolist(),
                "rejected": np.histogram(rejected, edges)[0].tolist(),
                "missing": sum(measurement in row and row[measurement] is None for row in rows),
                "thresholds": thresholds,
            }
        )
    return found


def people(collected: Collected) -> dict[str, Any]:
    """Identities by their number of clips, references by where they come from, decisions of linking."""
    return {
        "identities": len(collected.identities),
        "clips_per_identity": dict(sorted(Counter(item.num_clips for item in collected.identities).items())),
        "links": dict(sorted(Counter(link.decision for link in collected.links).items())),
        "references": {
            f"{modality}, {scope}": count
            for (modality, scope), count in sorted(
                Counter((item.modality, item.scope) for item in collected.references).items()
            )
        },
        "multi_view_sets": len(collected.multi_views),
    }


def calibration(collected: Collected, config: CurationConfig) -> list[dict[str, Any]]:
    """Thresholds of linking beside those that this run's own data would give, when it has people who share a clip."""
    seen = {
        track.track_id: (track.start_seconds, track.end_seconds)
        for walked in collected.walked.values()
        if walked.known.has(Track)
        for track in walked.known.all(Track)
    }
    faces, voices = strangers_of_clips(collected.subjects, seen, collected.common_face)
    linked = [link for link in collected.links if link.decision == "linked"]
    same_faces = [link.face_similarity for link in linked]
    same_voices = [link.voice_similarity for link in linked if link.voice_similarity is not None]
    found = []
    for name, different, same, used in (
        ("face", faces, same_faces, config.link.min_face_similarity),
        ("voice", voices, same_voices, config.link.min_voice_similarity),
    ):
        if different:
            result = calibrate(different, same)
            found.append({"modality": name, "used": used, "advised": result.advised(used), **asdict(result)})
    return found


def stage_seconds(collected: Collected) -> list[dict[str, Any]]:
    """Time of each stage beside the length of what it worked on."""
    walked = [item for item in collected.walked.values() if item.seconds]
    names = dict.fromkeys(name for item in walked for name in item.seconds)
    media = sum(
        source.duration_seconds or 0.0
        for item in walked
        if item.known.has(Source)
        for source in item.known.all(Source)
    )
    totals = {name: sum(item.seconds.get(name, 0.0) for item in walked) for name in names}
    return [
        {
            "stage": name,
            "seconds": round(total, 3),
            "seconds_per_video_second": round(total / media, 4) if media else None,
        }
        for name, total in totals.items()
    ]
