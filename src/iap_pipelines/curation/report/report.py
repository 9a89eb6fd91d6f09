"""The page `report.html`, which needs no other file and no network, and `report.json`."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from iap_pipelines.curation.collect import Collected
from iap_pipelines.curation.config import CurationConfig
from iap_pipelines.curation.discovery import Input
from iap_pipelines.curation.records import Clip, ClipTurn
from iap_pipelines.curation.report.charts import bars, histogram
from iap_pipelines.curation.report.numbers import report_numbers
from iap_pipelines.curation.report.pictures import file_url, frame_url, sound_url
from iap_pipelines.curation.report.words import meaning_of_links, meaning_of_reason, meaning_of_scopes
from iap_pipelines.curation.results import Reject, WrittenClip
from iap_pipelines.curation.walk import Walked


_MAX_KEPT, _MAX_PER_REASON, _MAX_IDENTITIES, _MAX_VOICES = 24, 6, 30, 3

_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1000px; color: #222; }
svg { font-size: 12px; overflow: visible; }
figure { display: inline-block; vertical-align: bottom; margin: .6rem 1rem .4rem 0; }
figcaption { max-width: 300px; } table { border-collapse: collapse; }
td, th { padding: .1rem .8rem .1rem 0; text-align: left; vertical-align: top; }
.sheet { display: flex; flex-wrap: wrap; gap: .6rem; } .sheet div { max-width: 220px; font-size: 12px; }
img { height: 108px; display: block; } audio { height: 28px; width: 200px; } h3 { margin-bottom: .3rem; }
"""


