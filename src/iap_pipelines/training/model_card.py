"""The model card of a run: what it began with, what it saw, and how its losses fell."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml

from iap_pipelines.data.clip_folder import ClipEntry
from iap_pipelines.training.config import LoraSettings, PretrainedModel, TrainingConfig


_CARDS = Path(__file__).parent / "cards"
_NUM_ROWS = 6
SCORES_FILE = "scores.json"
"""Beside an adapter: rows of its card's table, each with `name`, `value`, `interval`, `better`, `on` and `command`."""
_NOT_MEASURED = (
    "Not measured: the losses above are all that the trainer knows. `python -m benchmarks.personal_likeness`\n"
    "compares adapters with references alone on held-out prompts, and `python -m benchmarks.personalisation`\n"
    "measures how much of one person reaches another."
)
_STAGES = {"frames": "single frames", "audio": "sound", "clips": "clips with sound"}


@dataclass(frozen=True)
class RunFacts:
    """
    What a card says besides its configuration.

    Args:
        clips: that were learned.
        num_parameters: of the model.
        num_learning: of them, those that learned.
        metrics: lines of `metrics.jsonl`.
    """

    clips: Sequence[ClipEntry]
    num_parameters: int
    num_learning: int
    metrics: Sequence[Mapping[str, float]]


def write_model_card(folder: Path, config: TrainingConfig, facts: RunFacts) -> None:
    """
    Write `README.md` and `training_config.yaml`.

    Args:
        folder: with the pipeline or the adapter.
        config: of the run.
        facts: of the run.
    """
    lora = config.lora
    template = Template((_CARDS / ("pipeline.md" if lora is None else "lora.md")).read_text(encoding="utf-8"))
    settings = config.export if config.lora is None else config.lora
    source = settings.push_to_hub or Path(folder).name
    values = {
        "title": source.rpartition("/")[2],
        "source": source,
        "prohibited": (_CARDS / "prohibited.md").read_text(encoding="utf-8").strip(),
        "data": _describe_data(config, facts.clips),
        "training": _describe_training(config, facts),
        "licence": _describe_licence(settings.license),
    }
    if lora is not None:
        values |= _describe_adapter(config, lora) | {"scores": _score_table(Path(folder))}
    values |= _loss_table(facts.metrics)
    front_matter = yaml.safe_dump(_metadata(config, settings.license), sort_keys=False)
    card = f"---\n{front_matter}---\n\n{template.substitute(values)}"
    (Path(folder) / "README.md").write_text(card, encoding="utf-8")
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    (Path(folder) / "training_config.yaml").write_text(text, encoding="utf-8")


def write_scores(folder: Path, scores: Sequence[Mapping[str, str]]) -> None:
    """
    Keep the scores of an adapter beside it, and show them in its card in place of those that are there.

    Args:
        folder: of the adapter, with its card.
        scores: rows of the table; see `SCORES_FILE`.
    """
    (Path(folder) / SCORES_FILE).write_text(json.dumps(list(scores), indent=1), encoding="utf-8")
    path = Path(folder) / "README.md"
    before, heading, after = path.read_text(encoding="utf-8").partition("## Scores\n")
    rest = after[after.index("\n## ") :]
    path.write_text(f"{before}{heading}\n{_score_table(folder)}\n{rest}", encoding="utf-8")


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The lines of a `metrics.jsonl`; none where there is no such file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _metadata(config: TrainingConfig, licence: str | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "license": licence or "unknown",
        "library_name": "diffusers",
        "pipeline_tag": "text-to-video",
        "tags": ["text-to-audio-video", "identity", "iap-pipelines"] + (["lora"] if config.lora else []),
    }
    source = config.model
    if isinstance(source, PretrainedModel) and not Path(source.folder).exists():
        relation = "adapter" if config.lora else "finetune"
        metadata |= {"base_model": source.folder, "base_model_relation": relation}
    return metadata


def _describe_data(config: TrainingConfig, clips: Sequence[ClipEntry]) -> str:
    people = {identity for clip in clips for identity in clip.identities}
    sizes = sorted({f"{clip.width}x{clip.height}" for clip in clips})
    seconds = sum(clip.num_frames / clip.frame_rate for clip in clips if clip.num_frames > 1)
    length = f", {seconds / 60:.1f} minutes in all" if seconds else ""
    references = (
        "were cut from the clip that was learned"
        if config.data.references == "target"
        else "come from elsewhere than the clip that was learned, but for people who have none from elsewhere"
    )
    return (
        f"Split `{config.data.split}` of `{config.data.folder}`: {len(clips)} clips of {len(people)} people in "
        f"{', '.join(sizes)} pixels{length}. References {references}."
    )


def _describe_training(config: TrainingConfig, facts: RunFacts) -> str:
    start = f"`{config.model.folder}`" if isinstance(config.model, PretrainedModel) else "random weights"
    settings = config.optimization
    return (
        f"From {start}, on {_STAGES[config.stage.target]}: {settings.steps} steps of {settings.batch_size} samples "
        f"with {config.flow.num_draws} noise levels each, learning rate {settings.learning_rate:g} "
        f"({settings.schedule}), seed {config.seed}. {facts.num_learning:,} of {facts.num_parameters:,} parameters "
        f"learned ({', '.join(config.stage.trainable)}); stored is their average (decay {settings.ema_decay:g})."
    )


def _describe_adapter(config: TrainingConfig, lora: LoraSettings) -> dict[str, str]:
    is_bound = lora.binding == "references"
    text = (
        "Named as `adapter` of its owner it acts on that subject's references alone: other people keep theirs."
        if is_bound
        else "It acts on every token of every clip, also on other people in it."
    )
    return {
        "base": config.model.folder,
        "adapter": lora.name,
        "binding": text,
        "binding_argument": f', adapter="{lora.name}"' if is_bound else "",
    }


def _score_table(folder: Path) -> str:
    path = Path(folder) / SCORES_FILE
    scores = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    if not scores:
        return _NOT_MEASURED
    columns = ("name", "value", "interval", "better", "on")
    rows = [["score", "value", "95 % interval", "better", "on"], ["---", "---:", *["---"] * 3]]
    rows += [[score[column] for column in columns] for score in scores]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    commands = "\n".join(dict.fromkeys(score["command"] for score in scores))
    return f"{table}\n\nPrinted by:\n\n```bash\n{commands}\n```"


def _describe_licence(licence: str | None) -> str:
    return f"{licence}." if licence else "The person who trained it has not stated one. Ask before you use it."


def _loss_table(metrics: Sequence[Mapping[str, float]]) -> dict[str, str]:
    """Some lines of the log, from the first to the last."""
    names = sorted({name for line in metrics for name in line if name.endswith("_loss")})
    count = min(_NUM_ROWS, len(metrics))
    chosen = [metrics[round(i * (len(metrics) - 1) / max(1, count - 1))] for i in range(count)]
    cells = [
        [str(line["step"] + 1), *(f"{line[name]:.4f}" if name in line else "" for name in names)] for line in chosen
    ]
    rows = [f"| {' | '.join(row)} |" for row in cells]
    return {
        "loss_names": " | ".join(name.replace("_", " ") for name in names),
        "loss_rule": "|".join("---" for _ in names),
        "loss_rows": "\n".join(rows),
    }
