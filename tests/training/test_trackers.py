"""What trackers show is what the log says."""

import json
from pathlib import Path

import pytest

from iap_pipelines.training.config import TrainingConfig
from iap_pipelines.training.trainer import Trainer


def train(values, tracker):
    values["run"] = values["run"] | {"trackers": [tracker]}
    Trainer(TrainingConfig.model_validate(values)).run()
    log = Path(values["output"]) / "metrics.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_tensorboard_shows_metrics_settings_and_validation_pictures(exporting):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    lines = train(exporting, "tensorboard")
    events = EventAccumulator(str(Path(exporting["output"]) / "logs" / "iap"))
    events.Reload()
    for name in ("video_loss", "audio_loss", "grad_norm", "learning_rate"):
        shown = [(event.step, event.value) for event in events.Scalars(name)]
        assert shown == [(line["step"], pytest.approx(line[name], rel=1e-6)) for line in lines]
    [picture] = events.Images("validation/clips")
    assert picture.step == 2 and picture.width > 0


def test_trackio_works_without_a_network(config_values, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    config_values["optimization"] = config_values["optimization"] | {"steps": 2}
    train(config_values, "trackio")
    assert list((tmp_path / "trackio").rglob("*.db"))
