"""Picture files, and the first picture of a video, to PIL images."""

import os
import warnings

import av
import numpy as np
from PIL import Image, UnidentifiedImageError

from iap_pipelines.media.containers import check_file, open_container, video_stream
from iap_pipelines.media.errors import MediaError
from iap_pipelines.media.video import to_rgb


MAX_IMAGE_PIXELS = 89_478_485
"""Most pixels of a picture: PIL's own limit for what may be a decompression bomb (a quarter of a GiB of RGB)."""

# Left out on purpose: formats that PIL hands to an interpreter (EPS) or that are no pictures of people (PDF, icons).
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "JPEG2000", "PPM")

_EXIF_ORIENTATION = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: str | os.PathLike[str], *, max_pixels: int = MAX_IMAGE_PIXELS) -> Image.Image:
    """Read a picture, upright and in RGB.

    The orientation in EXIF is applied; what is transparent becomes white; 16-bit pictures are scaled to 8 bits. Of an
    animation it is the first picture, of a video the first frame that decodes cleanly.

    Args:
        path: the file.
        max_pixels: a larger picture is refused before it is decoded.

    Raises:
        MediaError: for a file that is missing, neither picture nor video, damaged, too large to decode, or of values
            without a known range.
    """
    check_file(path)
    try:
        image = _open_picture(path, max_pixels)
    except UnidentifiedImageError:
        try:
            return _first_video_frame(path, max_pixels)
        except MediaError as error:
            raise MediaError(path, f"it is no picture, and as a video: {error.reason}") from error
    image = _load(path, image)
    orientation = _orientation(image)  # asked after loading, in which PIL turns TIFF files itself
    image = _to_rgb_image(image)
    return image.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else image


def _open_picture(path: str | os.PathLike[str], max_pixels: int) -> Image.Image:
    with warnings.catch_warnings():
        # PIL warns above its limit and raises above twice that; the size is checked below, before decoding.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = Image.open(path, formats=_FORMATS)
        except UnidentifiedImageError:
            raise
        except Exception as error:
            raise _damaged(path, error) from error
    try:
        _check_size(path, image.width, image.height, max_pixels)
        _check_range(path, image)
    except MediaError:
        image.close()
        raise
    return image


def _check_size(path: str | os.PathLike[str], width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise MediaError(path, f"it has {width}x{height} pixels, the limit is {max_pixels} pixels")


def _check_range(path: str | os.PathLike[str], image: Image.Image) -> None:
    # Of PIL's 32-bit integers, those of a PGM file are scaled to 16 bits; those of a TIFF file can be anything.
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        kind = "floating point" if image.mode == "F" else "signed or 32-bit integers"
        raise MediaError(
            path, f"its values are {kind} without a known range, expected 8 or 16 bits per channel: scale it to those"
        )


def _load(path: str | os.PathLike[str], image: Image.Image) -> Image.Image:
    """Decode and close the file."""
    try:
        with image:
            image.load()
            return image.copy()
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: str | os.PathLike[str], error: Exception) -> MediaError:
    # PIL's decoders raise nearly every class of exception on damaged data, so that none can be named above.
    return MediaError(path, f"it is damaged: the picture cannot be decoded ({str(error) or type(error).__name__})")


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # damaged EXIF is no reason to refuse a good picture: it states no orientation
        return 1


def _to_rgb_image(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "I":  # 16 bits in a wider integer, as PIL opens PGM files
        return Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _first_video_frame(path: str | os.PathLike[str], max_pixels: int) -> Image.Image:
    with open_container(path) as container:
        stream = video_stream(path, container)
        decoder = stream.codec_context
        _check_size(path, decoder.width, decoder.height, max_pixels)
        clean = True
        for packet in container.demux(stream):
            try:
                frames = decoder.decode(packet)
            except (av.FFmpegError, ValueError):
                clean = False
                continue
            for frame in frames:
                # After damage only a key frame starts afresh; others are built upon what is broken.
                if not frame.is_corrupt and (clean or frame.key_frame):
                    return Image.fromarray(to_rgb(path, stream, frame))
    raise MediaError(path, "none of its frames can be decoded" if not clean else "its video stream has no frames")
