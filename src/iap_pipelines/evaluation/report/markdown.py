"""Results as Markdown tables."""

from collections.abc import Sequence

from iap_pipelines.evaluation.definitions import METRICS_BY_NAME
from iap_pipelines.evaluation.report.document import Document
from iap_pipelines.evaluation.results import MetricSummary


def render_markdown(document: Document) -> str:
    """The table of all clips, one table per group, the models, and what is missing."""
    failed = [result for result in document.results if result.error]
    parts = [
        f"# {document.title}",
        f"{len(document.results)} clips{f', {len(failed)} of them unreadable' if failed else ''}. "
        "Means over clips with 95 % bootstrap intervals over people; ↑ higher is better, ↓ lower is better.",
        render_table(document.summaries),
    ]
    if document.groups:
        parts += ["## By group", _render_groups(document)]
    parts += ["## Models", _render_models(document)]
    if failed:
        parts += ["## Unreadable clips", "\n".join(f"- {result.clip_id}: {result.error}" for result in failed)]
    return "\n\n".join(parts) + "\n"


def render_table(summaries: Sequence[MetricSummary]) -> str:
    """One row per metric; what was not measured stays in, with its reason."""
    rows = ["| metric | value | 95 % interval | clips | remark |", "| --- | ---: | ---: | ---: | --- |"]
    for summary in summaries:
        metric = METRICS_BY_NAME[summary.metric]
        title = f"{metric.title} {metric.arrow}" + (f" ({metric.unit})" if metric.unit else "")
        remark = ""
        if summary.num_missing:
            remark = f"{summary.num_missing} not measured: {summary.reason}" if summary.reason else ""
        elif summary.value is None:
            remark = summary.reason or ""
        cells = (title, format_value(summary), format_interval(summary), str(summary.num_clips), _cell(remark))
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def format_value(summary: MetricSummary) -> str:
    """The value with the metric's digits; `null` when it was not measured."""
    return "null" if summary.value is None else f"{summary.value:.{METRICS_BY_NAME[summary.metric].decimals}f}"


def format_interval(summary: MetricSummary) -> str:
    """Both ends, or nothing where there is no interval."""
    if summary.low is None or summary.high is None:
        return ""
    decimals = METRICS_BY_NAME[summary.metric].decimals
    return f"{summary.low:.{decimals}f} to {summary.high:.{decimals}f}"


def _render_groups(document: Document) -> str:
    measured = [summary.metric for summary in document.summaries if summary.value is not None]
    names = list(document.groups)
    rows = ["| metric | " + " | ".join(_cell(name) for name in names) + " |", "| --- |" + " ---: |" * len(names)]
    for metric in measured:
        cells = []
        for name in names:
            summary = next((item for item in document.groups[name] if item.metric == metric), None)
            interval = format_interval(summary) if summary else ""
            cells.append((format_value(summary) + (f" ({interval})" if interval else "")) if summary else "")
        definition = METRICS_BY_NAME[metric]
        rows.append(f"| {definition.title} {definition.arrow} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _render_models(document: Document) -> str:
    rows = ["| role | model and revision |", "| --- | --- |"]
    for role, model in document.models.items():
        rows.append(f"| {role} | {_cell(model or 'null: ' + document.missing.get(role, 'not chosen'))} |")
    rows += [f"| {what} | {_cell(name)} |" for what, name in describe_origin(document).items()]
    return "\n".join(rows)


def describe_origin(document: Document) -> dict[str, str]:
    """The model that made the clips and the benchmark that asked for them, with their revisions; empty without one."""
    made_by = document.generated
    if not made_by:
        return {}
    return {
        "generated with": f"{made_by['model']} ({made_by['model_revision']})",
        "benchmark": f"{made_by['benchmark']} {made_by['benchmark_version']} ({made_by['benchmark_revision']})",
    }


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
