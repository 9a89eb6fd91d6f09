"""Reading the parity fixtures: everything is found through the manifest, by what a file says it is."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor


REPOSITORY = Path(__file__).resolve().parents[2]


class Fixtures:
    """A folder of fixtures; empty where it does not exist."""

    def __init__(self, folder: Path) -> None:
        manifest = folder / "manifest.json"
        self.folder = folder
        self.files = json.loads(manifest.read_text())["files"] if manifest.is_file() else {}

    @property
    def marks(self) -> list[pytest.MarkDecorator]:
        reason = f"no parity fixtures in {self.folder}; name their folder in IAP_PARITY_DIR"
        return [pytest.mark.parity, pytest.mark.skipif(not self.files, reason=reason)]

    def name(self, role: str) -> str | None:
        """The file whose role begins with `role`."""
        return next((name for name, entry in self.files.items() if entry["role"].startswith(role)), None)

    def entry(self, role: str) -> dict[str, Any]:
        """What the manifest says of that file; nothing where there is none."""
        return self.files.get(self.name(role), {})

    def read(self, role: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Its tensors, and what the manifest says of it."""
        if self.name(role) is None:
            pytest.skip(f"no fixture with the role `{role}…` in {self.folder}")
        return load_file(self.folder / self.name(role)), self.entry(role)

    def prefixes(self, role: str, pattern: str) -> list[str]:
        """First parts of tensor names that match `pattern`, each once."""
        first_parts = dict.fromkeys(name.split("/")[0] for name in self.entry(role).get("tensors", ()))
        return [part for part in first_parts if re.fullmatch(pattern, part)]


FIXTURES = Fixtures(Path(os.environ.get("IAP_PARITY_DIR") or REPOSITORY.parent / "shared" / "parity"))
