"""Settings are strict, the packaged file holds the defaults, and the command says in a line what is wrong."""

import pytest
import yaml

from iap_pipelines.cli import main
from iap_pipelines.curation.config import CurationConfig, write_packaged_yaml
from iap_pipelines.curation.gates import Thresholds


def test_the_packaged_file_is_the_default_in_full(tmp_path):
    path = write_packaged_yaml(tmp_path / "mine.yaml")
    assert CurationConfig.from_yaml(path).model_dump() == CurationConfig().model_dump()
    written, known = yaml.safe_load(path.read_text()), CurationConfig().model_dump(mode="json")
    known["stages"]["write"].pop("folder")
    for section, settings in known.items():
        assert set(written[section]) == set(settings), section
    for stage, settings in known["stages"].items():
        assert set(written["stages"][stage]) == set(settings), stage


def test_the_packaged_file_explains_every_setting(tmp_path):
    lines = write_packaged_yaml(tmp_path / "mine.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        name, colon, value = line.strip().partition(":")
        if colon and value and not line.strip().startswith("#") and name != "probe":
            assert lines[number - 1].strip().startswith("#"), f"{name} is not explained"


def test_a_file_is_not_overwritten(tmp_path):
    (tmp_path / "mine.yaml").write_text("gates: {}")
    with pytest.raises(FileExistsError):
        write_packaged_yaml(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"gate": {}}, "`gate`"),
        ({"gates": {"min_lumen": 3}}, "`gates.min_lumen`"),
        ({"gates": {"min_luma": "bright"}}, "`gates.min_luma`"),
        ({"stages": {"shots": {"treshold": 3}}}, "`stages.shots.treshold`"),
        ({"stages": {"faces": {"detector": "retina"}}}, "`stages.faces.detector"),
        ({"stages": {"match": {"thresholds": {"margin": 1}}}}, "margin"),
        ({"stages": {"write": {"short_side": -1}}}, "`stages.write.short_side`"),
    ],
)
def test_what_is_unknown_or_wrong_is_named(values, problem):
    with pytest.raises(ValueError, match="The configuration is wrong") as error:
        CurationConfig.from_dict(values)
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_models_are_chosen_by_name_hub_id_or_mapping():
    config = CurationConfig.from_dict(
        {
            "stages": {
                "faces": {"detector": {"type": "scrfd", "path": "det_10g.onnx"}},
                "transcribe": {"transcriber": "openai/whisper-large-v3-turbo"},
                "describe": {"captioner": {"type": "server", "url": "http://localhost:8000/v1", "model": "m"}},
            }
        }
    )
    assert config.stages.faces.detector.type == "scrfd"
    assert config.stages.transcribe.transcriber.model == "openai/whisper-large-v3-turbo"
    assert config.stages.describe.captioner.url == "http://localhost:8000/v1"


def test_settings_survive_the_way_to_a_worker():
    config = CurationConfig.from_dict({"gates": {"min_luma": None}, "stages": {"faces": {"num_embeddings": 2}}})
    again = CurationConfig.model_validate_json(config.model_dump_json())
    assert again.model_dump() == config.model_dump()
    assert again.gates == Thresholds(min_luma=None)


def test_the_command_writes_the_settings(tmp_path, capsys):
    assert main(["curate", "--init-config", str(tmp_path / "mine.yaml")]) == 0
    assert "mine.yaml" in capsys.readouterr().out
    assert (tmp_path / "mine.yaml").is_file()
    assert main(["curate", "--init-config", str(tmp_path / "mine.yaml")]) == 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "`input` and `output`"),
        (["nowhere", "out"], "`input` must be a folder"),
        (["in", "out"], "holds no videos"),
        (["in", "out", "--workers", "0"], "`workers`"),
        (["in", "out", "--config", "missing.yaml"], "missing.yaml"),
        (["in", "out", "--config", "wrong.yaml"], "`gates.a`"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path, monkeypatch, capsys, arguments, problem):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "wrong.yaml").write_text("gates: {a: 1}")
    assert main(["curate", *arguments]) == 2
    message = capsys.readouterr().err
    assert problem in message
    assert message.count("\n") == 1
