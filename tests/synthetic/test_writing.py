import json

import numpy as np
import pytest

from iap_pipelines.media import read_audio, read_video
from iap_pipelines.synthetic import WorldConfig, contact_sheet, synthesize


CONFIG = WorldConfig(
    num_identities=4,
    clips_per_identity=2,
    seed=3,
    two_person_share=0.5,
    held_out_share=0.25,
    height=48,
    voice_backend="formant",
)


@pytest.fixture(scope="module")
def written(tmp_path_factory, bank):
    out = tmp_path_factory.mktemp("world") / "out"
    synthesize(CONFIG, out, voice_bank=bank.folder)
    return out


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_everything_named_exists(written):
    clips, identities = lines(written / "clips.jsonl"), lines(written / "identities.jsonl")
    assert len(clips) == 8 and len(identities) == 4
    for clip in clips:
        assert (written / clip["file"]).exists() and (written / clip["truth"]).exists()
    for identity in identities:
        assert len(identity["faces"]) >= 4 and len(identity["voices"]) >= 3
        assert all((written / name).exists() for name in identity["faces"] + identity["voices"])
    assert not list(written.rglob("*.tmp"))


def test_films_hold_what_the_record_says(written):
    for clip in lines(written / "clips.jsonl")[:3]:
        video, audio = read_video(written / clip["file"])
        assert (video.num_frames, video.height, video.width) == (25, clip["height"], clip["width"])
        assert video.frame_rate == pytest.approx(12.5)
        assert audio.sampling_rate == 16_000 and abs(audio.num_samples - 32_000) <= 2048
        truth = np.load(written / clip["truth"])
        assert truth["mouth_opening"].shape == (25, len(clip["subjects"]))


def test_reference_voices_are_two_seconds(written):
    voice = read_audio(written / lines(written / "identities.jsonl")[0]["voices"][0])
    assert (voice.sampling_rate, voice.num_samples) == (16_000, 32_000)


def test_a_stopped_run_continues_to_the_same_bytes(written, tmp_path, bank):
    out = tmp_path / "out"
    synthesize(CONFIG, out, voice_bank=bank.folder)
    for name in ("clips.jsonl", "identities.jsonl", "clips/train-000001.mp4", "references/id-0001/voice_0.wav"):
        (out / name).unlink()
    untouched = out / "clips" / "train-000000.mp4"
    before = untouched.stat().st_mtime_ns
    synthesize(CONFIG, out, voice_bank=bank.folder)
    assert untouched.stat().st_mtime_ns == before
    assert contents(out) == contents(written)


@pytest.mark.slow
def test_processes_change_nothing(written, tmp_path, bank):
    synthesize(CONFIG, tmp_path / "out", workers=2, voice_bank=bank.folder)
    assert contents(tmp_path / "out") == contents(written)


def test_another_world_is_not_written_over(written, bank):
    with pytest.raises(ValueError, match="`out`.*clips_per_identity"):
        synthesize(WorldConfig(**{**CONFIG.__dict__, "clips_per_identity": 3}), written, voice_bank=bank.folder)


def test_a_contact_sheet_has_all_people(tmp_path):
    from PIL import Image

    path = contact_sheet(tmp_path / "people.png", num_people=8, columns=4, height=32)
    assert Image.open(path).size == (128, 64)
