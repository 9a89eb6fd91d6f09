import pytest
import torch

from iap_pipelines.conversion.vocoder import official_vocoder_key, remove_weight_norm, vocoder_key


def test_there_and_back(official):
    layout = official.vocoder_layout(1536, naming="removed")
    assert all(official_vocoder_key(vocoder_key(key)) == key for key in layout)


@pytest.mark.parametrize("key", ["mel.weight", "resblocks.0.convs3.0.weight", "discriminator.0.bias"])
def test_other_names_are_not_known(key):
    with pytest.raises(ValueError, match=key):
        vocoder_key(key)


def test_weight_norm_is_magnitude_times_direction(official):
    tensors = official.fill(official.vocoder_layout())
    plain = remove_weight_norm(tensors)
    assert {key: tuple(value.shape) for key, value in plain.items()} == official.vocoder_layout(naming="removed")
    norm = plain["ups.1.0.weight"].flatten(1).norm(dim=1)
    magnitude = tensors["ups.1.0.parametrizations.weight.original0"].flatten()
    torch.testing.assert_close(norm, magnitude.abs())
