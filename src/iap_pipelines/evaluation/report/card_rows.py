"""Results as rows of a model card: `model-index` (which the Hub calls legacy, and still shows) and `.eval_results`."""

from pathlib import Path

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, eval_result_entries_to_yaml
from huggingface_hub.repocard_data import eval_results_to_model_index

from iap_pipelines.evaluation.definitions import METRICS_BY_NAME
from iap_pipelines.evaluation.report.document import Document
from iap_pipelines.evaluation.report.markdown import format_interval


TASK_TYPE = "text-to-video"
"""The Hub has no task for pictures with sound; the pages of other audio-video models use this one."""


def model_index(document: Document, *, model_name: str, dataset_id: str, dataset_name: str) -> dict:
    """The `model-index` block of a model card's front matter; metrics that were not measured are left out.

    Args:
        document: of a benchmark run.
        model_name: as the card calls the model.
        dataset_id: of the benchmark, `owner/name` or a plain name.
        dataset_name: of the benchmark, for people.
    """
    results = [
        EvalResult(
            task_type=TASK_TYPE,
            task_name="Identity-personalised audio-video generation",
            dataset_type=dataset_id,
            dataset_name=dataset_name,
            metric_type=summary.metric,
            metric_name=METRICS_BY_NAME[summary.metric].title,
            metric_value=round(summary.value, 6),
            metric_args=({"interval_95": interval} if (interval := format_interval(summary)) else {})
            | {"clips": summary.num_clips},
        )
        for summary in document.summaries
        if summary.value is not None
    ]
    return {"model-index": eval_results_to_model_index(model_name, results)}


def eval_results(document: Document, *, dataset_id: str, date: str | None = None) -> list[dict]:
    """The entries of `.eval_results/*.yaml`, one per metric.

    Args:
        document: of a benchmark run.
        dataset_id: the benchmark's repository on the Hub, `owner/name`.
        date: when it was run, ISO 8601; ``None`` leaves the Hub to take the time of the commit.
    """
    models = ", ".join(f"{role}: {model}" for role, model in document.models.items() if model)
    entries = [
        EvalResultEntry(
            dataset_id=dataset_id,
            task_id=summary.metric,
            value=round(summary.value, 6),
            date=date,
            notes=f"95 % interval {format_interval(summary) or 'unknown'}, {summary.num_clips} clips; {models}",
        )
        for summary in document.summaries
        if summary.value is not None
    ]
    return eval_result_entries_to_yaml(entries)


def write_card_rows(document: Document, folder: Path, *, model_name: str, dataset_id: str, dataset_name: str) -> None:
    """Write `model-index.yaml` and `.eval_results/<benchmark>.yaml` into ``folder``."""
    index = model_index(document, model_name=model_name, dataset_id=dataset_id, dataset_name=dataset_name)
    _write(folder / "model-index.yaml", index)
    name = dataset_id.rpartition("/")[2]
    _write(folder / ".eval_results" / f"{name}.yaml", eval_results(document, dataset_id=dataset_id))


def _write(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
