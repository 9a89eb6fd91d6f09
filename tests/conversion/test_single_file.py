import pytest
import torch
from safetensors.torch import load_file, save_file

from iap_pipelines import IAPTransformer3DModel
from iap_pipelines.conversion import ConversionError
from iap_pipelines.conversion.checkpoint import open_checkpoint
from iap_pipelines.conversion.components import plan_transformer
from iap_pipelines.conversion.convert import write_component


@pytest.fixture
def converted(sources, tmp_path):
    plan = plan_transformer(open_checkpoint(sources.transformer), attention_head_dim=12)
    write_component(plan, tmp_path / "transformer", plan.stored_layout(None))
    return tmp_path / "transformer"


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_official_file_loads_directly(sources, converted, tmp_path, suffix):
    path = tmp_path / f"official{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(load_file(sources.transformer), path)
    model = IAPTransformer3DModel.from_single_file(str(path), config=str(converted), dtype=torch.float32)
    expected = IAPTransformer3DModel.from_pretrained(converted)
    for (name, value), other in zip(model.state_dict().items(), expected.state_dict().values(), strict=True):
        assert not value.is_meta, name
        torch.testing.assert_close(value, other, rtol=0, atol=0)


def test_converted_file_loads_as_it_is(converted):
    path = converted / "diffusion_pytorch_model.safetensors"
    model = IAPTransformer3DModel.from_single_file(str(path), config=str(converted))
    assert not any(value.is_meta for value in model.state_dict().values())


def test_base_checkpoint(official, converted, tmp_path):
    save_file(official.fill(official.dual_tower_layout(base=True)), tmp_path / "base.safetensors")
    with pytest.raises(ConversionError, match="initialise_identity"):
        IAPTransformer3DModel.from_single_file(str(tmp_path / "base.safetensors"), config=str(converted))
    model = IAPTransformer3DModel.from_single_file(
        str(tmp_path / "base.safetensors"), config=str(converted), initialise_identity=True
    )
    block = model.blocks[0].video
    torch.testing.assert_close(block.identity.attn1.to_q.weight, block.attn1.to_q.weight)
    assert block.identity.attn1.to_q.weight.data_ptr() != block.attn1.to_q.weight.data_ptr()


@pytest.mark.parametrize("key", ["audio_model.head.head.bias", "video_model.blocks.1.self_attn.k_prime.weight"])
def test_incomplete_file(sources, converted, tmp_path, key):
    tensors = load_file(sources.transformer)
    del tensors[key]
    save_file(tensors, tmp_path / "incomplete.safetensors")
    with pytest.raises(ConversionError, match=key):
        IAPTransformer3DModel.from_single_file(str(tmp_path / "incomplete.safetensors"), config=str(converted))


def test_configuration_of_another_size(official, converted, tmp_path):
    save_file(official.fill(official.dual_tower_layout(num_layers=3)), tmp_path / "deeper.safetensors")
    with pytest.raises(ConversionError, match=r"blocks\.2"):
        IAPTransformer3DModel.from_single_file(str(tmp_path / "deeper.safetensors"), config=str(converted))
