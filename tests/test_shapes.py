"""Shape arithmetic, against what the codecs really make."""

import pytest
import torch

from iap_pipelines.shapes import CodecGeometry
from tests.pipelines.tiny_components import tiny_components


GEOMETRY = CodecGeometry()


@pytest.fixture(scope="module")
def codecs():
    return tiny_components()


def test_the_published_clip():
    clip = GEOMETRY.clip(704, 1280, 121, 24.0)
    assert (clip.num_latent_frames, clip.latent_height, clip.latent_width) == (31, 44, 80)
    assert clip.num_audio_latents == 157
    assert clip.num_video_tokens == 31 * 22 * 40
    assert clip.duration_seconds == pytest.approx(121 / 24)


def test_both_towers_share_a_time_axis():
    """The published configuration says 0.19676 at 24 frames per second, 2.5 % more than this."""
    assert GEOMETRY.audio_position_scale(24.0) == pytest.approx(0.192)
    assert GEOMETRY.audio_position_scale(12.5) == pytest.approx(0.1)
    assert GEOMETRY.audio_latents_per_second == 31.25


@pytest.mark.parametrize("num_frames", [1, 5, 25])
def test_video_latents_are_as_large_as_said(codecs, num_frames):
    clip = GEOMETRY.clip(32, 64, num_frames, 12.5)
    with torch.no_grad():
        latents = codecs["vae"].encode(torch.zeros(1, 3, num_frames, 32, 64)).latent_dist.mode()
    assert latents.shape[2:] == (clip.num_latent_frames, clip.latent_height, clip.latent_width)


@pytest.mark.parametrize("num_samples", [4800, 8000, 8192, 16_000, 32_000])
def test_voice_latents_are_as_many_as_said(codecs, num_samples):
    with torch.no_grad():
        latents = codecs["audio_vae"].encode(torch.zeros(1, num_samples)).latent_dist.mode()
    assert latents.shape[-1] == GEOMETRY.voice_latents(num_samples)


@pytest.mark.parametrize("num_frames", [1, 5, 25, 121])
def test_sound_lasts_as_long_as_the_pictures_to_less_than_a_latent(num_frames):
    clip = GEOMETRY.clip(32, 32, num_frames, 12.5)
    rest = clip.duration_seconds * GEOMETRY.audio_latents_per_second - clip.num_audio_latents
    assert 0 <= rest < 1


def test_every_size_offered_instead_works():
    for height in range(1, 200):
        for num_frames in range(1, 12):
            try:
                GEOMETRY.clip(height, 32, num_frames, 12.5)
            except ValueError as error:
                offered = [
                    int(word.strip(".")) for word in str(error).split("Try")[1].split() if word.strip(".").isdigit()
                ]
                for size in offered:
                    if "`height`" in str(error):
                        GEOMETRY.clip(size, 32, 1, 12.5)
                    else:
                        GEOMETRY.clip(32, 32, size, 12.5)
                assert offered


@pytest.mark.parametrize(
    "size, message",
    [
        ((0, 32, 5, 12.5), "`height` must be a positive multiple of 32, got 0"),
        ((32, 48, 5, 12.5), "`width` must be a positive multiple of 32, got 48. Try 32 or 64"),
        ((32, 32, 4, 12.5), "`num_frames` must be one more than a multiple of 4, got 4. Try 1 or 5"),
        ((32, 32, 0, 12.5), "`num_frames` must be one more than a multiple of 4, got 0"),
        ((32.0, 32, 5, 12.5), "`height` must be an integer, got 32.0"),
        ((32, 32, 5, 0.0), "`frame_rate` must be a positive number of frames per second, got 0.0"),
        ((32, 32, 1, 100.0), "`num_frames`=1 at `frame_rate`=100.0 lasts less than one audio latent"),
    ],
)
def test_sizes_that_cannot_be(size, message):
    with pytest.raises(ValueError, match=message):
        GEOMETRY.clip(*size)


def test_other_codecs():
    geometry = CodecGeometry(spatial_factor=8, temporal_factor=8, patch_size=(1, 1, 4), samples_per_latent=1024)
    assert geometry.pixel_multiple == (8, 32)
    clip = geometry.clip(24, 64, 17, 25.0)
    assert (clip.num_latent_frames, clip.latent_height, clip.latent_width) == (3, 3, 8)
    assert clip.num_video_tokens == 3 * 3 * 2 and clip.num_audio_latents == 10
