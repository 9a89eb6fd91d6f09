"""What a visitor of the page may ask for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from iap_pipelines.media import MediaError, read_audio, read_image
from iap_pipelines.types import check_positive


MAX_PEOPLE = 3
MAX_LINES = 4
"""Rows of the caption editor."""


@dataclass(frozen=True, kw_only=True)
class AppLimits:
    """Bounds on what one visitor costs.

    Args:
        max_clip_seconds: length of a clip.
        max_steps: denoising steps.
        max_upload_megabytes: size of each file.
        max_pictures: pictures of one face.
        max_picture_megapixels: size of each picture, in millions of pixels; larger ones are not decoded.
        max_voice_seconds: length of a recording; no more of it is decoded.
        max_waiting: visitors who wait; others are told to come back. One clip is made at a time.

    Raises:
        ValueError: for a bound that is not positive.
    """

    max_clip_seconds: float = 4.0
    max_steps: int = 50
    max_upload_megabytes: int = 20
    max_pictures: int = 8
    max_picture_megapixels: float = 50.0
    max_voice_seconds: float = 60.0
    max_waiting: int = 8

    def __post_init__(self) -> None:
        for name, unit in (
            ("max_clip_seconds", "seconds"),
            ("max_steps", "steps"),
            ("max_upload_megabytes", "megabytes"),
            ("max_pictures", "pictures"),
            ("max_picture_megapixels", "megapixels"),
            ("max_voice_seconds", "seconds"),
            ("max_waiting", "visitors"),
        ):
            check_positive(name, getattr(self, name), unit)

    def check_steps(self, num_steps: int) -> None:
        """Raise a ``ValueError`` for more steps than are allowed."""
        if not 1 <= num_steps <= self.max_steps:
            raise ValueError(f"The number of steps must lie in 1..{self.max_steps}, but got {num_steps}.")

    def check_length(self, num_frames: int, frame_rate: float) -> None:
        """Raise a ``ValueError`` for a longer clip than is allowed."""
        if num_frames / frame_rate > self.max_clip_seconds:
            raise ValueError(
                f"The clip must be at most {self.max_clip_seconds:g} s long, but {num_frames} frames at "
                f"{frame_rate:g} frames per second are {num_frames / frame_rate:.3g} s."
            )

    def read_pictures(self, paths: Sequence[str]) -> Iterator[Image.Image]:
        """Read pictures of one face, one by one; raise a ``ValueError`` for too many, or one that cannot be used."""
        if len(paths) > self.max_pictures:
            raise ValueError(f"The limit of pictures of one face is {self.max_pictures}, but got {len(paths)}.")
        for path in paths:
            yield read_image(path, max_pixels=round(1_000_000 * self.max_picture_megapixels))

    def check_voice(self, path: str) -> None:
        """Raise a ``MediaError`` for a recording that is too long or cannot be used."""
        # A little more than is allowed, which tells a longer one.
        voice = read_audio(path, max_seconds=self.max_voice_seconds + 0.1)
        if voice.duration_seconds > self.max_voice_seconds:
            raise MediaError(path, f"it is longer than {self.max_voice_seconds:g} s: a few seconds of speech will do")
