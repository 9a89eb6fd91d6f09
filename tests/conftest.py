"""What every test may ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest


REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"


@pytest.fixture(scope="session", autouse=True)
def package_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the package keeps between runs (the development key) stays out of the user's home."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IAP_CACHE", str(folder))
        patch.delenv("IAP_SIGNING_CERTIFICATES", raising=False)
        patch.delenv("IAP_SIGNING_KEY", raising=False)
        yield folder


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
