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
        kept = [line for line in self._lines() if json.loads(line)["step"] < next_step]
        partial = self.path.with_name(f".{self.path.name}.partial")
        partial.write_text("".join(kept))
        os.replace(partial, self.path)

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of one step."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    def _lines(self) -> list[str]:
        if not self.path.exists():
            return []
        # The line that was being written when the run was killed has no end.
        return [line for line in self.path.read_text().splitlines(keepends=True) if line.endswith("\n")]
