import pytest
import torch

from iap_pipelines.data.latent_store import LatentShardWriter, LatentStore


def test_there_and_back(tmp_path):
    tensors = {
        "clip-1/video": torch.randn(4, 2, 3, 3),
        "id-1/voice_1": torch.randn(5, 3),
        "id-1/voice_0": torch.randn(6, 3),
    }
    LatentShardWriter(tmp_path, {"codecs": "a"}).write("shard", tensors)
    store = LatentStore(tmp_path)
    assert set(store) == set(tensors)
    for key, tensor in tensors.items():
        assert store.read(key).dtype == torch.float32
        torch.testing.assert_close(store.read(key), tensor, atol=2e-3, rtol=2e-3)
    assert store.recordings("id-1") == ["id-1/voice_0", "id-1/voice_1"]
    assert store.recordings("id-2") == []


def test_shards_that_exist_are_found_again(tmp_path):
    LatentShardWriter(tmp_path, {"codecs": "a"}).write("one", {"x/video": torch.zeros(1)})
    writer = LatentShardWriter(tmp_path, {"codecs": "a"})
    assert writer.has("one")
    assert not writer.has("two")


def test_other_settings_are_refused(tmp_path):
    LatentShardWriter(tmp_path, {"codecs": "a"})
    with pytest.raises(ValueError, match="other settings"):
        LatentShardWriter(tmp_path, {"codecs": "b"})


def test_a_missing_key_is_named(tmp_path):
    LatentShardWriter(tmp_path, {}).write("one", {"x/video": torch.zeros(1)})
    with pytest.raises(KeyError, match="y/video"):
        LatentStore(tmp_path).read("y/video")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="Precompute"):
        LatentStore(tmp_path)
