"""What every test may ask for."""

from pathlib import Path

import pytest


REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds src/ and README.md."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """Files that are too large or too private for the repository; tests that need them are skipped without them."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared, which is not part of the repository")
    return SHARED
