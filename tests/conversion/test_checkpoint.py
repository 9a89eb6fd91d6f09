import json
import os

import pytest
import torch
from safetensors.torch import save_file

from iap_pipelines.conversion import ConversionError, checkpoint
from iap_pipelines.conversion.checkpoint import open_checkpoint


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "a.weight": torch.randn(3, 4, generator=generator),
        "a.bias": torch.randn(4, generator=generator).bfloat16(),
        "gain": torch.randn((), generator=generator),
    }


def write_shards(folder, tensors, suffix=".safetensors"):
    """One tensor per file, and an index."""
    file_of = {}
    for index, (name, tensor) in enumerate(tensors.items(), 1):
        file_of[name] = f"model-{index:05}-of-{len(tensors):05}{suffix}"
        save = save_file if suffix == ".safetensors" else torch.save
        save({name: tensor}, folder / file_of[name])
    (folder / f"model{suffix}.index.json").write_text(json.dumps({"weight_map": file_of}))
    return folder


def assert_holds(source, tensors):
    assert {key: (value.shape, value.dtype) for key, value in source.layout.items()} == {
        key: (value.shape, value.dtype) for key, value in tensors.items()
    }
    assert all(value.device.type == "meta" for value in source.layout.values())
    for key, value in tensors.items():
        torch.testing.assert_close(source.read(key), value, rtol=0, atol=0)
    assert source.num_bytes == sum(value.nbytes for value in tensors.values())


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt", "model.pth", "model.bin", "model.ckpt"])
def test_one_file(tmp_path, tensors, name):
    (save_file if name.endswith("safetensors") else torch.save)(tensors, tmp_path / name)
    assert_holds(open_checkpoint(tmp_path / name), tensors)
    assert_holds(open_checkpoint(tmp_path), tensors)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_shards(tmp_path, tensors, suffix):
    write_shards(tmp_path, tensors, suffix)
    assert_holds(open_checkpoint(tmp_path), tensors)
    assert_holds(open_checkpoint(tmp_path / f"model{suffix}.index.json"), tensors)
    (tmp_path / f"model{suffix}.index.json").unlink()
    assert_holds(open_checkpoint(tmp_path), tensors)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: {"generator": tensors, "steps": 7},
        lambda tensors: {"app": {"model": tensors}},
        lambda tensors: {"module": tensors, "optimizer": {"lr": 0.1}},
        lambda tensors: {key: torch.nn.Parameter(value) for key, value in tensors.items()},
    ],
)
def test_state_dict_inside_a_training_checkpoint(tmp_path, tensors, wrap):
    torch.save(wrap(tensors), tmp_path / "model.pt")
    source = open_checkpoint(tmp_path / "model.pt")
    assert_holds(source, tensors)
    assert not any(source.read(key).requires_grad for key in tensors)


