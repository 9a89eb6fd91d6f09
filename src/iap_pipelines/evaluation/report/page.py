"""Results as one HTML page: every clip playable beside its references and scores."""

import html
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from iap_pipelines.evaluation.definitions import METRICS_BY_NAME
from iap_pipelines.evaluation.references import VIDEO_SUFFIXES, ClipReference, SubjectReference
from iap_pipelines.evaluation.report.document import Document
from iap_pipelines.evaluation.report.markdown import describe_origin, format_interval, format_value
from iap_pipelines.evaluation.results import ClipResult, MetricSummary, Score


_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent) }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .7rem; text-align: left; vertical-align: top }
td.number { text-align: right; white-space: nowrap }
.clip { display: grid; grid-template-columns: minmax(14rem, 22rem) 1fr; gap: 1.2rem; padding: 1.2rem 0 }
.clip { border-top: 1px solid var(--line) }
.clip > div > video { width: 100%; background: #000 }
.references { display: flex; flex-wrap: wrap; gap: .8rem; margin: .5rem 0 }
.references figure { margin: 0; width: 7rem }
.references img, .references video { height: 5rem; max-width: 7rem; object-fit: contain; display: block }
.references audio { width: 7rem; height: 2rem }
.missing { opacity: .65 }
@media (max-width: 46rem) { .clip { grid-template-columns: 1fr } }
"""


def render_page(document: Document, clips: Sequence[ClipReference], folder: Path) -> str:
    """Render a page that lies in ``folder`` and plays the files where they are.

    Args:
        document: the results.
        clips: what was scored, in the order of ``document.results``.
        folder: where the page will be written; links are relative to it.
    """
    sections = [_clip_section(result, clip, folder) for result, clip in zip(document.results, clips, strict=True)]
    models = "".join(
        f"<tr><td>{_text(role)}</td><td{'' if model else ' class=missing'}>"
        f"{_text(model or 'null: ' + document.missing.get(role, 'not chosen'))}</td></tr>"
        for role, model in document.models.items()
    )
    origin = describe_origin(document).items()
    models += "".join(f"<tr><td>{_text(what)}</td><td>{_text(name)}</td></tr>" for what, name in origin)
    title = _text(document.title)
    return (
        f"<!doctype html>\n<html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>\n<h1>{title}</h1>\n"
        f"<p>{len(document.results)} clips. Means over clips with 95&nbsp;% bootstrap intervals over people; "
        f"↑ higher is better, ↓ lower is better.</p>\n{_summary_table(document.summaries)}\n"
        f"<h2>Models</h2>\n<table>{models}</table>\n<h2>Clips</h2>\n" + "\n".join(sections) + "\n</html>\n"
    )


def _summary_table(summaries: Sequence[MetricSummary]) -> str:
    rows = "".join(
        f"<tr><td>{_title(summary.metric)}</td><td class=number>{format_value(summary)}</td>"
        f"<td class=number>{format_interval(summary)}</td><td class=number>{summary.num_clips}</td>"
        f"<td class=missing>{_text(summary.reason or '')}</td></tr>"
        for summary in summaries
    )
    header = "<tr><th>metric<th>value<th>95 % interval<th>clips<th>not measured elsewhere because</tr>"
    return f"<table>{header}{rows}</table>"


def _clip_section(result: ClipResult, clip: ClipReference, folder: Path) -> str:
    if result.error:
        shown = f"<p class=missing>{_text(result.error)}</p>"
    else:
        shown = f"<video controls preload=metadata src='{_link(clip.video, folder)}'></video>"
    labels = ", ".join(f"{key}: {value}" for key, value in clip.labels.items())
    references = "".join(_reference(subject, folder) for subject in clip.subjects)
    scores = "".join(_score_row(score) for score in result.scores)
    prompt = f"<p>{_text(clip.prompt)}</p>" if clip.prompt else ""
    heard = result.details.get("transcript")
    heard = f"<p>Heard: “{_text(heard)}”</p>" if heard is not None else ""
    return (
        f"<section class=clip id='{_text(result.clip_id)}'><div>{shown}<p class=missing>{_text(labels)}</p></div><div>"
        f"<h3>{_text(result.clip_id)}</h3>{prompt}{heard}<div class=references>{references}</div>"
        f"<table>{scores}</table></div></section>"
    )


def _reference(subject: SubjectReference, folder: Path) -> str:
    faces = "".join(_face(path, subject.name, folder) for path in subject.faces)
    voices = "".join(f"<audio controls preload=none src='{_link(path, folder)}'></audio>" for path in subject.voices)
    said = f"<br>“{_text(subject.text)}”" if subject.text else ""
    return f"<figure>{faces}{voices}<figcaption>{_text(subject.name)}{said}</figcaption></figure>"


def _face(path: Path, name: str, folder: Path) -> str:
    """A picture, or the first picture of a video."""
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return f"<video muted preload=metadata src='{_link(path, folder)}' title='face of {_text(name)}'></video>"
    return f"<img src='{_link(path, folder)}' alt='face of {_text(name)}'>"


def _score_row(score: Score) -> str:
    metric = METRICS_BY_NAME[score.metric]
    value = "null" if score.value is None else f"{score.value:.{metric.decimals}f}"
    return (
        f"<tr{'' if score.value is not None else ' class=missing'}><td>{_title(score.metric)}</td>"
        f"<td>{_text(score.subject or '')}</td><td class=number>{value}</td><td>{_text(score.reason or '')}</td></tr>"
    )


def _title(name: str) -> str:
    metric = METRICS_BY_NAME[name]
    return _text(f"{metric.title} {metric.arrow}" + (f" ({metric.unit})" if metric.unit else ""))


def _link(path: Path, folder: Path) -> str:
    return quote(os.path.relpath(Path(path).resolve(), Path(folder).resolve()).replace(os.sep, "/"))


def _text(text: str) -> str:
    return html.escape(text, quote=True)
