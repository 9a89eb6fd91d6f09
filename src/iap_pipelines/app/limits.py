"""What a visitor of the page may ask for."""

from dataclasses import dataclass

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
        max_waiting: visitors who wait; others are told to come back. One clip is made at a time.

    Raises:
        ValueError: for a bound that is not positive.
    """

    max_clip_seconds: float = 4.0
    max_steps: int = 50
    max_upload_megabytes: int = 20
    max_waiting: int = 8

    def __post_init__(self) -> None:
        for name, unit in (
            ("max_clip_seconds", "seconds"),
            ("max_steps", "steps"),
            ("max_upload_megabytes", "megabytes"),
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
