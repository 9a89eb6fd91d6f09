import pytest
import torch
from transformers import UMT5Config, UMT5EncoderModel

from iap_pipelines.conversion.text_encoder import (
    is_dead_text_encoder_key,
    official_text_encoder_key,
    text_encoder_config,
    text_encoder_key,
)


@pytest.mark.parametrize(
    "size", [{}, {"vocab_size": 256384, "dim": 4096, "ffn_dim": 10240, "num_heads": 64, "num_layers": 24}]
)
def test_every_key_is_converted(official, size):
    layout = official.on_meta(official.text_encoder_layout(**size))
    converted = {text_encoder_key(key): value for key, value in layout.items()}
    with torch.device("meta"):
        expected = UMT5EncoderModel(UMT5Config(**text_encoder_config(converted))).state_dict()
    expected.pop("encoder.embed_tokens.weight")  # the same tensor as `shared.weight`
    assert {key: value.shape for key, value in converted.items()} == {
        key: value.shape for key, value in expected.items()
    }
    assert all(official_text_encoder_key(text_encoder_key(key)) == key for key in layout)


def test_published_configuration(official):
    layout = official.on_meta(official.text_encoder_layout(256384, 4096, 10240, 64, 24))
    assert text_encoder_config({text_encoder_key(key): value for key, value in layout.items()}) == {
        "vocab_size": 256384,
        "d_model": 4096,
        "d_kv": 64,
        "d_ff": 10240,
        "num_layers": 24,
        "num_heads": 64,
        "relative_attention_num_buckets": 32,
    }


def test_what_a_whole_model_has_beside_its_encoder():
    layout = {"shared.weight": torch.empty(1)}
    assert is_dead_text_encoder_key("decoder.block.0.layer.0.layer_norm.weight", layout)
    assert is_dead_text_encoder_key("lm_head.weight", layout)
    assert is_dead_text_encoder_key("encoder.embed_tokens.weight", layout)
    assert not is_dead_text_encoder_key("encoder.embed_tokens.weight", {})
    assert not is_dead_text_encoder_key("encoder.final_layer_norm.weight", layout)
