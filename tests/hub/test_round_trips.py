"""What diffusers itself pushes comes back from the Hub as it was, with no trust flag."""

import json

import pytest
import torch
from diffusers import AutoModel, DiffusionPipeline
from huggingface_hub import create_repo, upload_folder
from huggingface_hub.errors import HfHubHTTPError
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from iap_pipelines import IAPPipeline, IAPTransformer3DModel
from tests.pipelines.tiny_components import tiny_pipeline, tiny_transformer
from tests.pipelines.tiny_people import assert_equal, assert_moved, generate, person


HTTPError = HfHubHTTPError.__bases__[0]  # of the HTTP library, whichever it is


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


def weights(pipe: IAPPipeline) -> dict[str, torch.Tensor]:
    """Every tensor of every component."""
    return {
        f"{name}.{key}": value
        for name, component in pipe.components.items()
        if isinstance(component, torch.nn.Module)
        for key, value in component.state_dict().items()
    }


def assert_same_weights(one: IAPPipeline, other: IAPPipeline) -> None:
    expected, found = weights(one), weights(other)
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[key]) for key, value in expected.items())


@pytest.mark.parametrize("way", ["push_to_hub", "save_pretrained"])
def test_a_pipeline_comes_back_equal_to_the_bit(hub, pipe, tmp_path, way):
    if way == "push_to_hub":
        pipe.push_to_hub("org/iap", private=True)
    else:
        pipe.save_pretrained(str(tmp_path / "folder"), push_to_hub=True, repo_id="org/iap", private=True)
    repository = hub.model("org/iap")
    assert repository.is_private
    index = json.loads(repository.files()["model_index.json"].data)
    assert index["transformer"] == ["iap_pipelines", "IAPTransformer3DModel"]
    assert repository.files()["transformer/diffusion_pytorch_model.safetensors"].is_large
    assert not [path for path in repository.files() if path.endswith((".py", ".bin", ".pt", ".pkl"))]

    back = DiffusionPipeline.from_pretrained("org/iap")
    assert type(back) is IAPPipeline
    assert_same_weights(pipe, back)
    back.set_progress_bar_config(disable=True)
    ada = person(1)
    assert_equal(generate(pipe, subjects=[ada]), generate(back, subjects=[ada]))


def test_components_load_alone(hub, pipe):
    pipe.push_to_hub("org/iap")
    for loader in (AutoModel, IAPTransformer3DModel):
        transformer = loader.from_pretrained("org/iap", subfolder="transformer")
        assert type(transformer) is IAPTransformer3DModel
    transformer.push_to_hub("org/transformer")
    alone = IAPTransformer3DModel.from_pretrained("org/transformer").state_dict()
    assert all(torch.equal(value, alone[key]) for key, value in pipe.transformer.state_dict().items())


def test_an_adapter(hub, tmp_path):
    transformer = tiny_transformer()
    transformer.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"]), "ada")
    with torch.no_grad():
        for key, parameter in transformer.named_parameters():
            if "lora_B" in key:
                parameter.normal_(generator=torch.Generator().manual_seed(0))
    state_dict = get_peft_model_state_dict(transformer, adapter_name="ada")
    metadata = transformer.peft_config["ada"].to_dict()
    IAPPipeline.save_lora_weights(tmp_path, state_dict, transformer_lora_adapter_metadata=metadata)
    create_repo("org/ada-lora")
    upload_folder(repo_id="org/ada-lora", folder_path=tmp_path)

    back, back_metadata = IAPPipeline.lora_state_dict("org/ada-lora", return_lora_metadata=True)
    assert all(torch.equal(back[f"transformer.{key}"], value) for key, value in state_dict.items())
    assert back_metadata["transformer.r"] == 2
    ada, own_pipe = person(1), tiny_pipeline()
    before = generate(own_pipe, subjects=[ada])
    own_pipe.load_lora_weights("org/ada-lora", adapter_name="ada")
    assert_moved(before, generate(own_pipe, subjects=[ada]))


def test_a_push_that_was_cut_off_continues(hub, pipe, impatient):
    """Large files that have arrived are not sent again; the repository shows nothing until everything is there."""
    hub.fail("POST", "/commit/", drop_after_bytes=10, times=-1)
    with pytest.raises(HTTPError):
        pipe.push_to_hub("org/iap")
    assert not hub.model("org/iap").files()
    sent = hub.count("PUT", "/_large/")
    assert sent >= 5
    hub.forget()
    pipe.push_to_hub("org/iap")
    assert hub.count("PUT", "/_large/") == 0
    assert_same_weights(pipe, DiffusionPipeline.from_pretrained("org/iap"))
