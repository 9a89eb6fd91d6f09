"""Every `evaluate.Metric` is loaded by its path and gives what its function gives."""

import numpy as np
import pytest
import torch

from iap_pipelines.evaluation import functional
from iap_pipelines.evaluation.backends import speech_quality
from iap_pipelines.evaluation.backends.speech_quality import Dnsmos
from iap_pipelines.media import read_audio


FRAMES = [[[1.0, 0.0], [0.6, 0.8]], [[0.0, 1.0], [np.nan, np.nan]]]
REFERENCES = [[[1.0, 0.0]], [[0.0, 2.0]]]
CURVE, LAGS = [0.0, 0.2, 0.9, 0.1, 0.2], [-80.0, -40.0, 0.0, 40.0, 80.0]
LIPS, SOUND = np.eye(8)[:6].tolist(), np.eye(8)[1:7].tolist()
SYNCNET = functional.syncnet_scores(np.array(LIPS), np.array(SOUND))

CASES = {
    "face_similarity": ({"predictions": FRAMES, "references": REFERENCES}, [0.8, 1.0], 0.9),
    "face_share": ({"predictions": FRAMES, "references": REFERENCES}, [1.0, 0.5], 0.75),
    "lip_sync_confidence": ({"predictions": [CURVE], "references": [LAGS]}, [0.7], 0.7),
    "voice_similarity": ({"predictions": [[1.0, 1.0]], "references": [[[1.0, 0.0]]]}, [2**-0.5], 2**-0.5),
    "copy_paste": ({"predictions": FRAMES[:1], "given": [[1.0, 0.0]], "others": [[[0.6, 0.8]]]}, [0.2], 0.2),
    "identity_drift": ({"predictions": FRAMES, "references": REFERENCES, "times": [[0, 0.5]] * 2}, [0.8, None], 0.8),
    "lip_sync": ({"predictions": [CURVE, CURVE[::-1]], "references": [LAGS, LAGS]}, [0, 0], 0),
    "lse_c": ({"predictions": [LIPS], "references": [SOUND]}, [SYNCNET.lse_c], SYNCNET.lse_c),
    "lse_d": ({"predictions": [LIPS], "references": [SOUND]}, [SYNCNET.lse_d], SYNCNET.lse_d),
    "word_error_rate": ({"predictions": ["red", "a b c"], "references": ["blue", "a b d"]}, [1, 1 / 3], 0.5),
    "speaker_word_error_rate": ({"predictions": [["b", "a"]], "references": [["a", "b"]]}, [0], 0),
    "binding": ({"faces": [[0, 1, -1], [0]], "voices": [[0, 0, 1], [0]], "speech": [[1, 1, 0], [1]]}, [0.5, 1], 2 / 3),
    "prompt_adherence": ({"predictions": FRAMES[:1], "references": [[1.0, 0.0]]}, [0.8], 0.8),
}


@pytest.fixture(scope="module")
def load():
    import evaluate

    from iap_pipelines.evaluation.metric_module import metric_path

    return lambda name: evaluate.load(metric_path(name))


@pytest.mark.parametrize("name", CASES)
def test_per_clip_metrics(load, name):
    inputs, per_clip, mean = CASES[name]
    result = load(name).compute(**inputs)
    assert result[f"{name}_per_clip"] == [value if value is None else pytest.approx(value) for value in per_clip]
    assert result[name] == pytest.approx(mean)
    has_interval = len({value for value in per_clip if value is not None}) > 1
    assert (result[f"{name}_low"] is not None) == has_interval


def test_frechet_distance(load):
    features = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    result = load("frechet_distance").compute(predictions=features + 2, references=features)
    assert result["frechet_distance"] == pytest.approx(12, rel=1e-4)
    assert result["frechet_distance_low"] < 12 < result["frechet_distance_high"]


def test_speech_quality_falls_with_noise(load, repository):
    """And equals what the suite measures."""
    audio = read_audio(repository / "src/iap_pipelines/assets/subjects/ada.flac").to_mono().resample(16_000)
    noise = 0.1 * torch.randn(audio.samples.shape, generator=torch.Generator().manual_seed(0))
    sounds = [audio.samples[0], (audio.samples + noise)[0].clamp(-1, 1)]
    result = load("speech_quality").compute(predictions=[sound.numpy() for sound in sounds])
    clean, noisy = result["speech_quality_per_clip"]
    assert 1 <= noisy < clean <= 5
    assert clean == pytest.approx(Dnsmos().rate(audio), abs=1e-6)


def test_speech_quality_without_its_package_has_no_value(monkeypatch, load, caplog):
    def missing(*names):
        raise ImportError("install speechmos")

    monkeypatch.setattr(speech_quality, "package_file", missing)
    assert load("speech_quality").compute(predictions=[[0.0] * 160])["speech_quality"] is None
    assert "install speechmos" in caplog.text


def test_batches_are_one_set(load):
    inputs, _, mean = CASES["word_error_rate"]
    metric = load("word_error_rate")
    for heard, said in zip(inputs["predictions"], inputs["references"], strict=True):
        metric.add(predictions=heard, references=said)
    assert metric.compute()["word_error_rate"] == pytest.approx(mean)


def test_every_module_is_tested(repository):
    folder = repository / "src/iap_pipelines/evaluation/modules"
    assert {path.name for path in folder.iterdir() if path.name != "__pycache__"} == {
        *CASES,
        "frechet_distance",
        "speech_quality",
    }


def test_an_unknown_metric_is_named():
    from iap_pipelines.evaluation.metric_module import metric_path

    with pytest.raises(ValueError, match="binding.*'blinding'"):
        metric_path("blinding")
