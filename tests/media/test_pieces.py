"""Pieces of files: probing, pictures one at a time, sound on the clock of the pictures, and writing piece by piece."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Colorspace

from iap_pipelines.media import (
    MediaError,
    export_frames,
    export_sound,
    iterate_frames,
    pieces,
    probe,
    read_audio,
    read_frame_times,
    read_sound,
    read_video,
    write_video,
)
from iap_pipelines.media.audio import SeekError, _Timeline
from iap_pipelines.media.containers import decoded_frames
from iap_pipelines.media.video import to_rgb
from iap_pipelines.types import AudioSamples
from tests.media.clips import moving_ramp, tone, write_raw


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("pieces") / "clip.mp4"
    return write_video(moving_ramp(50), tone(2.0), path, frame_rate=25.0, sampling_rate=16000)


@pytest.fixture(scope="module")
def late(tmp_path_factory):
    """Pictures every 40 ms, then every 100 ms; the sound begins 480 ms after them."""
    path = tmp_path_factory.mktemp("pieces") / "late.mkv"
    times = [1000 + 40 * index for index in range(25)] + [2000 + 100 * index for index in range(10)]
    return write_raw(path, times_ms=times, sounds={1480: tone(1.0)})


@pytest.fixture(scope="module")
def program_stream(tmp_path_factory):
    """Twenty seconds of MPEG-2, in which pictures refer across the key frames that stand 15 pictures apart."""
    path = tmp_path_factory.mktemp("pieces") / "long.mpg"
    pictures = moving_ramp(25, 32, 32).numpy()
    with av.open(str(path), "w", format="mpeg") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 15, 2
        for index in range(500):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pictures[index % 25])))
        container.mux(stream.encode(None))
    return path


def test_probe(clip):
    info = probe(clip)
    pictures, sound = info.pictures, info.sound
    assert (pictures.width, pictures.height, pictures.num_frames, pictures.frame_rate) == (128, 96, 50, 25.0)
    assert (pictures.rotation_degrees, pictures.is_variable, pictures.codec) == (0, False, "h264")
    assert pictures.duration_seconds == pytest.approx(2.0)
    assert (sound.sampling_rate, sound.num_channels, sound.codec) == (16000, 1, "aac")
    assert sound.start_seconds == pytest.approx(0.0, abs=1e-3)


def test_probe_of_a_late_sound_and_a_variable_rate(late):
    info = probe(late)
    assert info.pictures.is_variable
    assert info.pictures.num_frames == 35
    assert info.sound.start_seconds == pytest.approx(0.48, abs=2e-3)
    assert info.sound.duration_seconds == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("name", "has_pictures", "has_sound", "turn"),
    [
        ("bad/audio_only.mp4", False, True, None),
        ("bad/no_audio.mp4", True, False, 0),
        ("bad/empty_audio_stream.mp4", True, False, 0),
        ("bad/rotated.mp4", True, True, 90),
        ("bad/odd_size.webm", True, False, 0),
    ],
)
def test_probe_of_files_that_lack_something(shared, name, has_pictures, has_sound, turn):
    info = probe(shared / "media" / name)
    assert (info.pictures is not None, info.sound is not None) == (has_pictures, has_sound)
    if turn is not None:
        assert info.pictures.rotation_degrees == turn
        _, frame = next(iterate_frames(shared / "media" / name))
        assert frame.shape == (info.pictures.height, info.pictures.width, 3)


@pytest.mark.parametrize("name", ["truncated", "truncated_faststart", "corrupt_middle", "zero_bytes", "text"])
def test_probe_refuses_damage(shared, name):
    with pytest.raises(MediaError):
        probe(shared / "media" / "bad" / f"{name}.mp4")


def test_frames_come_one_at_a_time_as_they_are_read_at_once(clip):
    video, _ = read_video(clip)
    times, frames = zip(*iterate_frames(clip), strict=True)
    np.testing.assert_array_equal(np.stack(frames), video.frames.numpy())
    np.testing.assert_allclose(times, read_frame_times(clip).numpy())


@pytest.mark.parametrize("seek_from", [0.0, 100.0])
@pytest.mark.parametrize(("start", "end"), [(0.0, 0.4), (0.52, 1.0), (1.6, None), (1.96, 2.0)])
def test_a_piece_is_a_part_of_the_whole(clip, monkeypatch, seek_from, start, end):
    monkeypatch.setattr(pieces, "_SEEK_FROM_SECONDS", seek_from)
    whole = dict(iterate_frames(clip))
    piece = dict(iterate_frames(clip, start_seconds=start, end_seconds=end))
    assert sorted(piece) == [time for time in whole if start - 1e-6 <= time < (end or 9) - 1e-6]
    for time, frame in piece.items():
        np.testing.assert_array_equal(frame, whole[time])


def test_a_late_piece_of_a_program_stream_is_a_part_of_the_whole(program_stream):
    whole = dict(iterate_frames(program_stream))
    times = [time for time in whole if time >= pieces._SEEK_FROM_SECONDS]
    for start in times[::7]:
        piece = dict(iterate_frames(program_stream, start_seconds=start, end_seconds=start + 0.2))
        assert list(piece) == [time for time in times if start <= time < start + 0.2 - 1e-6]
        (picture,) = pieces.frames_at(program_stream, [start])
        for time, found in (*piece.items(), (start, picture)):
            np.testing.assert_array_equal(found, whole[time])


def test_a_piece_of_a_variable_rate_keeps_its_times(late):
    times = [time for time, _ in iterate_frames(late, start_seconds=0.9)]
    assert times == pytest.approx([0.92, 0.96, *np.arange(1.0, 1.95, 0.1)])


def test_fewer_and_smaller_pictures(clip):
    found = list(iterate_frames(clip, max_rate=5.0, short_side=48))
    assert [time for time, _ in found] == pytest.approx(np.arange(0, 2.0, 0.2))
    assert found[0][1].shape == (48, 64, 3)
    assert next(iterate_frames(clip, short_side=1000))[1].shape == (96, 128, 3), "nothing is enlarged"


def test_pictures_at_some_times_are_those_of_the_whole(clip, monkeypatch):
    whole = dict(iterate_frames(clip))
    times = [sorted(whole)[index] for index in (3, 3, 20, 49)]
    converted = []
    monkeypatch.setattr(pieces, "to_rgb", lambda *args: converted.append(1) or to_rgb(*args))
    for time, picture in zip(times, pieces.frames_at(clip, times), strict=True):
        np.testing.assert_array_equal(picture, whole[time])
    assert len(converted) == 3
    assert list(pieces.frames_at(clip, [])) == []
    with pytest.raises(MediaError, match=r"no picture at 9\.00 s"):
        list(pieces.frames_at(clip, [0.0, 9.0]))


def test_fast_colours_are_nearly_exact(clip):
    for (_, exact), (_, fast) in zip(iterate_frames(clip), iterate_frames(clip, exact=False), strict=True):
        assert np.abs(exact.astype(int) - fast).mean() < 3


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("short_side", [142, 180])
def test_smaller_pictures_keep_their_colours(tmp_path, exact, short_side):
    colour = np.uint8([200, 60, 30])
    path = write_video(np.broadcast_to(colour, (1, 184, 320, 3)).copy(), None, tmp_path / "a.mp4", frame_rate=25.0)
    (_, picture), *_ = iterate_frames(path, short_side=short_side, exact=exact)
    assert min(picture.shape[:2]) == short_side
    assert np.abs(picture[20:-20, 20:-20].astype(int) - colour).max() <= 1


def _copy(path, copied, **options):
    frames = (picture for _, picture in iterate_frames(path, for_export=True, **options))
    return export_frames(frames, None, copied, num_frames=25, frame_rate=12.5)


@pytest.mark.parametrize(("height", "matrix"), [(96, Colorspace.ITU601), (736, Colorspace.ITU709)])
def test_a_copy_of_what_states_no_colours_shows_the_same_pictures(tmp_path, height, matrix):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25, 2), options={"crf": "10", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = height, 128, "yuv420p"
        for pixels in (*moving_ramp(25, height).numpy(), None):
            container.mux(stream.encode(None if pixels is None else av.VideoFrame.from_ndarray(pixels)))
    with av.open(str(_copy(tmp_path / "a.mp4", tmp_path / "b.mp4"))) as container:
        assert next(container.decode(video=0)).colorspace == matrix, "stated, so that nobody guesses"
    for (_, picture), (_, copied) in zip(
        iterate_frames(tmp_path / "a.mp4"), iterate_frames(tmp_path / "b.mp4"), strict=True
    ):
        difference = copied.astype(int) - picture
        assert np.abs(difference).mean() < 1.5 and np.abs(difference.mean(axis=(0, 1))).max() < 0.6


def test_a_smaller_copy_shows_the_smaller_pictures(clip, tmp_path):
    copied = _copy(clip, tmp_path / "b.mp4", short_side=72, max_rate=12.5)
    assert copied.read_bytes() == _copy(clip, tmp_path / "c.mp4", short_side=72, max_rate=12.5).read_bytes()
    wanted = iterate_frames(clip, short_side=72, max_rate=12.5)
    for (_, picture), (_, found) in zip(wanted, iterate_frames(copied), strict=True):
        assert found.shape == (72, 96, 3)
        assert np.abs(found.astype(int) - picture).mean() < 2


def test_what_cannot_be_copied_is_converted(shared):
    turned = shared / "media" / "bad" / "rotated.mp4"
    (_, planes), *_ = iterate_frames(turned, for_export=True)
    (_, picture), *_ = iterate_frames(turned)
    np.testing.assert_array_equal(planes, picture)


def test_sound_is_on_the_clock_of_the_pictures(late):
    sound = read_sound(late)
    assert sound.samples[0, : round(0.47 * 16000)].abs().max() == 0
    torch.testing.assert_close(sound.samples[:, round(0.48 * 16000) :][:, :8000], tone(1.0)[:, :8000])
    later = read_sound(late, start_seconds=0.6, max_seconds=0.5)
    assert later.num_samples == 8000
    torch.testing.assert_close(later.samples, sound.samples[:, 9600:17600])
    earlier = read_sound(late, start_seconds=-0.1)
    torch.testing.assert_close(earlier.samples[:, 1600:], sound.samples)


def test_a_late_piece_holds_nothing_of_what_comes_before(tmp_path, monkeypatch):
    sound = tone(4.0)
    path = write_raw(tmp_path / "long.mkv", times_ms=[0, 3900], sounds={0: sound})
    held = []

    class Watched(_Timeline):
        def samples(self):
            held.append(sum(piece.shape[1] for _, piece in self.pieces))
            return super().samples()

    monkeypatch.setattr("iap_pipelines.media.audio._Timeline", Watched)
    piece = read_sound(path, start_seconds=3.0, max_seconds=0.5)
    assert torch.equal(piece.samples, sound[:, 48000:56000])
    assert held[0] <= 8000 + 2 * 320


@pytest.fixture
def count_frames(monkeypatch):
    """Frames of sound that are decoded."""
    counted = []

    def decode(path, container, stream):
        for frame in decoded_frames(path, container, stream):
            counted.append(frame.time)
            yield frame

    monkeypatch.setattr("iap_pipelines.media.audio.decoded_frames", decode)
    return counted


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_late_piece_of_sound_is_sought_and_the_same(tmp_path, count_frames, suffix):
    sound, path = tone(40.0), tmp_path / f"long.{suffix}"
    if suffix == "mp4":
        write_video(moving_ramp(80), sound, path, frame_rate=2.0, sampling_rate=16000)
    else:
        write_raw(path, times_ms=list(range(0, 40000, 1000)), sounds={0: sound})
    whole = read_sound(path)
    num_all = len(count_frames)
    for start in (20.0, 35.37):
        count_frames.clear()
        piece = read_sound(path, start_seconds=start, max_seconds=2.0)
        first = round(start * 16000)
        torch.testing.assert_close(piece.samples, whole.samples[:, first : first + 32000], atol=1e-5, rtol=0)
        if suffix == "mp4":  # an index of all packets; Matroska's may be one of pictures only
            assert len(count_frames) < 0.15 * num_all
    assert read_sound(path, start_seconds=50.0, max_seconds=1.0) is None


def test_sound_that_cannot_be_sought_is_decoded_from_its_start(tmp_path, monkeypatch):
    path = write_raw(tmp_path / "long.mkv", times_ms=[0, 19900], sounds={0: tone(20.0)})
    expected = read_sound(path).samples[:, 17 * 16000 : 18 * 16000]
    tried = []

    def fail(*_):
        tried.append(True)
        raise SeekError("no index")

    monkeypatch.setattr("iap_pipelines.media.audio._sought", fail)
    piece = read_sound(path, start_seconds=17.0, max_seconds=1.0)
    assert tried and torch.equal(piece.samples, expected)


def test_no_sound_in_the_piece(shared):
    assert read_sound(shared / "media" / "bad" / "no_audio.mp4") is None


def test_pictures_are_written_one_at_a_time_to_the_same_bytes(tmp_path):
    frames, sound = moving_ramp(20).numpy(), tone(0.8)
    options = {"frame_rate": 25.0, "sampling_rate": 16000}
    at_once = write_video(frames, sound, tmp_path / "a.mp4", **options)
    streamed = export_frames(iter(frames), sound, tmp_path / "b.mp4", num_frames=20, **options)
    assert at_once.read_bytes() == streamed.read_bytes()


@pytest.mark.parametrize(("given", "announced"), [(3, 4), (0, 1)])
def test_the_number_of_pictures_is_checked(tmp_path, given, announced):
    with pytest.raises(ValueError, match="gave"):
        export_frames(
            iter(moving_ramp(8).numpy()[:given]), None, tmp_path / "a.mp4", num_frames=announced, frame_rate=25.0
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("num_channels", [1, 2])
def test_sound_comes_back(tmp_path, num_channels):
    sound = AudioSamples(tone(0.5, num_channels=num_channels), 16000)
    path = export_sound(sound, tmp_path / "a.flac")
    found = read_audio(path)
    assert found.sampling_rate == 16000
    torch.testing.assert_close(found.samples, sound.samples, atol=1 / 32767, rtol=0)
    assert export_sound(sound, tmp_path / "b.flac").read_bytes() == path.read_bytes()


def test_sound_of_more_than_two_channels_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`audio` must have one or two channels, but got 6"):
        export_sound(AudioSamples(tone(0.1, num_channels=6), 16000), tmp_path / "a.flac")
    assert not list(tmp_path.iterdir())


def test_sound_is_written_as_flac_only(tmp_path):
    with pytest.raises(MediaError, match=r"call it \*.flac"):
        export_sound(AudioSamples(tone(0.1), 16000), tmp_path / "a.wav")
