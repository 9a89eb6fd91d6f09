"""The models that score: faces and voices to unit vectors, sound to words."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForCTC

from iap_pipelines import (
    FaceIdentityConfig,
    FaceIdentityEncoder,
    LogMelFeatureExtractor,
    VoiceIdentityConfig,
    VoiceIdentityEncoder,
)
from iap_pipelines.models.configuration_word_ctc import WordCTCConfig
from iap_pipelines.models.modeling_word_ctc import WordForCTC, merge_frames


WORDS = {0: "", 1: "red", 2: "blue", 3: "apple"}


def _draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _make(cls, config, seed=0):
    """A model with random weights whose norms have seen something, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = cls(config)
        for _ in range(3):
            model(**_inputs(model, batch_size=4))
    return model.eval()


def _inputs(model, batch_size=2, seed=1):
    if isinstance(model, FaceIdentityEncoder):
        return {"pixel_values": _draw(batch_size, 3, 24, 20, seed=seed).clamp(-1, 1)}
    return {"input_features": _draw(batch_size, 40, 8, seed=seed)}


def _face():
    config = FaceIdentityConfig(image_size=(24, 20), stem_size=8, hidden_sizes=(8, 8), depths=(1, 1), embedding_size=8)
    return _make(FaceIdentityEncoder, config)


def _voice():
    return _make(VoiceIdentityEncoder, VoiceIdentityConfig(num_mel_bins=8, hidden_size=8, embedding_size=8))


def _words():
    return _make(WordForCTC, WordCTCConfig(num_mel_bins=8, hidden_size=8, num_layers=1, id2label=WORDS))


MODELS = pytest.mark.parametrize(
    ("make", "auto"),
    [(_face, AutoModel), (_voice, AutoModel), (_words, AutoModelForCTC)],
    ids=["face", "voice", "word"],
)


def _output(model, **inputs):
    with torch.no_grad():
        return model(**inputs, return_dict=False)[0]


@MODELS
def test_a_saved_model_loads_and_gives_equal_outputs(tmp_path, make, auto):
    model = make()
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file() and not list(tmp_path.glob("*.bin"))
    loaded = auto.from_pretrained(tmp_path)
    assert type(loaded) is type(model)
    inputs = _inputs(model)
    assert torch.equal(_output(loaded, **inputs), _output(model, **inputs))


@MODELS
def test_a_batch_of_two_equals_two_batches_of_one(make, auto):
    model = make()
    inputs = _inputs(model)
    singles = [_output(model, **{name: value[i : i + 1] for name, value in inputs.items()}) for i in range(2)]
    torch.testing.assert_close(_output(model, **inputs), torch.cat(singles), atol=1e-5, rtol=1e-5)


@MODELS
def test_bfloat16_stays_near_float32(make, auto):
    model = make()
    inputs = _inputs(model)
    full = _output(model, **inputs)
    half = _output(model.to(torch.bfloat16), **{name: value.to(torch.bfloat16) for name, value in inputs.items()})
    assert half.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(full.flatten(1), half.float().flatten(1)).min() > 0.99


@pytest.mark.parametrize("make", [_face, _voice])
def test_embeddings_have_length_one_and_follow_the_input(make):
    model = make()
    embeddings = _output(model, **_inputs(model))
    torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(2))
    assert not torch.allclose(embeddings[0], embeddings[1], atol=1e-3)


def test_a_picture_of_any_size_is_scaled():
    model = _face()
    picture = _draw(1, 3, 24, 20).clamp(-1, 1)
    large = torch.nn.functional.interpolate(picture, (48, 40), mode="nearest")
    similarity = (_output(model, pixel_values=picture) * _output(model, pixel_values=large)).sum()
    assert similarity > 0.98


def test_padding_does_not_change_a_voice():
    model = _voice()
    features = _draw(1, 30, 8)
    padded = torch.cat([features, torch.full((1, 12, 8), 5.0)], dim=1)
    mask = torch.arange(42)[None] < 30
    torch.testing.assert_close(
        _output(model, input_features=padded, attention_mask=mask), _output(model, input_features=features)
    )


def test_wrong_inputs_are_named():
    with pytest.raises(ValueError, match="`pixel_values`"):
        _face()(torch.zeros(3, 24, 20))
    with pytest.raises(ValueError, match="`input_features`"):
        _voice()(torch.zeros(1, 8, 40))


def test_words_are_merged_and_blanks_left_out():
    assert merge_frames(torch.tensor([0, 1, 1, 0, 1, 3, 3, 0, 2, 0])) == [1, 1, 3, 2]
    assert merge_frames(torch.tensor([0, 0, 0])) == []


def test_words_are_learned():
    """Two sounds, two words: a loss that falls, and the right transcript in the end."""
    torch.manual_seed(0)
    config = WordCTCConfig(num_mel_bins=8, hidden_size=16, num_layers=1, id2label=WORDS)
    model = WordForCTC(config).train()
    sounds = torch.zeros(2, 40, 8)
    sounds[0, 8:16, 2] = sounds[0, 24:32, 5] = sounds[1, 12:20, 5] = 3.0
    labels = torch.tensor([[1, 2], [2, -100]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = model(sounds, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert model(sounds, labels=labels).loss.isfinite()
    assert model.transcribe(sounds) == [["red", "blue"], ["blue"]]


def test_the_feature_extractor_saves_loads_and_masks(tmp_path):
    extractor = LogMelFeatureExtractor()
    waveforms = [0.1 * _draw(32_000), 0.1 * _draw(20_000, seed=2)]
    features = extractor(waveforms, sampling_rate=16_000)
    assert features.input_features.shape == (2, 125, 80)
    assert features.attention_mask.sum(dim=1).tolist() == [125, 78]
    alone = extractor(waveforms[1], sampling_rate=16_000)
    torch.testing.assert_close(alone.input_features[0], features.input_features[1, :78])
    extractor.save_pretrained(tmp_path)
    _voice().save_pretrained(tmp_path)
    loaded = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert type(loaded) is LogMelFeatureExtractor
    assert torch.equal(loaded(waveforms, sampling_rate=16_000).input_features, features.input_features)
    with pytest.raises(ValueError, match="`sampling_rate` must be 16000, got 8000"):
        extractor(waveforms, sampling_rate=8_000)
    with pytest.raises(ValueError, match="more than 512 are needed"):
        extractor(torch.zeros(300), sampling_rate=16_000)


def test_a_model_travels_with_its_code(tmp_path):
    """Relative imports of the configuration alone, so that the files work as remote code."""
    folder = Path(__file__).resolve().parents[2] / "src/iap_pipelines/models"
    model = _face()
    FaceIdentityConfig.register_for_auto_class()
    FaceIdentityEncoder.register_for_auto_class("AutoModel")
    try:
        model.save_pretrained(tmp_path)
    finally:
        FaceIdentityConfig._auto_class = FaceIdentityEncoder._auto_class = None
    for name in ("configuration_face_identity.py", "modeling_face_identity.py"):
        assert (tmp_path / name).read_text() == (folder / name).read_text()
    assert (
        "modeling_face_identity.FaceIdentityEncoder"
        in json.loads((tmp_path / "config.json").read_text())["auto_map"].values()
    )
