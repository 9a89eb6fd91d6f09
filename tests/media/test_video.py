import os
import random
from fractions import Fraction

import av
import pytest
import torch

from iap_pipelines.media import (
    MediaError,
    containers,
    read_audio,
    read_frame_times,
    read_image,
    read_video,
    write_video,
)
from tests.media.clips import moving_ramp, tone, write_raw


def _levels(video):
    """The grey level of each frame, in steps of `write_raw`."""
    return (video.frames[:, 0, 0, 0].float() / 10).round().int().tolist()


def test_frames_come_back_exactly_from_a_lossless_file(tmp_path):
    video, audio = read_video(write_raw(tmp_path / "a.mkv", times_ms=[0, 40, 80]))
    assert video.frames.shape == (3, 48, 64, 3)
    assert (video.frame_rate, audio) == (pytest.approx(25), None)
    assert video.frames.unique().tolist() == [0, 10, 20]


def test_variable_rate_keeps_every_frame_and_its_time(tmp_path, caplog):
    path = write_raw(tmp_path / "a.mkv", times_ms=[0, 40, 80, 400, 800])
    video, _ = read_video(path)
    assert _levels(video) == [0, 1, 2, 3, 4]
    assert "variable frame rate" in caplog.text
    torch.testing.assert_close(read_frame_times(path), torch.tensor([0, 0.04, 0.08, 0.4, 0.8], dtype=torch.float64))


def test_constant_rate_shows_what_was_on_screen(tmp_path):
    path = write_raw(tmp_path / "a.mkv", times_ms=[0, 40, 80, 400, 800])
    video, _ = read_video(path, frame_rate=10)
    assert _levels(video)[:9] == [0, 2, 2, 2, 3, 3, 3, 3, 4]
    assert video.frame_rate == 10


@pytest.mark.parametrize("frame_rate", [5, 12.5, 25, 50, 60])
def test_changing_the_rate_keeps_the_duration(tmp_path, frame_rate):
    path = write_raw(tmp_path / "a.mkv", times_ms=list(range(0, 1000, 40)))
    video, _ = read_video(path, frame_rate=frame_rate)
    assert video.duration_seconds == pytest.approx(1.0, abs=1 / frame_rate)
    assert torch.equal(read_video(path, frame_rate=25)[0].frames, read_video(path)[0].frames)


def test_a_first_frame_that_is_not_at_zero_is_the_start(tmp_path):
    video, _ = read_video(write_raw(tmp_path / "a.mkv", times_ms=[5000, 5040, 5080]), frame_rate=25)
    assert _levels(video) == [0, 1, 2]


def test_pixels_that_are_not_square_become_square(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode(None))
    assert read_video(path)[0].frames.shape == (1, 48, 128, 3)


@pytest.mark.parametrize("picture_starts_ms", [0, 1000])
@pytest.mark.parametrize("sound_starts_ms", [0, 200, 990, 1500])
def test_sound_starts_with_the_first_picture(tmp_path, picture_starts_ms, sound_starts_ms):
    sound = torch.linspace(-1, 1, 32000)[None]
    times_ms = list(range(picture_starts_ms, picture_starts_ms + 2000, 40))
    path = write_raw(tmp_path / "a.mkv", times_ms=times_ms, sounds={sound_starts_ms: sound})
    video, audio = read_video(path)
    late_ms = sound_starts_ms - picture_starts_ms
    expected = torch.cat([torch.zeros(1, max(0, late_ms) * 16), sound[:, max(0, -late_ms) * 16 :]], dim=1)
    assert (video.num_frames, audio.num_samples) == (50, expected.shape[1])
    torch.testing.assert_close(audio.samples, expected)


def test_gaps_in_the_sound_are_silence(tmp_path):
    sounds = {0: torch.full((1, 1600), 0.5), 500: torch.full((1, 1600), 0.25)}
    audio = read_audio(write_raw(tmp_path / "a.mkv", times_ms=[0], sounds=sounds))
    assert audio.num_samples == 9600
    levels = audio.samples[0, [0, 1599, 1601, 7999, 8001, 9599]]
    torch.testing.assert_close(levels, torch.tensor([0.5, 0.5, 0, 0, 0.25, 0.25]))


