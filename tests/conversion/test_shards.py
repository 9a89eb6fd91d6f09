import json

import pytest
import torch
from safetensors.torch import load_file

from iap_pipelines.conversion.shards import ShardWriter


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "odd": torch.randn(3, generator=generator).bfloat16(),
        "matrix": torch.randn(8, 16, generator=generator),
        "scalar": torch.randn((), generator=generator),
        "empty": torch.zeros(0, 4),
        "half": torch.randn(2, 5, generator=generator).half(),
        "large": torch.randn(64, 16, generator=generator),
        "last": torch.randn(10, generator=generator),
    }


def layout_of(tensors):
    return {name: tensor.to("meta") for name, tensor in tensors.items()}


def load_all(folder):
    return {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}


def assert_equal(left, right):
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=0, atol=0)


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("max_shard_size", ["5GB", 1024])
def test_what_is_written_is_read_back(tmp_path, tensors, max_shard_size, in_order):
    with ShardWriter(tmp_path, "model", layout_of(tensors), max_shard_size) as writer:
        for name in tensors if in_order else reversed(tensors):
            writer.write(name, tensors[name])
    assert_equal(load_all(tmp_path), tensors)


def test_everything_that_fits_is_one_file_without_an_index(tmp_path, tensors):
    with ShardWriter(tmp_path, "model", layout_of(tensors), "1MB") as writer:
        for name, tensor in tensors.items():
            writer.write(name, tensor)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_shards_keep_to_the_limit_and_the_index_finds_them(tmp_path, tensors):
    with ShardWriter(tmp_path, "model", layout_of(tensors), 1024) as writer:
        for name, tensor in tensors.items():
            writer.write(name, tensor)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in tensors.values())
    assert index["weight_map"].keys() == tensors.keys()
    for name, file_name in index["weight_map"].items():
        torch.testing.assert_close(load_file(tmp_path / file_name)[name], tensors[name], rtol=0, atol=0)
    for path in tmp_path.glob("*.safetensors"):
        content = load_file(path)
        assert sum(tensor.nbytes for tensor in content.values()) <= 1024 or list(content) == ["large"]


def test_views_are_written_by_value(tmp_path):
    tensor = torch.arange(12.0).reshape(3, 4)
    views = {"transposed": tensor.T, "slice": tensor[:, 1:3], "same": tensor}
    with ShardWriter(tmp_path, "model", layout_of(views), "1MB") as writer:
        for name, view in views.items():
            writer.write(name, view)
    assert_equal(load_all(tmp_path), views)


def test_a_tensor_that_is_not_as_announced(tmp_path, tensors):
    with ShardWriter(tmp_path, "model", layout_of({"a": torch.zeros(2)}), "1MB") as writer:
        with pytest.raises(ValueError, match=r"torch\.float32 \[2\].*torch\.float32 \[3\]"):
            writer.write("a", torch.zeros(3))
        with pytest.raises(ValueError, match="torch.float16"):
            writer.write("a", torch.zeros(2).half())
        writer.write("a", torch.zeros(2))
        with pytest.raises(KeyError):
            writer.write("b", torch.zeros(2))
        with pytest.raises(KeyError):
            writer.write("a", torch.zeros(2))


def test_a_forgotten_tensor_is_noticed(tmp_path, tensors):
    with pytest.raises(ValueError, match="1 announced tensors were never written, such as last"):
        with ShardWriter(tmp_path, "model", layout_of(tensors), "1MB") as writer:
            for name in list(tensors)[:-1]:
                writer.write(name, tensors[name])


def test_an_unfinished_file_does_not_load(tmp_path, tensors):
    with pytest.raises(KeyboardInterrupt):
        with ShardWriter(tmp_path, "model", layout_of(tensors), "1MB") as writer:
            writer.write("matrix", tensors["matrix"])
            raise KeyboardInterrupt
    with pytest.raises(Exception, match="(?i)header|metadata|incomplete"):
        load_file(tmp_path / "model.safetensors")
