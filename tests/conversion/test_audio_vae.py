import math

import pytest
import torch

from iap_pipelines.conversion.audio_vae import audio_vae_config, convert_audio_vae_state_dict, normalise_weight


def test_normalised_weights_have_unit_norm_per_output_channel():
    weight = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0))
    norms = normalise_weight(weight).flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(5), rtol=1e-3, atol=0)


def test_statistics_move_from_log10_to_natural_logarithms(official):
    tensors = official.fill(official.audio_vae_layout())
    converted = convert_audio_vae_state_dict(tensors)
    for name in ("data_mean", "data_std"):
        torch.testing.assert_close(converted[f"vae.{name}"], tensors[name] * math.log(10))
    kept = convert_audio_vae_state_dict(tensors, natural_log=False)
    torch.testing.assert_close(kept["vae.data_mean"], tensors["data_mean"])


def test_configuration_is_read_off_the_shapes(official):
    config = audio_vae_config(official.on_meta(official.audio_vae_layout(384)))
    assert (config["mel_bins"], config["latent_channels"], config["hidden_channels"]) == (80, 20, 384)
    assert config["channel_multipliers"] == [1, 2, 4]
    assert config["layers_per_block"] == 2


def test_statistics_are_required(official):
    tensors = official.fill(official.audio_vae_layout())
    del tensors["data_std"]
    with pytest.raises(ValueError, match="data_std"):
        convert_audio_vae_state_dict(tensors)
