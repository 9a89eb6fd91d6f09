import pytest
import torch

from benchmarks.full_size import (
    FullSize,
    account,
    count_float32_parameters,
    count_generation,
    make_inputs,
    memory_bytes,
)
from iap_pipelines import IAPTransformer3DModel
from iap_pipelines.models.transformer_iap import IAPTransformerBlock


SIZE = FullSize(height=64, width=96, num_frames=9, face_size=64, voice_seconds=0.5, num_caption_tokens=5)
CONFIG = {
    "in_channels": 4,
    "audio_in_channels": 6,
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "ffn_dim": 32,
    "num_layers": 2,
    "text_dim": 16,
    "audio_embed_dim": 16,
}


@pytest.fixture(scope="module")
def on_cpu():
    torch.manual_seed(0)
    model = IAPTransformer3DModel(**CONFIG).eval()
    return model, *count_generation(model, make_inputs(SIZE, CONFIG, device="cpu"))


def test_meta_counts_what_a_cpu_counts(on_cpu):
    with torch.device("meta"):
        model = IAPTransformer3DModel(**CONFIG).eval()
    cost, memory = count_generation(model, make_inputs(SIZE, CONFIG))
    assert cost == on_cpu[1]
    assert all(memory_bytes(memory, tower) == memory_bytes(on_cpu[2], tower) for tower in ("video", "audio"))


def test_attention_is_counted_as_by_hand(on_cpu):
    """Of self-attention, two layers: 4 * D * queries * keys, keys being target and identity tokens."""
    _, cost, _ = on_cpu
    dim, layers = 24, 2
    video, audio, faces, voices, caption = 3 * 2 * 3, 11, 2 * 2, 15, 5
    pairs = video * (video + faces) + audio * (audio + voices)
    pairs += (video + audio) * caption + 2 * video * audio
    assert cost.forward.attention == 4 * dim * layers * pairs


def test_memory_is_two_tensors_per_layer_and_token(on_cpu):
    _, _, memory = on_cpu
    dim, layers, faces, voices = 24, 2, 2 * 2, 15
    assert memory_bytes(memory, "video") == 2 * 2 * layers * faces * dim
    assert memory_bytes(memory, "audio") == 2 * 2 * layers * voices * dim


def test_float32_is_what_from_pretrained_keeps(on_cpu, tmp_path):
    on_cpu[0].save_pretrained(tmp_path)
    loaded = IAPTransformer3DModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    kept = sum(parameter.numel() for parameter in loaded.parameters() if parameter.dtype == torch.float32)
    assert kept == count_float32_parameters(loaded)
    assert any(isinstance(module, IAPTransformerBlock) for module in loaded.modules())


def test_the_table_shows_fewer_parameters_after_release():
    table = account(SIZE, CONFIG)
    assert table.splitlines()[0].startswith("| 64 x 96 pixels, 9 frames | published | ours |")
    assert "parameters built | 21.48 B" in table
