"""Scores on disk, so that an interrupted benchmark goes on."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


class ScoreBook:
    """Values on disk, one JSON line each.

    Args:
        path: the file; its folder is made.
        settings: what the values depend on; others' values are left alone.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._prefix = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
        self._values: dict[str, Any] = {}
        written = path.read_text(encoding="utf-8") if path.exists() else ""
        whole = written[: written.rfind("\n") + 1]  # without a line that was cut off when the run was stopped
        path.write_text(whole, encoding="utf-8")
        for line in whole.splitlines():
            self._values.update(json.loads(line))

    def get(self, key: str, measure: Callable[[], Any]) -> Any:
        """The value that is written down, or what ``measure`` finds."""
        key = f"{self._prefix} {key}"
        if key not in self._values:
            self._values[key] = measure()
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps({key: self._values[key]}) + "\n")
        return self._values[key]
