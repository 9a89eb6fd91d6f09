import csv
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def manifest(shared: Path) -> dict[str, dict[str, str]]:
    """What is known about each shared file, by its name relative to the folder."""
    with open(shared / "media" / "manifest.csv", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}
