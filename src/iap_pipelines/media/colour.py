"""How pixels are converted between RGB and the formats of video codecs."""

from typing import NamedTuple

import numpy as np
from av.video.reformatter import Interpolation


FAST_CONVERSION = Interpolation.BILINEAR
"""Ten times as fast, and a level or two of 255 off: for pictures that are only looked at."""

_EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP | Interpolation.FULL_CHR_H_INT

EXACT_CONVERSION = Interpolation.BICUBIC | _EXACT
"""Flat colours come back as they went in. The default loses one or two of 255 in every round trip, and so does
accurate rounding without full chroma."""

SMALLER = Interpolation.AREA | _EXACT
"""For pictures that become smaller. Without full chroma they are two levels too dark at some widths; it costs nothing
here."""

PLANE_MATRICES = (1, 5, 6)
"""BT.709 and the two names of BT.601, by their numbers in H.264: what every player knows."""


class Planes(NamedTuple):
    """A picture as video files hold it, with limited range.

    Args:
        pixels: brightness ``[H, W]``, and below it both colours at half the size (4:2:0), uint8 ``[3H/2, W]``.
        matrix: how they were made from RGB, one of `PLANE_MATRICES`.
    """

    pixels: np.ndarray
    matrix: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and 3: that of the same picture in RGB."""
        return self.pixels.shape[0] * 2 // 3, self.pixels.shape[1], 3
