from pathlib import Path

import pytest

from iap_pipelines.data.clip_folder import read_clips
from iap_pipelines.training.config import TrainingConfig
from iap_pipelines.training.model_card import RunFacts, write_model_card


@pytest.fixture
def write_card(config_values, tmp_path):
    def write(metrics=(), **data):
        values = config_values | {"export": {"codecs": "codecs"}, "data": config_values["data"] | data}
        clips = read_clips(Path(values["data"]["folder"]))
        facts = RunFacts(clips=clips, num_parameters=2, num_learning=1, metrics=metrics)
        write_model_card(tmp_path, TrainingConfig.model_validate(values), facts)
        return (tmp_path / "README.md").read_text()

    return write


def test_the_card_says_where_references_come_from(write_card):
    assert "but for people who have none from elsewhere" in write_card()
    assert "References were cut from the clip that was learned." in write_card(references="target")


def test_a_loss_that_was_switched_on_later_has_empty_cells(write_card):
    card = write_card([{"step": 0, "video_loss": 1.0}, {"step": 9, "video_loss": 0.5, "motion_loss": 0.25}])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in card.splitlines() if line.startswith("|")]
    assert [row for row in rows if row[0] in ("1", "10")] == [["1", "", "1.0000"], ["10", "0.2500", "0.5000"]]
