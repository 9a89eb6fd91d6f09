import numpy as np
import pytest
from PIL import Image

from iap_pipelines.media import MediaError, image, read_image, write_video
from tests.media.clips import moving_ramp, write_raw


def _corners(picture):
    pixels = np.asarray(picture)
    return [int(pixels[row, column, 0] > 128) for row in (0, -1) for column in (0, -1)]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tiff", "gif"])
def test_common_formats(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (20, 10), (200, 200, 200)).save(path)
    assert (read_image(path).size, read_image(path).mode) == ((20, 10), "RGB")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("jpg", {"quality": 95}),
        ("png", {}),
        ("webp", {"lossless": True}),
        ("tiff", {}),
        ("tiff", {"compression": "tiff_lzw"}),
    ],
)
def test_exif_orientation_is_applied(tmp_path, orientation, suffix, options):
    upright = np.zeros((20, 30, 3), dtype=np.uint8)
    upright[:10, :10] = 255
    # What a camera stores is what, turned by its orientation, is upright: the inverse of the transposition.
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    stored = Image.fromarray(upright)
    if inverse > 1:
        stored = stored.transpose(image._TRANSPOSE[inverse])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"a.{suffix}", exif=exif, **options)
    picture = read_image(tmp_path / f"a.{suffix}")
    assert picture.size == (30, 20)
    assert _corners(picture) == [1, 0, 0, 0]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_any_mode_becomes_rgb(tmp_path, mode):
    # JPEG for YCbCr: Pillow 12 writes such a TIFF in a way that it cannot read.
    suffix = {"CMYK": "tiff", "YCbCr": "jpg"}.get(mode, "png")
    picture = Image.new("RGBA", (8, 8), "white").convert("RGB").convert(mode if mode != "HSV" else "RGB")
    picture.save(tmp_path / f"a.{suffix}")
    assert read_image(tmp_path / f"a.{suffix}").getpixel((4, 4)) == (255, 255, 255)


def test_what_is_transparent_becomes_white(tmp_path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.parametrize("suffix", ["png", "pgm", "tiff"])
def test_sixteen_bits_are_scaled(tmp_path, suffix):
    Image.fromarray(np.full((8, 8), 0x8000, dtype=np.uint16)).save(tmp_path / f"a.{suffix}")
    assert read_image(tmp_path / f"a.{suffix}").getpixel((4, 4)) == (128, 128, 128)


@pytest.mark.parametrize(
    ("suffix", "kind", "named"),
    [("tiff", np.float32, "floating point"), ("pfm", np.float32, "floating point"), ("tiff", np.int32, "integers")],
)
def test_values_without_a_known_white_are_refused(tmp_path, suffix, kind, named):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.ones((8, 8), dtype=kind)).save(path)
    with pytest.raises(MediaError, match=f"{named}.*expected") as error:
        read_image(path)
    assert str(path) in str(error.value)


def test_first_frame_of_a_video(tmp_path):
    frames = moving_ramp(5)
    path = write_video(frames, None, tmp_path / "a.mp4", frame_rate=25)
    difference = np.asarray(read_image(path)).astype(int) - frames[0].numpy()
    assert np.abs(difference).mean() < 2


def test_video_with_another_suffix(tmp_path):
    assert read_image(write_raw(tmp_path / "a.jpg", times_ms=[0])).size == (64, 48)


# --- Hostile files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "mp4"])
def test_more_pixels_than_are_allowed(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        Image.new("RGB", (16, 16)).save(path)
    else:
        write_video(np.zeros((2, 16, 16, 3), np.uint8), None, path, frame_rate=10)
    assert read_image(path, max_pixels=256).size == (16, 16)
    with pytest.raises(MediaError, match="16x16 pixels, the limit is 255"):
        read_image(path, max_pixels=255)


def test_a_header_that_announces_a_huge_picture(tmp_path):
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 60000 60000 255\n" + bytes(100))
    with pytest.raises(MediaError, match="60000x60000|bomb"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "tiff"])
def test_a_picture_that_is_cut_short(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    moving = Image.fromarray(moving_ramp(1)[0].numpy())
    moving.save(path)
    path.write_bytes(path.read_bytes()[:-500] if suffix != "gif" else path.read_bytes()[:900])
    with pytest.raises(MediaError, match="damaged") as error:
        read_image(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", bytes(4096)])
def test_no_picture(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(MediaError):
        read_image(path)


def test_directory_and_missing(tmp_path):
    for path in (tmp_path, tmp_path / "absent.png"):
        with pytest.raises(MediaError):
            read_image(path)
