"""One tiny pipeline for everybody who only looks, and a new one for whoever changes it."""

import pytest

from iap_pipelines import IAPPipeline
from tests.pipelines.tiny_components import tiny_pipeline


@pytest.fixture(scope="session")
def pipe() -> IAPPipeline:
    """Shared: leave it as it came."""
    return tiny_pipeline()


@pytest.fixture
def own_pipe() -> IAPPipeline:
    """For tests that load adapters, release weights, cast or offload."""
    return tiny_pipeline()


@pytest.fixture(scope="session")
def official_pipe() -> IAPPipeline:
    """As the published model: fixed positions, no slots, everybody sees everybody."""
    return tiny_pipeline(
        identity_attention="all", identity_position="fixed", num_identity_slots=0, audio_position_scale=0.19676
    )
