"""Metrics of a run as JSON lines that agree with the checkpoints, also after the run was killed."""

import json
import os
from collections.abc import Mapping
from pathlib import Path


class MetricsLog:
    """
    Appends one line per logged step.

    Args:
        path: of the file.
        next_step: the first step that will be logged. Lines from there on belong to a run that was killed after its
            last checkpoint; they are dropped, since those steps run again.
    """

    def __init__(self, path: Path, next_step: int) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        drop_lines(self.path, next_step)

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of one step."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")


def drop_lines(path: Path, next_step: int) -> None:
    """
    Drop what a killed run logged after its last checkpoint, and the line that it was writing, which has no end.

    Args:
        path: of JSON lines with a `step` each; made if needed.
        next_step: lines from this step on are dropped.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] < next_step]
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("".join(kept), encoding="utf-8")
    os.replace(partial, path)
