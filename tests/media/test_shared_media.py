"""
Every file of ../shared/media: the good ones are read as the manifest describes them, the bad ones refused in a line.
"""

from pathlib import Path

import pytest

from iap_pipelines.media import MediaError, read_audio, read_image, read_video


FOLDER = Path(__file__).resolve().parents[3] / "shared" / "media"
REFUSED = {
    "bad/truncated.mp4": "index is damaged",
    "bad/truncated_faststart.mp4": "cut short",
    "bad/corrupt_middle.mp4": "damaged",
    "bad/zero_bytes.mp4": "empty",
    "bad/text.mp4": "not a sound or video",
}
NO_VIDEO = {"bad/audio_only.mp4"}
NO_SOUND = {"bad/no_audio.mp4", "bad/odd_size.webm", "bad/one_frame.mp4", "bad/empty_audio_stream.mp4"}

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs ../shared/media, not part of the repository")


def _files(*folders):
    names = [f"{path.parent.name}/{path.name}" for folder in folders for path in sorted((FOLDER / folder).glob("*"))]
    return pytest.mark.parametrize("name", names)


@_files("video", "composite", "bad")
def test_video(name, manifest):
    path = FOLDER / name
    if name in REFUSED or name in NO_VIDEO:
        with pytest.raises(MediaError) as error:
            read_video(path)
        assert str(path) in str(error.value)
        assert REFUSED.get(name, "no video") in str(error.value)
        assert "\n" not in str(error.value)
        return
    row = manifest[name]
    video, audio = read_video(path, max_seconds=1.0)
    assert (video.width, video.height) == _upright_size(row, name)
    assert video.frame_rate == pytest.approx(float(row["fps"]), rel=0.35 if name == "bad/vfr.mp4" else 1e-6)
    if name != "bad/vfr.mp4":
        assert video.num_frames == min(round(video.frame_rate), int(row["frames"]) or 1000)
    assert (audio is None) == (name in NO_SOUND)
    if audio is not None:
        assert (audio.sampling_rate, audio.num_channels) == (int(row["sample_rate"]), int(row["channels"]))
        assert audio.duration_seconds == pytest.approx(min(1.0, float(row["duration"])), abs=1e-3)


def _upright_size(row, name):
    size = int(row["width"]), int(row["height"])
    return size[::-1] if name == "bad/rotated.mp4" and size == (276, 480) else size


@_files("voice", "video", "composite", "bad")
def test_sound(name, manifest):
    if name in REFUSED or name in NO_SOUND:
        with pytest.raises(MediaError, match=REFUSED.get(name, "no sound")):
            read_audio(FOLDER / name)
        return
    row = manifest[name]
    audio = read_audio(FOLDER / name)
    assert (audio.sampling_rate, audio.num_channels) == (int(row["sample_rate"]), int(row["channels"]))
    assert audio.duration_seconds == pytest.approx(float(row["duration"]), abs=0.07)
    assert (audio.samples.abs().max() == 0) == (name == "bad/silent.mp4")


@_files("image", "video", "composite", "bad")
def test_picture(name, manifest):
    if name in REFUSED.keys() - {"bad/truncated_faststart.mp4"} or name in NO_VIDEO:
        with pytest.raises(MediaError, match="no picture|empty"):
            read_image(FOLDER / name)
        return
    image = read_image(FOLDER / name)
    assert image.mode == "RGB"
    assert image.size == _upright_size(manifest[name], name)


def test_the_good_part_of_a_file_that_is_cut_short():
    video, audio = read_video(FOLDER / "bad/truncated_faststart.mp4", max_seconds=1.0)
    assert (video.num_frames, audio.num_samples) == (16, 24000)


def test_whole_clip():
    video, audio = read_video(FOLDER / "bad/mono_8khz.mp4")
    assert (video.num_frames, video.frame_rate, audio.duration_seconds) == (48, 16.0, 3.0)
