"""Small pictures and sounds that travel inside of the page."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from iap_pipelines.media import MediaError, iterate_frames


THUMBNAIL_ROWS = 108


def frame_url(file: Path, seconds: float) -> str | None:
    """The picture of a video at a time, as a data URL; ``None`` when it cannot be read."""
    try:
        _, picture = next(iterate_frames(file, start_seconds=seconds, short_side=2 * THUMBNAIL_ROWS), (None, None))
        if picture is None:
            _, picture = next(iterate_frames(file, short_side=2 * THUMBNAIL_ROWS))
    except (MediaError, StopIteration):
        return None
    return picture_url(Image.fromarray(np.ascontiguousarray(picture)))


def file_url(path: Path) -> str | None:
    """A picture file as a data URL, made small; ``None`` when there is none."""
    if not path.is_file():
        return None
    with Image.open(path) as image:
        return picture_url(image.convert("RGB"))


def picture_url(image: Image.Image) -> str:
    image.thumbnail((4 * THUMBNAIL_ROWS, THUMBNAIL_ROWS))
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def sound_url(path: Path) -> str | None:
    """A FLAC file as a data URL; ``None`` when there is none."""
    if not path.is_file():
        return None
    return f"data:audio/flac;base64,{base64.b64encode(path.read_bytes()).decode()}"