def write_report(collected: Collected, found: Input, config: CurationConfig, output: Path) -> Path:
    """Write both files into the output folder; returns the page's path."""
    numbers = report_numbers(collected, found, config)
    _replace(output / "report.json", json.dumps(numbers, indent=1) + "\n")
    page = _page(numbers, _contact_sheets(collected), _gallery(collected, output))
    _replace(output / "report.html", page)
    return output / "report.html"


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _page(numbers: dict[str, Any], sheets: str, gallery: str) -> str:
    of = numbers["input"]
    others = ", ".join(f"{count} {suffix}" for suffix, count in of["other_files"].items()) or "none"
    has = numbers["dataset"]
    result = f"The dataset has {has['clips']} clips, {has['seconds']:.1f} s, of {has['people']} people."
    counts = (
        f"{of['videos']} videos = {of['kept']} kept (a clip or more is in the dataset) + {of['rejected']} rejected + "
        f"{of['failed']} failed (an error; tried again with --retry-failed). Other files: {others}."
    )
    reasons = [{**row, "meaning": meaning_of_reason(row["reason"])} for row in numbers["reasons"]]
    times = [
        {
            "stage": row["stage"],
            "seconds": f"{row['seconds']:.1f}",
            "per second of video": _number(row["seconds_per_video_second"]),
        }
        for row in numbers["seconds"]
    ]
    seconds = [(row["step"], row["seconds"] or 0.0, _amount(row)) for row in numbers["funnel"]]
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Curation report</title><style>{_STYLE}</style>
<h1>Curation report</h1>
<p><b>{escape(result)}</b></p>
<p>{escape(counts)}</p>
<h2>Yield</h2><p>Seconds of video that are left after each reason to reject.</p>{bars(seconds)}
<h2>Reasons</h2><p>Each clip, and each file that gave no clips, is counted once, with the first reason that it met.</p>
{_table(reasons, ("count", "level", "kind", "reason", "meaning"))}
<h2>Measurements</h2><p>How many clips have which value. Green: kept, red: rejected, for this or another reason;
dashed: threshold. Number at the top: clips in the tallest bar.</p>
{"".join(map(histogram, numbers["histograms"]))}
<h2>Clips</h2><p>The middle picture of each clip; rejected ones with what was measured, nearest to the threshold
first.</p>{sheets}
<h2>People</h2>{_dictionary(numbers["people"])}
<p>Links are pairs of appearances that were compared: {escape(meaning_of_links())}. References are faces and voices
that may be given with a clip as its target; scope: {escape(meaning_of_scopes())}.</p>
{_calibration(numbers["calibration"])}{gallery}
<h2>Time</h2><p>By the clock, summed over workers; beside the length of all videos that were measured.</p>
{_table(times, ("stage", "seconds", "per second of video"))}
</html>
"""


def _amount(row: dict[str, Any]) -> str:
    if row["clips"] is None:
        return f"{row['videos']} videos"
    return f"{row['seconds']:.1f} s in {row['clips']} clips of {row['videos']} videos"


def _table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(column.replace('_', ' '))}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(row[c]))}</td>' for c in columns)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _calibration(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "<p>No two people are seen at once, so this run cannot calibrate its thresholds of similarity.</p>"
    text = (
        "<p>Thresholds of similarity: those used, and those that this run would give, in which people who are "
        "seen at once are strangers, and linked ones the same. One stranger in a thousand may pass; fewer than a "
        "thousand pairs cannot show this, and then a threshold is advised only when it is higher.</p>"
    )
    named = [
        {
            "modality": row["modality"],
            "used": _number(row["used"]),
            "this run would give": _number(row["threshold"]),
            "advised": _number(row["advised"]),
            "strangers above": _number(row["false_match_rate"]),
            "same people above": _number(row["true_match_rate"]),
            "pairs of strangers": row["num_different"],
            "pairs of same people": row["num_same"],
        }
        for row in rows
    ]
    return text + _table(named, tuple(named[0]))


def _dictionary(values: dict[str, Any]) -> str:
    rows = []
    for name, value in values.items():
        parts = [f"{key}: {count}" for key, count in value.items()] if isinstance(value, dict) else [str(value)]
        name = "people by their number of clips" if name == "clips_per_identity" else name.replace("_", " ")
        rows.append({"what": name, "number": ", ".join(parts) or "none"})
    return _table(rows, ("what", "number"))


def _contact_sheets(collected: Collected) -> str:
    """Pictures of kept clips, and of rejected ones by reason: the ones nearest to their threshold first."""
    kept, rejected = [], defaultdict(list)
    for walked in collected.walked.values():
        for clip in walked.known.all(Clip) if walked.known.has(Clip) else ():
            reject = walked.rejects.get(clip.clip_id)
            if reject is None:
                kept.append((walked, clip, None))
            else:
                rejected[reject.reason].append((walked, clip, reject))
    parts = [f"<h3>kept ({len(kept)})</h3>{_sheet(kept[:_MAX_KEPT])}"]
    for reason, found in sorted(rejected.items()):
        found.sort(key=lambda item: (_distance(item[2]), item[1].clip_id))
        parts.append(f"<h3>{escape(reason)} ({len(found)})</h3>{_sheet(found[:_MAX_PER_REASON])}")
    unreadable = [reject for reject in collected.rejects if reject.level == "source"]
    rows = [
        {"file": _name(collected, reject), "reason": reject.reason, "detail": reject.detail or ""}
        for reject in unreadable
    ]
    return "".join(parts) + (f"<h3>files</h3>{_table(rows, ('file', 'reason', 'detail'))}" if rows else "")


def _distance(reject: Reject) -> float:
    return float("inf") if None in (reject.value, reject.threshold) else abs(reject.value - reject.threshold)


def _name(collected: Collected, reject: Reject) -> str:
    walked = collected.walked.get(reject.record_id)
    return walked.known.source.path if walked else reject.record_id


def _sheet(clips: Iterable[tuple[Walked, Clip, Reject | None]]) -> str:
    cells = []
    for walked, clip, reject in clips:
        url = frame_url(walked.known.file, (clip.start_seconds + clip.end_seconds) / 2)
        picture = f'<img src="{url}" alt="">' if url else ""
        where = f"{walked.known.source.path} {clip.start_seconds:.2f}–{clip.end_seconds:.2f} s"
        if reject is None:
            kind = walked.known.one(WrittenClip, clip_id=clip.clip_id).kind.replace("_", " ")
            cells.append(f"<div>{picture}{escape(where)}<br>{kind}</div>")
        else:
            detail = reject.detail or f"{_number(reject.value)}, threshold {_number(reject.threshold)}"
            cells.append(f"<div>{picture}{escape(where)}<br>{escape(detail)}</div>")
    return f'<div class="sheet">{"".join(cells)}</div>'


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3g}"


def _gallery(collected: Collected, output: Path) -> str:
    """Faces of each person beside their voices, the people with most clips first."""
    by_id = {subject.subject_id: subject for subject in collected.subjects}
    people = sorted(collected.identities, key=lambda item: (-item.num_clips, item.identity_id))[:_MAX_IDENTITIES]
    turns = {
        turn.turn_id: turn
        for walked in collected.walked.values()
        if walked.known.has(ClipTurn)
        for turn in walked.known.all(ClipTurn)
    }
    parts = []
    for person in people:
        subjects = [by_id[subject_id] for subject_id in person.subject_ids]
        faces = [file_url(output / f"media/views/{subject.view_id}.png") for subject in subjects if subject.view_id]
        heard = sorted(
            (turns[subject.turn_id] for subject in subjects if subject.turn_id is not None),
            key=lambda turn: turn.start_seconds - turn.end_seconds,
        )
        voices = [sound_url(output / f"media/voices/{turn.turn_id}.flac") for turn in heard[:_MAX_VOICES]]
        pictures = "".join(f'<img src="{url}" alt="">' for url in faces if url)
        sounds = "".join(f'<audio controls src="{url}"></audio>' for url in voices if url)
        parts.append(
            f"<h3>Person {person.identity_id}</h3>{person.num_clips} clips of {person.num_sources} videos, "
            f'{person.voice_seconds:.1f} s of speech<div class="sheet">{pictures}</div>{sounds}'
        )
    return "".join(parts)
