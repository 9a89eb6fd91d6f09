import pytest
import torch
from diffusers import AutoencoderKLWan

from iap_pipelines.conversion.video_vae import (
    LATENTS_MEAN,
    LATENTS_STD,
    official_video_vae_key,
    video_vae_config,
    video_vae_key,
)


def test_full_size_every_key_is_converted(official):
    layout = official.on_meta(official.video_vae_layout(base_dim=160, decoder_dim=256))
    converted = {video_vae_key(key): value for key, value in layout.items()}
    with torch.device("meta"):
        expected = AutoencoderKLWan(**video_vae_config(converted)).state_dict()
    assert {key: value.shape for key, value in converted.items()} == {
        key: value.shape for key, value in expected.items()
    }
    assert all(official_video_vae_key(video_vae_key(key)) == key for key in layout)


def test_configuration_is_the_published_one(official):
    layout = official.on_meta(official.video_vae_layout(base_dim=160, decoder_dim=256))
    config = video_vae_config({video_vae_key(key): value for key, value in layout.items()})
    assert config == {
        "base_dim": 160,
        "decoder_base_dim": 256,
        "z_dim": 48,
        "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": 2,
        "temperal_downsample": [False, True, True],
        "latents_mean": list(LATENTS_MEAN),
        "latents_std": list(LATENTS_STD),
        "is_residual": True,
        "in_channels": 12,
        "out_channels": 12,
        "patch_size": 2,
        "scale_factor_temporal": 4,
        "scale_factor_spatial": 16,
    }
    assert len(LATENTS_MEAN) == len(LATENTS_STD) == 48
    assert min(LATENTS_STD) > 0


@pytest.mark.parametrize(
    "key",
    [
        "encoder.downsamples.0.residual.0.gamma",
        "encoder.downsamples.0.downsamples.1.resample.1.weight",
        "conv3.weight",
    ],
)
def test_other_names_are_not_known(key):
    with pytest.raises(KeyError):
        video_vae_key(key)
