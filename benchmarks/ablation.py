"""What each part of the recipe is worth: one row per finished run of training/configs/ablation.yaml.

    python -m benchmarks.ablation runs/ablation --plot docs/ablation.svg

Reads `RUN/table/table.json` of every run, as `benchmarks.identity_table` writes it, and trains and measures nothing.
`--plot` draws the same values with their intervals, a panel per column (SVG or PNG).
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.figures import TEXT_AS_TEXT, open_pyplot, save_figure
from benchmarks.measuring import markdown_table
from iap_pipelines.evaluation.drawn_world.report import GENERATED, Result, with_ends


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
    rows = [
        [RUNS[run], *(with_ends(found[row].interval, is_share=True) if row in found else "" for row in COLUMNS)]
        for run, found in read_runs(folder).items()
    ]
    return markdown_table(["model", *COLUMNS.values()], rows)


def draw_ablation(folder: Path, path: Path) -> None:
    """
    Draw the values of the table: a panel per column, a line per run with its 95 % interval.

    Args:
        folder: of runs.
        path: SVG or PNG to write.

    Raises:
        FileNotFoundError: if no run is finished.
        ValueError: if runs were measured in different ways.
    """
    pyplot = open_pyplot(TEXT_AS_TEXT)

    runs = read_runs(folder)
    columns = {row: title for row, title in COLUMNS.items() if any(row in found for found in runs.values())}
    size = 2.0 + 1.5 * len(columns), 0.7 + 0.3 * len(runs)
    figure, panels = pyplot.subplots(1, len(columns), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for panel, (row, title) in zip(panels[0], columns.items(), strict=True):
        for place, (run, found) in enumerate(runs.items()):
            if row in found:
                value, low, high = (100 * end if end is not None else None for end in found[row][2:5])
                if low is not None:
                    panel.plot([low, high], [place, place], color="0.6", linewidth=2)
                panel.plot([value], [place], "o", color="C1" if run == "complete" else "C0")
        panel.set_title(title, fontsize=9)
        panel.set_xlim(-3, 103)
        panel.set_xlabel("%", fontsize=8)
        panel.tick_params(labelsize=8)
    panels[0, 0].set_yticks(range(len(runs)), [RUNS[run] for run in runs])
    panels[0, 0].set_ylim(len(runs) - 0.5, -0.5)
    save_figure(figure, path, dpi=110)


def read_runs(folder: Path) -> dict[str, dict[str, Result]]:
    """
    The values of generated clips, by run in the order of `RUNS` and by row; unfinished runs are left out.

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
    results = {run: [Result(**entry) for entry in table["results"]] for run, table in tables.items()}
    return {run: {one.row: one for one in found if one.column == GENERATED} for run, found in results.items()}


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
    parser.add_argument("--plot", type=Path, help="SVG or PNG to write")
    args = parser.parse_args()
    try:
        print(ablation_table(args.folder))
        if args.plot:
            draw_ablation(args.folder, args.plot)
            print(args.plot)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
