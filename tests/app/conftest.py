import pytest

from tests.pipelines.tiny_components import tiny_pipeline


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def model(checkpoint):
    from iap_pipelines.app.model import AppModel

    return AppModel.load(str(checkpoint))
