"""The export: plain `load_dataset` reads it, nothing of ours is needed, nothing is lost."""

import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
import yaml
from datasets import load_dataset

from iap_pipelines.data.dataset_card import DatasetDescription, write_card
from iap_pipelines.data.features import CONFIGS, describe_columns, identity_features
from iap_pipelines.data.parquet_export import export_dataset


DESCRIPTION = DatasetDescription(name="Tiny", origin="Invented for a test.", license="apache-2.0")

PLAIN = """
import json, sys
sys.modules["iap_pipelines"] = None  # importing it fails from here on
from datasets import get_dataset_config_names, load_dataset

folder, cache = sys.argv[1:]
found = {}
for config in get_dataset_config_names(folder):
    mapped = load_dataset(folder, config, cache_dir=cache)
    streamed = load_dataset(folder, config, streaming=True)
    found[config] = {split: len(rows) for split, rows in mapped.items()}
    assert found[config] == {split: len(list(rows.decode(False))) for split, rows in streamed.items()}
# To the end: pyarrow may abort at exit where a stream was left in the middle (apache/arrow#45214).
clip, *_ = load_dataset(folder, "multi_subject", split="train", streaming=True).decode(False)
found["video"] = clip["video"]["bytes"].hex()
found["face"] = clip["subjects"][1]["cross_faces"] or clip["subjects"][1]["in_pair_faces"]
found["face"] = found["face"][0]["image"]["bytes"].hex()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def exported(curated, tmp_path_factory):
    return export_dataset(
        curated, tmp_path_factory.mktemp("export") / "clips", DESCRIPTION, rows_per_group=2, max_shard_bytes=1
    )


def test_plain_datasets_reads_it_without_our_code(exported, curated, tmp_path):
    command = [sys.executable, "-I", "-c", PLAIN, str(exported), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert set(found) == {*CONFIGS, "video", "face"}
    assert sum(found["single_subject"].values()) == 6
    assert bytes.fromhex(found["video"]) == (curated / "media/clips/clip-2.mp4").read_bytes()
    assert bytes.fromhex(found["face"]) == (curated / "media/views/clip-2-view-ben.png").read_bytes()


def test_row_groups_and_shards_have_the_asked_size(exported):
    shards = sorted((exported / "single_subject").glob("train-*"))
    assert [shard.name for shard in shards] == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    metadata = pq.read_metadata(shards[0])
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [2]


def test_equal_input_gives_equal_bytes(exported, curated, tmp_path):
    again = export_dataset(curated, tmp_path / "again", DESCRIPTION, rows_per_group=2, max_shard_bytes=1)
    files = sorted(path.relative_to(exported) for path in exported.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    for name in files:
        assert (again / name).read_bytes() == (exported / name).read_bytes(), name


def test_a_lost_file_is_noticed(curated, tmp_path):
    folder = export_dataset(curated, tmp_path / "clips", DESCRIPTION, rows_per_group=1, max_shard_bytes=1)
    next((folder / "single_subject").glob("train-00001-*")).unlink()
    with pytest.raises(Exception, match="num_examples"):
        load_dataset(str(folder), "single_subject", cache_dir=str(tmp_path / "cache"))


def test_media_come_undecoded_with_our_features(exported, tmp_path):
    rows = load_dataset(
        str(exported),
        "multi_subject",
        split="train",
        features=identity_features(decode=False),
        cache_dir=str(tmp_path),
    )
    assert rows[0]["video"]["bytes"][4:8] == b"ftyp"
    assert rows[0]["subjects"][0]["in_pair_voices"][0]["audio"]["bytes"][:4] == b"fLaC"


def test_the_card_says_what_is_there(exported):
    text = (exported / "README.md").read_text()
    metadata = yaml.safe_load(text.split("---\n")[1])
    assert {config["config_name"] for config in metadata["configs"]} == set(CONFIGS)
    for config in metadata["configs"]:
        for files in config["data_files"]:
            assert list(exported.glob(files["path"])), files
    assert "| `multi_subject` | train | 2 |" in text
    assert "| `not_recorded` | 6 |" in text
    assert "| source | rejected | `no_audio` | 1 |" in text
    assert "Invented for a test." in text
    for config in CONFIGS:
        assert describe_columns(config) in text, "every column with its unit"


def test_the_card_can_be_published(exported):
    from iap_pipelines.hub.card_check import check_card

    assert check_card(exported / "README.md", "dataset") == []


def test_the_card_can_be_written_again(curated, tmp_path):
    folder = export_dataset(curated, tmp_path / "clips", DESCRIPTION)
    before = (folder / "README.md").read_bytes()
    (folder / "README.md").unlink()
    assert write_card(folder, DESCRIPTION).read_bytes() == before


def test_another_licence_needs_a_name_and_a_link():
    with pytest.raises(ValueError, match="license_link"):
        DatasetDescription(name="a", origin="b", license="other")


def test_nothing_is_overwritten_and_nothing_half_done_is_left(curated, tmp_path):
    (tmp_path / "clips").mkdir()
    with pytest.raises(FileExistsError):
        export_dataset(curated, tmp_path / "clips", DESCRIPTION)
    with pytest.raises(FileNotFoundError):
        export_dataset(tmp_path / "nowhere", tmp_path / "new", DESCRIPTION)
    assert [path.name for path in tmp_path.iterdir()] == ["clips"]
