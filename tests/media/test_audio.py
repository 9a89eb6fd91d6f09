import numpy as np
import pytest
import torch

from iap_pipelines.media import MediaError, read_audio, write_video
from tests.media.clips import moving_ramp, tone, write_raw, write_sound


@pytest.mark.parametrize(
    ("name", "codec", "sample_format", "dtype", "full_scale"),
    [
        ("a.wav", "pcm_s16le", "s16", np.int16, 2**15),
        ("a.wav", "pcm_s32le", "s32", np.int32, 2**31),
        ("a.wav", "pcm_f32le", "flt", np.float32, 1),
        ("a.flac", "flac", "s16", np.int16, 2**15),
    ],
)
def test_lossless_sound_comes_back_exactly(tmp_path, name, codec, sample_format, dtype, full_scale):
    samples = (tone(0.25).numpy() * full_scale).astype(dtype)
    path = write_sound(tmp_path / name, samples, sampling_rate=16000, codec=codec, sample_format=sample_format)
    audio = read_audio(path)
    assert audio.sampling_rate == 16000
    np.testing.assert_array_equal(audio.samples.numpy(), (samples / full_scale).astype(np.float32))


def test_eight_bit_silence_is_zero(tmp_path):
    samples = np.full((1, 800), 128, dtype=np.uint8)
    path = write_sound(tmp_path / "a.wav", samples, sampling_rate=8000, codec="pcm_u8", sample_format="u8")
    assert read_audio(path).samples.abs().max() == 0


def test_overshoot_is_clamped(tmp_path):
    samples = np.array([[0.0, 1.4, -1.4]], dtype=np.float32)
    path = write_sound(tmp_path / "a.wav", samples, sampling_rate=8000, codec="pcm_f32le", sample_format="flt")
    assert read_audio(path).samples.tolist() == [[0, 1, -1]]


@pytest.mark.parametrize(("value", "reason"), [(float("nan"), "NaN"), (float("inf"), "NaN"), (20_000.0, "full scale")])
def test_what_is_no_sound(tmp_path, value, reason):
    samples = np.array([[0.0, value, 0.0]], dtype=np.float32)
    path = write_sound(tmp_path / "a.wav", samples, sampling_rate=8000, codec="pcm_f32le", sample_format="flt")
    with pytest.raises(MediaError, match=reason):
        read_audio(path)


def test_sampling_rates_nobody_records_at(tmp_path):
    samples = np.zeros((1, 8), dtype=np.int16)
    path = write_sound(tmp_path / "a.wav", samples, sampling_rate=10, codec="pcm_s16le", sample_format="s16")
    with pytest.raises(MediaError, match="sampling rate"):
        read_audio(path)


def test_the_first_part(tmp_path):
    samples = (tone(1.0).numpy() * 2**15).astype(np.int16)
    path = write_sound(tmp_path / "a.wav", samples, sampling_rate=16000, codec="pcm_s16le", sample_format="s16")
    assert torch.equal(read_audio(path, max_seconds=0.25).samples, read_audio(path).samples[:, :4000])
    assert read_audio(path, max_seconds=9).num_samples == 16000


def test_sound_of_a_video(tmp_path):
    sound = tone(1.0, num_channels=2)
    path = write_video(moving_ramp(25), sound, tmp_path / "a.mp4", frame_rate=25, sampling_rate=16000)
    assert read_audio(path).samples.shape == sound.shape


def test_video_without_sound(tmp_path):
    with pytest.raises(MediaError, match="no sound"):
        read_audio(write_raw(tmp_path / "a.mkv", times_ms=[0]))


def test_max_seconds_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="`max_seconds`"):
        read_audio(tmp_path / "a.wav", max_seconds=0)
