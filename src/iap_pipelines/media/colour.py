"""How pixels are converted between RGB and the formats of video codecs."""

from av.video.reformatter import Interpolation


FAST_CONVERSION = Interpolation.BILINEAR
"""Ten times as fast, and a level or two of 255 off: for pictures that are only looked at."""

EXACT_CONVERSION = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP | Interpolation.FULL_CHR_H_INT
)
"""Flat colours come back as they went in. The default loses one or two of 255 in every round trip, and so does
accurate rounding without full chroma."""
