"""The builder: what rows say, that they follow the folder, and that reading in parallel changes nothing."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from iap_pipelines.curation.results import table_schema
from iap_pipelines.data import IdentityClips
from iap_pipelines.data.corpus import CONSENT_FILE, SplitSettings, open_corpus
from iap_pipelines.data.features import CLIP_CONFIGS, CONFIGS, SPLITS
from iap_pipelines.data.identity_clips import keys_by_split
from tests.data.curated_folder import CLIPS, NUM_FRAMES, write_curated_folder


def build(folder, config, cache, num_proc=None, **settings):
    builder = IdentityClips(config_name=config, data_dir=folder, cache_dir=str(cache), decode=False, **settings)
    builder.download_and_prepare(num_proc=num_proc)
    return builder.as_dataset()


def all_rows(dataset):
    return {row["clip_id"]: row for split in dataset.values() for row in split}


@pytest.fixture(scope="module")
def clips(curated, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return all_rows(build(curated, "single_subject", cache)) | all_rows(build(curated, "multi_subject", cache))


def test_every_clip_is_there_once(clips):
    assert {name: [subject["identity_id"] for subject in row["subjects"]] for name, row in clips.items()} == {
        f"clip-{index}": list(people) for index, people in enumerate(CLIPS)
    }


def test_times_are_on_the_clock_of_the_clip(clips):
    row = clips["clip-2"]
    (line,) = row["lines"]
    assert (line["subject"], line["text"]) == (1, "red apple")
    assert line["start_seconds"] == pytest.approx(0.2)
    assert [word["start_seconds"] for word in line["words"]] == pytest.approx([0.2, 0.9])
    assert row["subjects"][1]["track"]["times"] == pytest.approx([f / 10 for f in range(NUM_FRAMES)])
    assert row["provenance"]["start_seconds"] == 3.0


def test_boxes_are_shares_of_the_picture(clips):
    left, right = (subject["track"]["boxes"][0] for subject in clips["clip-2"]["subjects"])
    assert left == pytest.approx([8 / 64, 8 / 48, 24 / 64, 24 / 48])
    assert right[0] == pytest.approx(40 / 64)


def test_references_come_from_where_they_say(clips):
    for name, row in clips.items():
        for subject in row["subjects"]:
            assert {face["clip_id"] for face in subject["in_pair_faces"]} == {name}
            assert {voice["clip_id"] for voice in subject["in_pair_voices"]} <= {name}
            cross = {reference["clip_id"] for reference in subject["cross_faces"] + subject["cross_voices"]}
            assert name not in cross
            others = {f"clip-{i}" for i, people in enumerate(CLIPS) if subject["identity_id"] in people} - {name}
            assert {face["clip_id"] for face in subject["cross_faces"]} == others


def test_captions_are_taken_apart(clips):
    row = clips["clip-2"]
    assert (row["scene"], row["sounds"]) == ("green room", "quiet")
    assert [(s["anchor"], s["appearance"], s["position"]) for s in row["subjects"]] == [
        ("<S1>", "person called ada", "left"),
        ("<S2>", "person called ben", "right"),
    ]


def test_media_can_be_read(clips):
    from iap_pipelines.media import read_image, read_video

    row = clips["clip-0"]
    video, audio = read_video(row["video"]["path"])
    assert video.num_frames == row["num_frames"]
    assert audio is not None
    assert read_image(row["subjects"][0]["in_pair_faces"][0]["image"]["path"]).size == (24, 24)


def test_scores_are_those_of_the_tables(clips):
    assert clips["clip-3"]["scores"]["luma"] == 103
    assert clips["clip-3"]["subjects"][0]["sync_offset_seconds"] == pytest.approx(0.04)
    assert clips["clip-2"]["subjects"][1]["sync_offset_seconds"] is None  # says nothing


@pytest.fixture(scope="module")
def shared_recordings(tmp_path_factory):
    sources = ["s0", "s1", "s2", "s3", "s3", "s4", "s5", "s4"]
    return write_curated_folder(tmp_path_factory.mktemp("shared") / "out", sources=sources)


@pytest.mark.parametrize("seed", range(5))
def test_splits_share_neither_people_nor_recordings(shared_recordings, seed):
    corpus = open_corpus(shared_recordings, SplitSettings(0.3, 0.3, seed))
    seen = {}
    for config in CLIP_CONFIGS:
        for split, keys in keys_by_split(corpus, config).items():
            for row in (corpus.row(config, key) for key in keys):
                for item in [row["source_id"], *(subject["identity_id"] for subject in row["subjects"])]:
                    assert seen.setdefault(item, split) == split
    for split in SPLITS:
        assert all(seen[key] == split for key in corpus.keys("identities", split))
        assert all(seen[key] == split for key in corpus.keys("multi_view", split))


def test_streaming_and_two_processes_give_the_same_rows(curated, tmp_path):
    one = build(curated, "single_subject", tmp_path / "one")
    two = build(curated, "single_subject", tmp_path / "two", num_proc=2)
    streamed = IdentityClips(config_name="single_subject", data_dir=curated, cache_dir=str(tmp_path), decode=False)
    for split, rows in one.items():
        assert list(rows) == list(two[split]) == list(streamed.as_streaming_dataset(split))


def test_a_changed_folder_gives_other_rows(curated, tmp_path):
    folder = shutil.copytree(curated, tmp_path / "copy")
    before = build(folder, "multi_subject", tmp_path / "cache")
    path = folder / "tables/clips.parquet"
    rows = pq.read_table(path).to_pylist()
    changed = [row | {"luma": 1.0} for row in rows]
    pq.write_table(pq.read_table(path).from_pylist(changed, schema=table_schema("clips")), path)
    after = build(folder, "multi_subject", tmp_path / "cache")
    assert [row["scores"]["luma"] for row in before["train"]] != [1.0, 1.0]
    assert [row["scores"]["luma"] for row in after["train"]] == [1.0, 1.0]


def test_other_splits_are_built_anew(curated, tmp_path):
    everything = build(curated, "single_subject", tmp_path, splits=SplitSettings(0, 0))
    assert {split: len(rows) for split, rows in everything.items()} == {"train": 6}
    assert len(build(curated, "single_subject", tmp_path)["train"]) < 6


def test_people_and_rejects(curated, tmp_path):
    people = {row["identity_id"]: row for split in build(curated, "identities", tmp_path).values() for row in split}
    assert people["ada"]["clip_ids"] == ["clip-0", "clip-1", "clip-2"]
    assert people["ada"]["source_ids"] == ["source-0", "source-1", "source-2"]
    assert people["ada"]["consent"]["status"] == "not_recorded"
    (reject,) = build(curated, "rejects", tmp_path)["rejects"]
    assert (reject["record_id"], reject["reason"]) == ("source-bad", "no_audio")
    views = {row["identity_id"]: row for split in build(curated, "multi_view", tmp_path).values() for row in split}
    assert [face["clip_id"] for face in views["ada"]["faces"]] == ["clip-0", "clip-1", "clip-2"]
    assert views["ada"]["voices"][0]["text"] == "red apple"


def test_consent_is_read_from_its_file(curated, tmp_path):
    folder = shutil.copytree(curated, tmp_path / "copy")
    entry = {"identity_id": "ada", "status": "given", "statement": "I agree.", "given_on": "2026-11-01"}
    (folder / CONSENT_FILE).write_text(json.dumps(entry) + "\n")
    consent = open_corpus(folder).row("identities", "ada")["consent"]
    assert (consent["status"], consent["statement"], consent["allowed_uses"]) == ("given", "I agree.", [])
    (folder / CONSENT_FILE).write_text(json.dumps({"identity_id": "ada", "status": "yes"}) + "\n")
    with pytest.raises(ValueError, match="line 1"):
        open_corpus(folder)


def test_consent_of_somebody_who_is_not_there_is_refused(curated, tmp_path):
    folder = shutil.copytree(curated, tmp_path / "copy")
    entries = [{"identity_id": name, "status": "not_needed"} for name in ("ada", "person-of-old", "ann")]
    (folder / CONSENT_FILE).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    with pytest.raises(ValueError, match=r"consent.jsonl says what ann, person-of-old agreed to, but .* has nobody"):
        open_corpus(folder)


def test_a_world_has_the_same_columns_and_its_own_splits(tiny_world, tmp_path):
    described = {clip["clip_id"]: clip for clip in map(json.loads, open(tiny_world / "clips.jsonl"))}
    for config in CLIP_CONFIGS:
        dataset = build(tiny_world, config, tmp_path)
        for split, rows in dataset.items():
            for row in rows:
                clip = described[row["clip_id"]]
                assert (row["caption"], split) == (clip["caption"], clip["split"])
                assert [s["identity_id"] for s in row["subjects"]] == [s["identity"] for s in clip["subjects"]]
                assert all(len(subject["cross_faces"]) == 5 for subject in row["subjects"])
                assert all(0 <= value <= 1 for s in row["subjects"] for box in s["track"]["boxes"] for value in box)
    people = [row for rows in build(tiny_world, "identities", tmp_path).values() for row in rows]
    assert {row["consent"]["status"] for row in people} == {"not_needed"}
    with pytest.raises(ValueError, match="`splits`"):
        open_corpus(tiny_world, SplitSettings())


def test_what_is_no_corpus_is_refused(curated, tmp_path):
    with pytest.raises(FileNotFoundError, match="neither"):
        open_corpus(tmp_path)
    with pytest.raises(ValueError, match="data_dir"):
        IdentityClips(config_name="multi_subject")
    folder = shutil.copytree(curated, tmp_path / "copy")
    (folder / "tables/views.parquet").unlink()
    with pytest.raises(FileNotFoundError, match="views"):
        open_corpus(folder)


def test_every_config_is_known():
    assert list(IdentityClips.builder_configs) == list(CONFIGS)
