"""Scores into the card of iap-tiny: what the benchmarks wrote goes into its facts, and the cards are rendered anew.

    iap evaluate --benchmark drawn-world --output runs/drawn_world
    python -m benchmarks.identity_table --world data/world
    python -m benchmarks.card_scores --evaluation runs/drawn_world --identity-table runs/identity_table

Of these two, what is not given is left out of the card; without either, its scores stay. `--ablation runs/ablation`
puts in the table of `benchmarks.ablation` and its figure, which stay if it is not given. Scores of other weights than
those of the embedded checkpoint are refused.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.ablation import ablation_table, draw_ablation
from benchmarks.identity_table import weights_digest
from iap_pipelines.assets import EMBEDDED_CHECKPOINT
from iap_pipelines.evaluation.benchmark.generate import resolve_model
from iap_pipelines.evaluation.definitions import METRICS_BY_NAME
from iap_pipelines.evaluation.drawn_world import report
from iap_pipelines.evaluation.report.card_rows import model_index
from iap_pipelines.evaluation.report.document import Document
from iap_pipelines.evaluation.report.markdown import format_interval, format_value
from iap_pipelines.hub.cards import CardFacts, render_all


FACTS = Path("model_cards/facts/iap_tiny.yaml")
FIGURE = "ablation.png"
_CLIPS = {report.REAL: "real clips", report.CODED: "real clips through the codecs", report.GENERATED: "generated"}


def benchmark_scores(document: Document) -> list[dict[str, str]]:
    """A row of the card per metric that was measured on a benchmark."""
    made_by = document.generated or {}
    steps = made_by.get("options", {}).get("num_inference_steps")
    command = f"iap evaluate --benchmark {made_by['benchmark']}" + (f" --steps {steps}" if steps else "")
    name = f"benchmark {made_by['benchmark']} {made_by['benchmark_version']}"
    return [
        {
            "name": METRICS_BY_NAME[summary.metric].title,
            "value": " ".join([format_value(summary), METRICS_BY_NAME[summary.metric].unit]).strip(),
            "interval": format_interval(summary),
            "better": METRICS_BY_NAME[summary.metric].better,
            "on": f"{name} ({summary.num_clips} clips)",
            "command": command,
        }
        for summary in document.summaries
        if summary.value is not None
    ]


def identity_scores(table: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row of the card per value of `benchmarks.identity_table`."""
    rows = {row.name: row for row in report.ROWS}
    return [
        _identity_score(rows[entry["row"]], report.Result(**entry), table["command"]) for entry in table["results"]
    ]


def _identity_score(row: report.Row, result: report.Result, command: str) -> dict[str, str]:
    by_chance = row.score is report.lips_by_chance
    notes = [f"{result.num_clips} clips", f"chance {row.chance}" if row.chance else ""]
    notes += [f"aim {row.aim}" if row.aim and result.column == report.GENERATED else ""]
    value, ends = report.value_and_interval(result.interval, is_share=row.is_share)
    return {
        "name": "lip sync with the sound of another clip" if by_chance else row.name,
        "value": value,
        "interval": ends,
        "better": "lower" if by_chance else "higher",
        "on": f"{_CLIPS[result.column]} of held-out people ({', '.join(filter(None, notes))})",
        "command": command,
    }


def replace_entry(text: str, section: str, key: str, value: Any) -> str:
    """Put another value under ``section: {key: …}`` of a YAML file, and leave every other line as it is.

    Args:
        text: of the file; sections begin in the first column, their keys after two spaces.
        section: its name.
        key: one that is there is replaced; else it becomes the section's first.
        value: what is written; ``None`` takes the key out.
    """
    lines = text.splitlines(keepends=True)
    start = lines.index(f"{section}:\n") + 1
    end = next((i for i in range(start, len(lines)) if not lines[i].startswith((" ", "\n"))), len(lines))
    first = next((i for i in range(start, end) if lines[i].startswith(f"  {key}:")), None)
    after = start
    if first is not None:
        # What belongs to a key is indented deeper, or is an item of its list.
        after = next((i for i in range(first + 1, end) if lines[i][:3] not in ("   ", "  -", "\n")), end)
    dumped = "" if value is None else yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=200)
    new = ["  " + line if line.strip() else line for line in dumped.splitlines(keepends=True)]
    return "".join([*lines[: after if first is None else first], *new, *lines[after:]])


def read_evaluation(folder: Path) -> Document:
    """The result of `iap evaluate`.

    Raises:
        ValueError: if it is of another model than the embedded checkpoint.
    """
    document = Document.read(folder / "results.json")
    ours = resolve_model(str(EMBEDDED_CHECKPOINT)).revision
    theirs = (document.generated or {}).get("model_revision")
    if theirs != ours:
        raise ValueError(f"{folder} holds scores of the weights {theirs}, but the embedded checkpoint is {ours}.")
    return document


def read_identity_table(folder: Path) -> dict[str, Any]:
    """The result of `benchmarks.identity_table`.

    Raises:
        ValueError: if it is of another model than the embedded checkpoint.
    """
    table = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    ours, theirs = weights_digest(EMBEDDED_CHECKPOINT), table["settings"]["model_weights"]
    if theirs != ours:
        raise ValueError(f"{folder} holds scores of the weights {theirs}, but the embedded checkpoint is {ours}.")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=Path, default=FACTS, help="of the card (%(default)s)")
    parser.add_argument("--evaluation", type=Path, help="folder that `iap evaluate --benchmark` wrote")
    parser.add_argument("--identity-table", type=Path, help="folder that `benchmarks.identity_table` wrote")
    parser.add_argument("--ablation", type=Path, help="folder of the runs of training/configs/ablation.yaml")
    args = parser.parse_args()
    try:
        write_scores(args.facts, args.evaluation, args.identity_table, args.ablation)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    for path in render_all(args.facts.parent):
        print(path)


def write_scores(
    facts: Path, evaluation: Path | None = None, identity_table: Path | None = None, ablation: Path | None = None
) -> None:
    """Write what is given into the facts of a card; see the arguments of the command."""
    scores: list[dict[str, str]] = []
    index = None
    if identity_table:
        scores += identity_scores(read_identity_table(identity_table))
    if evaluation:
        document = read_evaluation(evaluation)
        scores += benchmark_scores(document)
        name = document.generated["benchmark"]
        index = model_index(document, model_name="iap-tiny", dataset_id=name, dataset_name=name)["model-index"]
    text = facts.read_text(encoding="utf-8")
    if ablation:
        draw_ablation(ablation, (facts.parent / CardFacts.load(facts).output).parent / FIGURE)
        command = "python -m benchmarks.ablation runs/ablation"
        table = {"table": ablation_table(ablation), "figure": FIGURE, "command": command}
        text = replace_entry(text, "facts", "ablation", table)
    if identity_table or evaluation:
        text = replace_entry(text, "metadata", "model-index", index)
        text = replace_entry(text, "facts", "scores", scores)
    facts.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
