"""The benchmarks' own sizes, shrunk until a run takes a moment."""

import pytest

from benchmarks.setting import LoopSetting


@pytest.fixture(scope="session")
def tiny_setting():
    return LoopSetting(
        num_attention_heads=2,
        attention_head_dim=12,
        ffn_dim=32,
        num_layers=2,
        text_dim=16,
        video_channels=4,
        audio_channels=6,
        num_latent_frames=2,
        latent_size=4,
        num_caption_tokens=5,
        num_voice_latents=7,
        num_inference_steps=2,
    )
