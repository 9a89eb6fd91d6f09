"""Backends of captions, features and speech quality: tiny models of the true classes, saved and loaded as users do."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    Dinov2Config,
    Dinov2Model,
    PreTrainedTokenizerFast,
    VideoMAEConfig,
    VideoMAEImageProcessor,
    VideoMAEModel,
)

from iap_pipelines.evaluation.backends.features import (
    ClapSoundText,
    ClipPictureText,
    PictureFeatures,
    VideoFeatures,
    spread_frames,
)
from iap_pipelines.evaluation.models import EvaluationModels
from iap_pipelines.evaluation.set_features import extract_features, summarize_sets
from iap_pipelines.types import AudioSamples, VideoFrames


SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def _video(seed, frames=20):
    generator = torch.Generator().manual_seed(seed)
    return VideoFrames(torch.randint(0, 256, (frames, 40, 48, 3), dtype=torch.uint8, generator=generator), 25.0)


def _audio(seed, seconds=1):
    generator = torch.Generator().manual_seed(seed)
    return AudioSamples(torch.rand(1, 16_000 * seconds, generator=generator) - 0.5, 16_000)


def _tokenizer():
    words = {word: index for index, word in enumerate(["<pad>", "<eos>", "<unk>", "red", "blue", "bird"])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", model_max_length=16
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("models") / "clip")
    torch.manual_seed(0)
    text = SMALL | {
        "vocab_size": 6,
        "max_position_embeddings": 16,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 0,
    }
    config = CLIPConfig(text_config=text, vision_config=SMALL | {"image_size": 32, "patch_size": 16}, projection_dim=8)
    CLIPModel(config).save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(image_processor=pictures, tokenizer=_tokenizer()).save_pretrained(folder)
    return ClipPictureText(folder)


def test_clip_puts_frames_and_captions_in_one_space(clip):
    frames, red, blue = clip.embed_frames(_video(0)), clip.embed_text("red bird"), clip.embed_text("blue bird")
    assert frames.shape == (8, 8)
    assert red.shape == (8,)
    assert not np.allclose(red, blue)
    np.testing.assert_allclose(clip.embed_text("red bird"), red)
    assert clip.embed_text("red " * 100).shape == (8,)
    assert clip.revision.startswith("clip@")


def test_clap_hears_and_reads(tmp_path):
    folder = str(tmp_path / "clap")
    torch.manual_seed(0)
    audio = {
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "spec_size": 64,
        "window_size": 4,
        "hidden_size": 16,
        "num_mel_bins": 16,
    }
    text = SMALL | {"vocab_size": 6, "max_position_embeddings": 20}
    ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=8)).save_pretrained(folder)
    sound = ClapFeatureExtractor(feature_size=16, sampling_rate=16_000, max_length_s=2, truncation="rand_trunc")
    ClapProcessor(feature_extractor=sound, tokenizer=_tokenizer()).save_pretrained(folder)
    model = ClapSoundText(folder)
    assert model.embed_sound(_audio(0)).shape == (1, 8)
    assert model.embed_text("red bird").shape == (8,)
    assert not np.allclose(model.embed_sound(_audio(0)), model.embed_sound(_audio(1)))


@pytest.fixture(scope="module")
def extractors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extractors")
    torch.manual_seed(0)
    Dinov2Model(Dinov2Config(**SMALL, image_size=28, patch_size=14)).save_pretrained(folder / "dino")
    CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(
        folder / "dino"
    )
    VideoMAEModel(VideoMAEConfig(**SMALL, image_size=32, patch_size=16, num_frames=4)).save_pretrained(folder / "mae")
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    VideoMAEImageProcessor(**size).save_pretrained(folder / "mae")
    return EvaluationModels(
        {
            "picture_features": PictureFeatures(str(folder / "dino")),
            "video_features": VideoFeatures(str(folder / "mae")),
        },
        {"sound_features": "no model is chosen"},
    )


def test_features_of_frames_and_clips(extractors):
    features = extract_features(_video(0), None, extractors)
    assert {role: array.shape for role, array in features.items()} == {
        "picture_features": (8, 16),
        "video_features": (1, 16),
    }
    assert extract_features(_video(0, frames=2), None, extractors)["video_features"].shape == (1, 16)


def test_distances_of_sets(extractors):
    real = [extract_features(_video(seed), None, extractors) for seed in range(3)]
    other = [extract_features(_video(seed + 10), None, extractors) for seed in range(3)]
    same = {summary.metric: summary for summary in summarize_sets(real, real, extractors, seed=0)}
    different = {summary.metric: summary for summary in summarize_sets(other, real, extractors, seed=0)}
    assert same["fvd"].value == pytest.approx(0, abs=1e-4)
    assert different["fvd"].value > same["fvd"].value
    assert (different["fid"].num_clips, different["fad"].value) == (3, None)
    assert different["fad"].reason == "sound_features: no model is chosen"
    alone = {summary.metric: summary for summary in summarize_sets(real[:1], [], extractors, seed=0)}
    assert "needs 2 samples" in alone["fvd"].reason


def test_frames_are_spread_evenly():
    video = VideoFrames(torch.arange(10, dtype=torch.uint8)[:, None, None, None].repeat(1, 2, 2, 3), 25.0)
    assert spread_frames(video, 5)[:, 0, 0, 0].tolist() == [1, 3, 5, 7, 9]
    assert len(spread_frames(video, 20)) == 20


def test_dnsmos_prefers_speech_to_noise(shared):
    from iap_pipelines.evaluation.backends.speech_quality import Dnsmos
    from iap_pipelines.media import read_audio

    model = Dnsmos()
    speech = model.rate(read_audio(shared / "media/voice/tts_af_heart_1.flac"))
    noise = model.rate(_audio(0, 4))
    assert 1 <= noise < 2 < speech <= 5
