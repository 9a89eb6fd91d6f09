"""A published dataset is read by its name, by plain `datasets`, where nothing of ours is installed."""

import json
import os
import subprocess

import pytest

from iap_pipelines.cli import main
from iap_pipelines.data.dataset_card import DatasetDescription
from iap_pipelines.data.features import CONFIGS
from iap_pipelines.data.parquet_export import export_dataset
from tests.data.curated_folder import write_curated_folder
from tests.hub.clean_python import python_without_us


READ_BY_NAME = """
import importlib.util, json, sys

assert importlib.util.find_spec("iap_pipelines") is None
from datasets import get_dataset_config_names, load_dataset

name = sys.argv[1]
rows, found = {}, {}
for config in get_dataset_config_names(name):
    mapped, streamed = load_dataset(name, config), load_dataset(name, config, streaming=True)
    rows[config] = {split: len(part) for split, part in mapped.items()}
    assert rows[config] == {split: sum(1 for _ in part.decode(False)) for split, part in streamed.items()}
mapped = load_dataset(name, "multi_subject", split="train").with_format("arrow")[0].to_pylist()[0]
streamed = next(iter(load_dataset(name, "multi_subject", split="train", streaming=True).decode(False)))
assert mapped == streamed
voice = mapped["subjects"][0]["in_pair_voices"][0]["audio"]
found = {"video": mapped["video"]["bytes"].hex(), "voice": voice["bytes"].hex()}
print(json.dumps({"rows": rows, "clip": mapped["clip_id"]} | found))
"""


@pytest.fixture(scope="module")
def plain_python(tmp_path_factory):
    return python_without_us(tmp_path_factory.mktemp("venv") / "venv")


@pytest.fixture(scope="module")
def curated(tmp_path_factory):
    return write_curated_folder(tmp_path_factory.mktemp("curated"))


@pytest.fixture(scope="module")
def exported(curated, tmp_path_factory):
    description = DatasetDescription(name="Tiny", origin="Invented for a test.", license="apache-2.0")
    folder = tmp_path_factory.mktemp("export") / "clips"
    return export_dataset(curated, folder, description, rows_per_group=2, max_shard_bytes=1)


def read_by_name(python, hub, folder, name, *, token=None):
    """What a program of somebody else finds, who has `datasets` and this Hub."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    environment |= {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        **({"HF_TOKEN": token} if token else {}),
    }
    command = [python, "-I", "-c", READ_BY_NAME, name]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("is_private", [False, True])
def test_plain_datasets_reads_it_by_name(hub, plain_python, exported, curated, tmp_path, is_private):
    assert main(["publish", str(exported), "org/clips", "--private" if is_private else "--no-private"]) == 0
    assert hub.dataset("org/clips").is_private == is_private
    hub.forget()
    # A connection that drops in the middle of a file is picked up again.
    dropped = hub.fail("GET", r"resolve/.*/single_subject/.*\.parquet", drop_after_bytes=2000)
    result = read_by_name(plain_python, hub, tmp_path, "org/clips", token=hub.token if is_private else None)
    assert result.returncode == 0, result.stderr
    assert dropped.times == 0
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["rows"].keys() == set(CONFIGS)
    assert sum(found["rows"]["single_subject"].values()) == 6 and sum(found["rows"]["rejects"].values()) == 1
    assert bytes.fromhex(found["video"]) == (curated / f"media/clips/{found['clip']}.mp4").read_bytes()
    voice = next((curated / "media/voices").glob(f"{found['clip']}-*"))
    assert bytes.fromhex(found["voice"]) == voice.read_bytes()


def test_a_private_one_stays_closed_without_a_token(hub, plain_python, exported, tmp_path):
    assert main(["publish", str(exported), "org/clips", "--private"]) == 0
    result = read_by_name(plain_python, hub, tmp_path, "org/clips")
    assert result.returncode != 0 and "org/clips" in result.stderr and "DatasetNotFoundError" in result.stderr
