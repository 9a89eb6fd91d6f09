import os

import av
import numpy as np
import pytest
import torch
from PIL import Image

from iap_pipelines.media import MediaError, export, read_video, write_video
from tests.media.clips import moving_ramp, tone


def _write(path, frames=None, sound=None, frame_rate=12.5, sampling_rate=16000):
    frames = moving_ramp() if frames is None else frames
    return write_video(frames, sound, path, frame_rate=frame_rate, sampling_rate=sampling_rate)


def test_there_and_back(tmp_path):
    frames, sound = moving_ramp(), tone(2.0)
    video, audio = read_video(_write(tmp_path / "a.mp4", frames, sound))
    assert (video.frame_rate, video.duration_seconds, audio.duration_seconds) == (12.5, 2.0, 2.0)
    difference = video.frames.float() - frames.float()
    assert difference.abs().mean() < 1.5 and difference.mean().abs() < 0.2
    torch.testing.assert_close(audio.samples[:, 1000:-1000], sound[:, 1000:-1000], atol=0.03, rtol=0)


@pytest.mark.parametrize("colour", [(200, 60, 30), (20, 120, 220), (128, 128, 128), (255, 255, 255), (0, 0, 0)])
@pytest.mark.parametrize("height", [96, 736])
def test_colours_come_back(tmp_path, colour, height):
    frames = torch.tensor(colour, dtype=torch.uint8).expand(2, height, 64, 3)
    video, _ = read_video(_write(tmp_path / "a.mp4", frames))
    assert (video.frames[1, 48, 32].int() - torch.tensor(colour)).abs().max() <= 1


@pytest.mark.parametrize("kind", ["uint8 array", "float array", "float tensor", "bfloat16 tensor", "pil"])
def test_every_kind_of_pictures_is_the_same_clip(tmp_path, kind):
    frames = moving_ramp(4)
    unit = frames.float() / 255
    video = {
        "uint8 array": frames.numpy(),
        "float array": unit.numpy(),
        "float tensor": unit,
        "bfloat16 tensor": unit.bfloat16(),
        "pil": [Image.fromarray(frame.numpy()) for frame in frames],
    }[kind]
    expected = frames if kind != "bfloat16 tensor" else (unit.bfloat16().float() * 255).round().to(torch.uint8)
    assert _write(tmp_path / "a.mp4", video).read_bytes() == _write(tmp_path / "b.mp4", expected).read_bytes()


def test_equal_input_gives_equal_bytes_without_versions(tmp_path):
    first = _write(tmp_path / "a.mp4", sound=tone(2.0)).read_bytes()
    assert first == _write(tmp_path / "b.mp4", sound=tone(2.0)).read_bytes()
    assert b"Lavf" not in first and b"Lavc" not in first


def test_plays_in_a_browser(tmp_path):
    path = _write(tmp_path / "a.mp4", sound=tone(2.0))
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(path)) as container:
        (video,), (audio,) = container.streams.video, container.streams.audio
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (audio.codec_context.name, audio.codec_context.profile) == ("aac", "LC")


@pytest.mark.parametrize(
    ("num_frames", "frame_rate", "sampling_rate", "num_channels"),
    [(1, 25, 16000, 1), (2, 12.5, 8000, 2), (25, 24, 44100, 1), (25, 23.976, 48000, 2), (121, 24, 16000, 1)],
)
def test_sound_and_pictures_last_equally_long(tmp_path, num_frames, frame_rate, sampling_rate, num_channels):
    frames, sound = moving_ramp(num_frames, 32, 32), tone(num_frames / frame_rate, sampling_rate, num_channels)
    video, audio = read_video(_write(tmp_path / "a.mp4", frames, sound, frame_rate, sampling_rate))
    assert video.num_frames == num_frames
    assert audio.num_channels == num_channels
    assert abs(audio.duration_seconds - video.duration_seconds) < min(1 / frame_rate, 0.002)