def test_file_of_old_torch(tmp_path, tensors, monkeypatch):
    torch.save(tensors, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert_holds(open_checkpoint(tmp_path / "old.pt"), tensors)
    monkeypatch.setattr(checkpoint, "_MAX_UNMAPPABLE_BYTES", 10)
    with pytest.raises(ConversionError, match=r"old\.pt .*before 1\.6"):
        open_checkpoint(tmp_path / "old.pt")


def test_mapping_a_file_anew_changes_nothing(tmp_path, tensors, monkeypatch):
    torch.save(tensors, tmp_path / "model.pt")
    monkeypatch.setattr(checkpoint, "_REMAP_AFTER_BYTES", 1)
    source = open_checkpoint(tmp_path / "model.pt")
    kept = {key: source.read(key) for key in tensors}
    for key, value in tensors.items():
        torch.testing.assert_close(kept[key], value, rtol=0, atol=0)


class RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_pickled_code_is_not_run(tmp_path, tensors):
    torch.save({**tensors, "evil": RunsCode(str(tmp_path / "was_run"))}, tmp_path / "model.pt")
    with pytest.raises(ConversionError, match=r"model\.pt .*weights_only"):
        open_checkpoint(tmp_path / "model.pt")
    assert not (tmp_path / "was_run").exists()


def truncate(path, fraction):
    os.truncate(path, int(path.stat().st_size * fraction))


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("name", ["model.safetensors", "model.pt"])
def test_truncated_file(tmp_path, name, fraction):
    tensors = {"a": torch.zeros(4000)}
    path = tmp_path / name
    (save_file if name.endswith("safetensors") else torch.save)(tensors, path)
    truncate(path, fraction)
    with pytest.raises(ConversionError, match=str(path)):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("model.safetensors", b"", "is empty"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        ("model.safetensors", b"<html>404 not found, sorry</html>" * 9, "not a readable safetensors file"),
        ("model.pt", b"<html>404 not found, sorry</html>" * 9, "cannot be read|not a readable"),
        ("model.gguf", b"GGUF", "unknown kind"),
    ],
)
def test_not_a_checkpoint(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConversionError, match=reason) as error:
        open_checkpoint(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "reason"), [([torch.zeros(1)], "list"), ({}, "dict"), ({"a": torch.zeros(1), "step": 3}, "step")]
)
def test_pickle_of_something_else(tmp_path, content, reason):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ConversionError, match=reason):
        open_checkpoint(tmp_path / "model.pt")


def test_absent_path(tmp_path):
    with pytest.raises(ConversionError, match="does not exist"):
        open_checkpoint(tmp_path / "nowhere.pt")


def test_folder_without_weights(tmp_path):
    with pytest.raises(ConversionError, match="holds no weights"):
        open_checkpoint(tmp_path)


def test_folder_with_several_checkpoints(tmp_path, tensors):
    save_file(tensors, tmp_path / "model.safetensors")
    save_file(tensors, tmp_path / "ema.safetensors")
    with pytest.raises(ConversionError, match=r"ema\.safetensors, model\.safetensors"):
        open_checkpoint(tmp_path)


def test_one_shard_is_not_a_checkpoint(tmp_path, tensors):
    write_shards(tmp_path, tensors)
    with pytest.raises(ConversionError, match="one of 3 shards"):
        open_checkpoint(tmp_path / "model-00001-of-00003.safetensors")


def test_index_that_names_absent_files(tmp_path, tensors):
    write_shards(tmp_path, tensors)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    (tmp_path / "model-00003-of-00003.safetensors").unlink()
    with pytest.raises(ConversionError, match=r"2 are absent: model-00002-of-00003\.safetensors, model-00003"):
        open_checkpoint(tmp_path)
    (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(ConversionError, match="1 of 3 shards; missing are 2, 3"):
        open_checkpoint(tmp_path)


def test_two_shards_with_the_same_key(tmp_path, tensors):
    write_shards(tmp_path, tensors)
    (tmp_path / "model.safetensors.index.json").unlink()
    save_file({"a.weight": torch.zeros(1)}, tmp_path / "model-00003-of-00003.safetensors")
    with pytest.raises(ConversionError, match=r"both .* hold `a\.weight`"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "change", [{"a.weight": "model-00002-of-00003.safetensors"}, {"more": "model-00001-of-00003.safetensors"}]
)
def test_index_that_disagrees_with_its_files(tmp_path, tensors, change):
    index = write_shards(tmp_path, tensors) / "model.safetensors.index.json"
    file_of = json.loads(index.read_text())["weight_map"]
    index.write_text(json.dumps({"weight_map": file_of | change}))
    with pytest.raises(
        ConversionError, match=f"disagrees with its files about 1 keys, such as `{next(iter(change))}`"
    ):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("not json", "not a checkpoint index"),
        ("[]", "not a checkpoint index"),
        ('{"weight_map": {}}', "names no keys"),
        ('{"weight_map": {"a": "../secret.safetensors"}}', "beside itself"),
        ('{"weight_map": {"a": 3}}', "beside itself"),
    ],
)
def test_bad_index(tmp_path, content, reason):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ConversionError, match=reason):
        open_checkpoint(tmp_path)
