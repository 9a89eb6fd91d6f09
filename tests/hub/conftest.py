"""A Hub on loopback, and huggingface_hub told to use it."""

import huggingface_hub
import pytest
from huggingface_hub import constants

from tests.hub.server import LoopbackHub


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """
    A new, empty Hub that this process's huggingface_hub talks to, with a cache and a token of its own.

    The addresses are constants of that library, read from the environment when it is imported: a user sets
    HF_ENDPOINT, HF_HOME and HF_TOKEN instead, as the tests in processes of their own do.
    """
    with LoopbackHub() as hub:
        cache = str(tmp_path / "hf-home" / "hub")
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", cache)
        monkeypatch.setattr("diffusers.utils.constants.HF_MODULES_CACHE", str(tmp_path / "hf-home" / "modules"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf-home" / "token"))
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", hub.url)
        monkeypatch.setenv("HF_TOKEN", hub.token)
        yield hub


@pytest.fixture
def impatient(monkeypatch):
    """huggingface_hub repeats what fails after seconds of waiting; not here."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
