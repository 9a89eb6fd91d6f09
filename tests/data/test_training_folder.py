"""From a dataset to pieces that the trainer reads: who, which words, references from elsewhere, and a first step."""

import json

import numpy as np
import pytest
import torch

from iap_pipelines.data.clip_folder import read_clips, read_identities
from iap_pipelines.data.conditions import ConditionDropout
from iap_pipelines.data.dataset_card import DatasetDescription
from iap_pipelines.data.framing import choose_size, frame_people
from iap_pipelines.data.latent_store import LatentShardWriter, LatentStore
from iap_pipelines.data.parquet_export import export_dataset
from iap_pipelines.data.training_dataset import IdentityClipDataset, SampleSettings
from iap_pipelines.data.training_folder import TrainingFolderSettings, open_clips, write_training_folder
from iap_pipelines.media import read_video
from iap_pipelines.types import StructuredCaption
from tests.data.curated_folder import CLIPS
from tests.data.tiny_training import train_on


SETTINGS = TrainingFolderSettings(sizes=((32, 32), (32, 64)), num_frames=9, frame_rate=10.0, face_size=32)


@pytest.fixture(scope="module")
def folder(curated, tmp_path_factory):
    output = tmp_path_factory.mktemp("training") / "clips"
    report = write_training_folder(open_clips(str(curated)), output, SETTINGS)
    assert (report.num_clips, report.num_pieces, report.left_out) == (len(CLIPS), 2 * len(CLIPS), {})
    return output


def test_pieces_are_as_the_list_says(folder):
    for clip in read_clips(folder):
        video, audio = read_video(clip.path)
        assert (video.num_frames, video.height, video.width) == (clip.num_frames, clip.height, clip.width)
        assert video.frame_rate == clip.frame_rate
        assert audio.duration_seconds == pytest.approx(0.9, abs=0.1)
        assert list(clip.identities) == list(CLIPS[int(clip.cut_from.removeprefix("clip-"))])


def test_a_word_is_in_the_piece_that_holds_its_middle(folder):
    clips = {clip.clip_id: clip for clip in read_clips(folder)}
    assert '<S1> says: "red".' in clips["clip-0-0"].caption  # 0.2 to 0.7 s
    assert '<S1> says: "apple".' in clips["clip-0-1"].caption  # 0.9 to 1.4 s
    assert clips["clip-0-0"].speech == (pytest.approx((0.2, 0.7)),)
    assert clips["clip-0-1"].speech == (pytest.approx((0.0, 0.5), abs=1e-6),)
    assert clips["clip-2-0"].speech[1] is None


def test_people_keep_their_split_and_their_references(folder):
    people = read_identities(folder)
    for clip in read_clips(folder):
        assert {people[name].split for name in clip.identities} == {clip.split}
    ada, ben = people["ada"], people["ben"]
    assert sorted(zip(ada.face_clips, (face.name for face in ada.faces), strict=True)) == [
        (f"clip-{index}", f"clip-{index}-view-ada.png") for index in range(3)
    ]
    assert (len(ada.voices), ben.voices) == (3, ())
    assert all(path.is_file() for person in people.values() for path in (*person.faces, *person.voices))


def test_an_exported_dataset_gives_the_same_pieces(folder, curated, tmp_path):
    description = DatasetDescription(name="Tiny", origin="Invented.", license="apache-2.0")
    exported = export_dataset(curated, tmp_path / "dataset", description)
    write_training_folder(open_clips(str(exported)), tmp_path / "clips", SETTINGS)
    again = tmp_path / "clips"
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.*"))
    assert files == sorted(path.relative_to(again) for path in again.rglob("*.*"))
    for name in files:
        assert (folder / name).read_bytes() == (again / name).read_bytes(), name


