import re

import pytest
import torch
from accelerate import init_empty_weights

from iap_pipelines.conversion.transformer import (
    base_transformer_key,
    convert_transformer_state_dict,
    official_transformer_key,
    transformer_key,
    unwrapped_key,
)
from iap_pipelines.models.transformer_iap import IAPTransformer3DModel


PUBLISHED = {
    "dim": 3072,
    "ffn_dim": 14336,
    "num_layers": 30,
    "text_dim": 4096,
    "freq_dim": 256,
    "audio_hidden_dim": 8192,
}
# What the published model never reads, by pattern, and what its last layer computes for nothing.
NEVER_USED = re.compile(
    r"video_model\.blocks\.\d+\.(cross_attn_prime|norm3_prime)\..+|audio_model\.blocks\.\d+\..*_prime.*"
)
WITHOUT_EFFECT = re.compile(
    r"video_model\.blocks\.29\.(ffn_prime\..+|self_attn\.(q|o)_prime\..+|self_attn\.norm_q_prime\.weight)"
)


@pytest.fixture(scope="module")
def published_model():
    with init_empty_weights():
        return IAPTransformer3DModel()


def test_the_layouts_of_these_tests_are_the_published_ones(official, published_layout):
    assert official.dual_tower_layout(**PUBLISHED) == published_layout("layout_dual_tower_5b_5b.json")


def test_full_size_every_key_is_converted_or_dead(official, published_model):
    layout = official.dual_tower_layout(**PUBLISHED)
    converted = convert_transformer_state_dict(official.on_meta(layout), 30)
    expected = published_model.state_dict()
    assert {key: value.shape for key, value in converted.items()} == {
        key: value.shape for key, value in expected.items()
    }
    num_converted = sum(value.numel() for value in converted.values())
    assert num_converted == 15_330_261_204

    dead = [key for key in layout if transformer_key(key, 30) is None]
    assert all(NEVER_USED.fullmatch(key) or WITHOUT_EFFECT.fullmatch(key) for key in dead)
    assert not [
        key for key in layout if key not in dead and (NEVER_USED.fullmatch(key) or WITHOUT_EFFECT.fullmatch(key))
    ]
    num_dead = sum(torch.Size(layout[key]).numel() for key in dead)
    assert num_dead == 6_042_900_480 + 106_981_376
    # Of the last identity modulation, four of six vectors are left behind as well.
    assert num_converted == 21_480_155_348 - num_dead - 4 * 3072


def test_there_and_back(published_model):
    for key in published_model.state_dict():
        assert transformer_key(official_transformer_key(key), 30) == key


@pytest.mark.parametrize(
    "key",
    [
        "blocks.0.self_attn.q.weight",
        "text_model.blocks.0.self_attn.q.weight",
        "video_model.blocks.0.self_attn.q.weight_prime",
        "video_model.blocks.0.self_attn_prime.q.weight",
        "video_model.blocks.0.cross_attn.k_fusion_prime.weight",
        "video_model.blocks.0.cross_attn.k_img.weight",
        "video_model.blocks.0.norm2.weight",
        "video_model.patch_embedding.0.weight",
        "audio_model.patch_embedding.weight",
        "video_model.head.modulation.modulation",
        "video_model.freqs",
    ],
)
def test_other_names_are_not_known(key):
    with pytest.raises(KeyError):
        transformer_key(key, 30)


def test_base_checkpoints_wrap_the_modulation_of_blocks():
    wrapped = "audio_model.blocks.3.modulation.modulation"
    assert unwrapped_key(wrapped) == "audio_model.blocks.3.modulation"
    assert transformer_key(wrapped, 30) == transformer_key(unwrapped_key(wrapped), 30)


def test_identity_parameters_start_from_their_ordinary_ones(published_model):
    identity_keys = [key for key in published_model.state_dict() if ".identity." in key]
    for key in identity_keys:
        # The published code removes the mark from the name.
        assert base_transformer_key(key) == official_transformer_key(key).replace("_prime", "", 1)
    assert base_transformer_key("blocks.0.video.attn1.to_q.weight") is None


def test_last_layer_keeps_what_makes_keys_and_values(official):
    tensors = official.fill(official.dual_tower_layout())
    converted = convert_transformer_state_dict(tensors, 2)
    last = {
        key.removeprefix("blocks.1.video.identity.") for key in converted if key.startswith("blocks.1.video.identity.")
    }
    assert {key.rsplit(".", 1)[0] for key in last} == {"modulation", "attn1.to_k", "attn1.to_v", "attn1.norm_k"}
    torch.testing.assert_close(
        converted["blocks.1.video.identity.modulation.scale_shift_table"],
        tensors["video_model.blocks.1.modulation_prime"][:, :2],
    )
