"""What each part of the recipe is worth: one row per finished run of training/configs/ablation.yaml.

    python -m benchmarks.ablation runs/ablation

Reads `RUN/table/table.json` of every run, as `benchmarks.identity_table` writes it, and trains and measures nothing.
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.measuring import markdown_table
from iap_pipelines.evaluation.drawn_world.report import GENERATED, Result, percent


RUNS = {
    "complete": "complete",
    "no_slots": "without identity embedding",
    "fixed_positions": "without structured positions",
    "no_anchors": "without subject anchors",
    "no_stages": "without stages",
    "own_clip": "without other-clip references",
}
"""Folders of `training/configs/ablation.yaml` and what they are called in the table."""

COLUMNS = {
    "face: top-1 among 32": "face",
    "voice: top-1 among 32": "voice",
    "lip sync: best offset within one frame": "lip sync",
    "spoken word accuracy": "words",
    "two people: right face on the right side": "sides",
    "two people: both of it": "two people",
}
"""Rows of the identity table and what they are called here."""


def ablation_table(folder: Path) -> str:
    """
    The table of all runs that are finished, in the order of `RUNS`.

    Args:
        folder: of runs.

    Raises:
        FileNotFoundError: if no run is finished.
        ValueError: if runs were measured in different ways.
    """
    paths = {run: Path(folder) / run / "table" / "table.json" for run in RUNS}
    tables = {run: json.loads(path.read_text()) for run, path in paths.items() if path.exists()}
    if not tables:
        raise FileNotFoundError(
            f"No run of {folder} has a table; they would be {', '.join(map(str, paths.values()))}."
        )
    _check_alike({run: table["settings"] for run, table in tables.items()})
    return markdown_table(["model", *COLUMNS.values()], [_row(RUNS[run], table) for run, table in tables.items()])


def _row(name: str, table: dict) -> list[str]:
    results = [Result(**entry) for entry in table["results"]]
    found = {result.row: percent(result) for result in results if result.column == GENERATED}
    return [name, *(found.get(row, "") for row in COLUMNS)]


def _check_alike(settings: dict[str, dict]) -> None:
    """Only the model may differ, and whether its captions have anchors."""
    kept = {
        run: {key: value for key, value in one.items() if not key.startswith("model") and key != "no_anchors"}
        for run, one in settings.items()
    }
    first = next(iter(kept))
    different = [run for run, one in kept.items() if one != kept[first]]
    if different:
        raise ValueError(f"{', '.join(different)} were measured with other settings than {first}; measure them alike.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of runs")
    try:
        print(ablation_table(parser.parse_args().folder))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
