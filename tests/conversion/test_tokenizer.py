import json

import pytest
from transformers import AutoTokenizer

from iap_pipelines.conversion import ConversionError
from iap_pipelines.conversion.tokenizer import plan_tokenizer


def test_copy_is_the_same_tokenizer(official, tmp_path):
    folder = official.write_tokenizer(tmp_path / "tokenizer")
    (folder / "model.safetensors").write_bytes(b"weights that lie beside it")
    (folder / "config.json").write_text("{}")
    (tmp_path / "copy").mkdir()
    plan = plan_tokenizer(folder)
    plan.copy_to(tmp_path / "copy")
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {"tokenizer.json", "tokenizer_config.json"}
    text = "word1 word2 nothing"
    copy = AutoTokenizer.from_pretrained(tmp_path / "copy")
    assert copy(text).input_ids == AutoTokenizer.from_pretrained(folder)(text).input_ids
    assert len(copy) == plan.num_tokens == 20


def test_folder_without_a_tokenizer(tmp_path):
    with pytest.raises(ConversionError, match=f"`tokenizer` {tmp_path} is not a tokenizer"):
        plan_tokenizer(tmp_path)


def test_file_instead_of_a_folder(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConversionError, match="is not a folder"):
        plan_tokenizer(tmp_path / "tokenizer.json")


def test_damaged_tokenizer(official, tmp_path):
    folder = official.write_tokenizer(tmp_path / "tokenizer")
    (folder / "tokenizer.json").write_text('{"version": "1.0", "model": ')
    with pytest.raises(ConversionError, match="is not a tokenizer that transformers can read") as error:
        plan_tokenizer(folder)
    assert "\n" not in str(error.value)


def test_tokenizer_that_brings_code(official, tmp_path):
    folder = official.write_tokenizer(tmp_path / "tokenizer")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config |= {"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["mine.Mine", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w')")
    with pytest.raises(ConversionError):
        plan_tokenizer(folder)
    assert not (tmp_path / "was_run").exists()