def test_what_is_too_short_or_broken_is_left_out_with_its_reason(curated, tmp_path):
    clips = dict(zip(("a", "b", "c"), open_clips(str(curated)), strict=False))
    clips["b"][1]["video"] = {"bytes": b"no video", "path": "b.mp4"}
    report = write_training_folder(clips.values(), tmp_path, SETTINGS)
    broken = clips["b"][1]["clip_id"]
    assert set(report.left_out) == {broken}
    (line,) = map(json.loads, (tmp_path / "left_out.jsonl").read_text().splitlines())
    assert line == {"clip_id": broken, "reason": report.left_out[broken]}
    with pytest.raises(ValueError, match="shorter than 2.9 s"):
        settings = TrainingFolderSettings(sizes=((32, 32),), num_frames=29, frame_rate=10.0, face_size=32)
        write_training_folder(open_clips(str(curated)), tmp_path / "long", settings)


def test_references_come_from_other_clips_when_there_are_any(folder, tmp_path):
    clips, people = read_clips(folder), read_identities(folder)
    tensors = {}
    for clip in clips:
        tensors[f"{clip.clip_id}/video"] = torch.zeros(4, 3, 2, 2)
        tensors[f"{clip.clip_id}/audio"] = torch.zeros(9, 6)
    for name, person in people.items():  # a latent says which clip it comes from
        origins = [float(origin.removeprefix("clip-")) for origin in person.face_clips]
        tensors[f"{name}/faces"] = torch.tensor(origins)[:, None, None, None].expand(-1, 4, 2, 2)
        for index, origin in enumerate(person.voice_clips):
            tensors[f"{name}/voice_{index}"] = torch.full((6, 6), float(origin.removeprefix("clip-")))
    LatentShardWriter(tmp_path, {}).write("all", tensors)
    settings = SampleSettings("clips", 1, (1, 3), (2, 6), ConditionDropout())
    dataset = IdentityClipDataset(clips, people, LatentStore(tmp_path), settings)
    for index, clip in enumerate(clips):
        own = float(clip.cut_from.removeprefix("clip-"))
        for seed in range(4):
            sample = dataset.sample(index, np.random.default_rng(seed))
            described = StructuredCaption.parse(sample.caption).subjects
            for description, subject in zip(described, sample.subjects, strict=True):
                voice = [] if subject.voice is None else subject.voice[:, 0].tolist()
                found = {*subject.faces[:, 0, 0, 0].tolist(), *voice}
                is_seen_once = description.appearance.split()[-1] in ("ben", "dot", "fay")
                assert found == {own} if is_seen_once else own not in found


def test_build_precompute_train(folder, tmp_path):
    """The rest of the way. Some people are never heard."""
    losses = train_on(folder, tmp_path)
    assert len(losses) == 2
    assert all(np.isfinite(line["video_loss"]) and np.isfinite(line["audio_loss"]) for line in losses)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": ((33, 32),)}, "sizes"),
        ({"sizes": ()}, "sizes"),
        ({"num_frames": 8}, "num_frames"),
        ({"frame_rate": 0.0}, "frame_rate"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    values = {"sizes": ((32, 32),), "num_frames": 9, "frame_rate": 10.0, "face_size": 32}
    with pytest.raises(ValueError, match=message):
        TrainingFolderSettings(**values | change)


def test_faces_stay_in_the_picture():
    frames = torch.zeros(1, 100, 200, 3, dtype=torch.uint8)
    frames[:, 40:60, 10:30] = 255  # a face far to the left
    boxes = [[10 / 200, 40 / 100, 30 / 200, 60 / 100]]
    assert frame_people(frames, boxes, (50, 50)).float().mean() > 5
    assert frame_people(frames, [], (50, 50)).float().mean() == 0
    assert frame_people(frames, boxes, (50, 50)).shape == (1, 50, 50, 3)


def test_the_nearest_shape_is_taken():
    assert choose_size(1.0, ((96, 128), (96, 96))) == (96, 96)
    assert choose_size(0.6, ((96, 128), (96, 96))) == (96, 128)