@pytest.mark.parametrize(("seconds", "warned"), [(1.984, ""), (0.5, "silence follows"), (3.0, "the rest is cut")])
def test_sound_is_brought_to_the_length_of_the_pictures(tmp_path, caplog, seconds, warned):
    _, audio = read_video(_write(tmp_path / "a.mp4", sound=tone(seconds)))
    assert audio.duration_seconds == 2.0
    assert warned in caplog.text and bool(warned) == bool(caplog.text)


def test_vector_and_mono_matrix_are_the_same_sound(tmp_path):
    vector, matrix = _write(tmp_path / "a.mp4", sound=tone(2.0)[0]), _write(tmp_path / "b.mp4", sound=tone(2.0))
    assert vector.read_bytes() == matrix.read_bytes()


def test_input_is_left_as_it_was(tmp_path):
    frames, sound = moving_ramp(3).float() / 255, tone(0.24) * 3
    before = frames.clone(), sound.clone()
    _write(tmp_path / "a.mp4", frames, sound)
    assert torch.equal(frames, before[0]) and torch.equal(sound, before[1])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"frames": moving_ramp(2)[:, :95]}, "even sizes"),
        ({"frames": moving_ramp(2)[None]}, r"video\[0\]"),
        ({"frames": moving_ramp(2).permute(0, 3, 1, 2)}, "`video`"),
        ({"frames": moving_ramp(2)[:0]}, "`video`"),
        ({"frames": moving_ramp(2).float()}, r"\[0, 1\]"),
        ({"frames": moving_ramp(2).int()}, "uint8"),
        ({"frames": torch.full((2, 8, 8, 3), float("nan"))}, "NaN"),
        ({"frames": []}, "`video`"),
        ({"frames": [moving_ramp(2)]}, r"video\[0\]"),
        ({"frames": [Image.new("RGB", (8, 8)), Image.new("RGB", (8, 10))]}, "one size"),
        ({"frames": "clip.mp4"}, "`video`"),
        ({"sound": tone(2.0)[None]}, r"audio\[0\]"),
        ({"sound": tone(2.0).T}, "`audio`"),
        ({"sound": torch.zeros(1, 0)}, "`audio`"),
        ({"sound": torch.zeros(32000, dtype=torch.int16)}, "`audio`"),
        ({"sound": torch.full((32000,), float("nan"))}, "NaN"),
        ({"sound": tone(2.0), "sampling_rate": None}, "`sampling_rate`"),
        ({"sound": tone(2.0), "sampling_rate": 17000}, "resample"),
        ({"frame_rate": 0}, "`frame_rate`"),
    ],
)
def test_wrong_values_are_refused_and_nothing_is_written(tmp_path, change, named):
    with pytest.raises(ValueError, match=named):
        _write(tmp_path / "a.mp4", **change)
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    for path, reason in (
        (tmp_path / "absent" / "a.mp4", "does not exist"),
        (tmp_path / "folder.mp4", "directory"),
        (tmp_path / "a.webm", "mp4"),
        (tmp_path / "a", "mp4"),
    ):
        with pytest.raises(MediaError, match=reason):
            _write(path)


def test_a_failure_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.mp4"
    path.write_text("old")

    def fail_at_third(pixels, index, rate, encode=export._video_frame):
        if index == 3:
            raise OSError(28, "No space left on device")
        return encode(pixels, index, rate)

    monkeypatch.setattr(export, "_video_frame", fail_at_third)
    with pytest.raises(MediaError, match="No space left"):
        _write(path, sound=tone(2.0))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_an_existing_file_is_replaced(tmp_path):
    (tmp_path / "a.mp4").write_text("old")
    assert read_video(_write(tmp_path / "a.mp4"))[0].num_frames == 25


def test_warns_of_sound_beyond_full_scale(tmp_path, caplog):
    _write(tmp_path / "a.mp4", sound=np.full(32000, 1.5, dtype=np.float32))
    assert "clamped" in caplog.text
