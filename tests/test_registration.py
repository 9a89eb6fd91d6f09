"""What `import iap_pipelines` tells diffusers, and every door that needs it."""

import json

import diffusers
import pytest
import torch
from diffusers import AutoModel, DiffusionPipeline
from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES
from diffusers.pipelines.pipeline_loading_utils import LOADABLE_CLASSES

import iap_pipelines
from iap_pipelines import IAPPipeline, IAPTransformer3DModel
from tests.pipelines.tiny_components import tiny_pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    tiny_pipeline().save_pretrained(folder)
    return folder


def test_classes_are_found_by_name():
    assert diffusers.IAPPipeline is IAPPipeline
    assert diffusers.IAPTransformer3DModel is IAPTransformer3DModel
    assert "IAPTransformer3DModel" in SINGLE_FILE_LOADABLE_CLASSES
    # Loaders look the base classes of a registered library up on the library itself.
    assert all(hasattr(iap_pipelines, name) for name in LOADABLE_CLASSES["iap_pipelines"])


def test_the_index_names_the_package_and_no_module_of_it(folder):
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == "IAPPipeline"
    assert index["transformer"] == ["iap_pipelines", "IAPTransformer3DModel"]
    libraries = {entry[0] for entry in index.values() if isinstance(entry, list) and len(entry) == 2}
    assert libraries <= {"iap_pipelines", "diffusers", "transformers", "ltx2"}


def test_a_component_loads_alone(folder):
    for loader in (AutoModel, IAPTransformer3DModel):
        loaded = loader.from_pretrained(str(folder), subfolder="transformer")
        assert type(loaded) is IAPTransformer3DModel
    full = DiffusionPipeline.from_pretrained(folder).transformer.state_dict()
    assert all(torch.equal(value, full[key]) for key, value in loaded.state_dict().items())


def test_importing_twice_changes_nothing():
    before = dict(LOADABLE_CLASSES["iap_pipelines"])
    iap_pipelines.register_with_diffusers((IAPPipeline,), {})
    assert LOADABLE_CLASSES["iap_pipelines"] == before and diffusers.IAPPipeline is IAPPipeline