def test_sound_that_starts_after_the_part_that_is_read(tmp_path):
    path = write_raw(tmp_path / "a.mkv", times_ms=[0, 40, 80], sounds={1000: torch.full((1, 1600), 0.5)})
    _, audio = read_video(path, max_seconds=0.5)
    assert audio.num_samples == 8000 and audio.samples.abs().max() == 0


@pytest.mark.parametrize("max_seconds", [0, -1, float("nan"), "1"])
def test_max_seconds_must_be_positive(tmp_path, max_seconds):
    with pytest.raises(ValueError, match="`max_seconds`"):
        read_video(tmp_path / "a.mkv", max_seconds=max_seconds)


def test_frame_rate_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="`frame_rate`"):
        read_video(tmp_path / "a.mkv", frame_rate=0)


# --- Hostile files -----------------------------------------------------------------------------------------------


def test_no_such_file(tmp_path):
    with pytest.raises(MediaError, match="no such file"):
        read_video(tmp_path / "absent.mp4")


def test_directory(tmp_path):
    with pytest.raises(MediaError, match="directory"):
        read_video(tmp_path)


def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(MediaError, match="pipe"):
        read_video(tmp_path / "pipe.mp4")


@pytest.mark.parametrize("path", ["http://localhost/clip.mp4", "concat:a.mp4|b.mp4", "a\0b.mp4", "x" * 5000])
def test_names_that_are_no_files(path):
    with pytest.raises(MediaError):
        read_video(path)


def test_a_file_without_permission(tmp_path, monkeypatch):
    path = write_raw(tmp_path / "a.mkv", times_ms=[0])
    # Tests may run as root, whom no file mode keeps out.
    monkeypatch.setattr(containers.os, "access", lambda *_: False)
    with pytest.raises(MediaError, match="permission"):
        read_video(path)


def test_a_playlist_does_not_open_other_files(tmp_path):
    write_raw(tmp_path / "secret.mkv", times_ms=[0])
    playlist = tmp_path / "clip.mp4"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mkv\n#EXT-X-ENDLIST\n")
    with pytest.raises(MediaError, match="not a sound or video file"):
        read_video(playlist)


def test_frames_above_the_pixel_limit(tmp_path, monkeypatch):
    path = write_raw(tmp_path / "a.mkv", times_ms=[0])
    monkeypatch.setattr(containers, "MAX_PIXELS", 1000)
    with pytest.raises(MediaError, match="64x48 pixels"):
        read_video(path)


def test_a_clip_above_the_memory_limit_is_refused_before_decoding(tmp_path, monkeypatch):
    path = write_raw(tmp_path / "a.mkv", times_ms=list(range(0, 4000, 40)))
    monkeypatch.setattr(containers, "MAX_DECODED_BYTES", 70 * 64 * 48 * 3)
    monkeypatch.setattr(containers, "decoded_frames", None)
    with pytest.raises(MediaError, match="`max_seconds`"):
        read_video(path)


def test_part_of_a_clip_above_the_memory_limit(tmp_path, monkeypatch):
    path = write_raw(tmp_path / "a.mkv", times_ms=list(range(0, 4000, 40)))
    monkeypatch.setattr(containers, "MAX_DECODED_BYTES", 70 * 64 * 48 * 3)
    assert read_video(path, max_seconds=1.0)[0].num_frames == 25


def test_one_frame_held_for_ages_does_not_fill_the_memory(tmp_path, monkeypatch):
    path = write_raw(tmp_path / "a.mkv", times_ms=[0, 40, 100_000_000])
    monkeypatch.setattr(containers, "MAX_DECODED_BYTES", 2**20)
    with pytest.raises(MediaError, match="limit"):
        read_video(path, frame_rate=25)


def test_damage_is_an_error_or_leaves_a_clip_and_never_anything_else(tmp_path):
    path = write_video(moving_ramp(12), tone(0.5), tmp_path / "a.mp4", frame_rate=24, sampling_rate=16000)
    original = path.read_bytes()
    generator = random.Random(0)
    num_refused = 0
    for _ in range(40):
        damaged = bytearray(original)
        for _ in range(generator.choice((1, 20))):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        path.write_bytes(damaged[: generator.choice((len(damaged), generator.randrange(len(damaged))))])
        for read in (read_video, read_image):
            try:
                read(path)
            except MediaError as error:
                num_refused += 1
                assert str(path) in str(error) and "\n" not in str(error)
    assert num_refused > 10
