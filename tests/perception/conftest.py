import csv

import pytest


@pytest.fixture(scope="session")
def media(shared):
    folder = shared / "media"
    if not folder.is_dir():
        pytest.skip("needs ../shared/media, not part of the repository")
    return folder


@pytest.fixture(scope="session")
def manifest(media):
    with open(media / "manifest.csv", newline="", encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}
