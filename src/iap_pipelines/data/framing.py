"""Pictures brought to a size of training: scaled to fill it, cut around the people."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def choose_size(aspect_ratio: float, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The height and width whose shape is nearest to `aspect_ratio`, height over width; the first of equal ones.

    >>> choose_size(9 / 16, [(96, 96), (96, 128)])
    (96, 128)
    """
    ratios = torch.tensor([height / width for height, width in sizes], dtype=torch.float64)
    return sizes[int((ratios.log() - torch.tensor(aspect_ratio, dtype=torch.float64).log()).abs().argmin())]


def frame_people(frames: Tensor, boxes: Sequence[Sequence[float]], size: tuple[int, int]) -> Tensor:
    """Scale pictures so that they fill a size, and cut what is too much as far from the faces as possible.

    Args:
        frames: uint8 `[F, H, W, 3]`.
        boxes: left, top, right, bottom of faces, as shares of width and height; empty takes the middle.
        size: height and width of the result, in pixels.

    Returns:
        uint8 `[F, height, width, 3]`.
    """
    height, width = size
    scale = max(height / frames.shape[1], width / frames.shape[2])
    scaled_height, scaled_width = (
        max(round(side * scale), least) for side, least in zip(frames.shape[1:3], size, strict=True)
    )
    pictures = frames.permute(0, 3, 1, 2).float()
    pictures = interpolate(pictures, (scaled_height, scaled_width), mode="bilinear", antialias=True)
    left, top, right, bottom = _around(boxes)
    first_row = _first((top + bottom) / 2, scaled_height, height)
    first_column = _first((left + right) / 2, scaled_width, width)
    cut = pictures[:, :, first_row : first_row + height, first_column : first_column + width]
    return cut.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _around(boxes: Sequence[Sequence[float]]) -> tuple[float, float, float, float]:
    """The box around all boxes."""
    if not boxes:
        return 0.0, 0.0, 1.0, 1.0
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def _first(middle: float, full: int, kept: int) -> int:
    """Where to begin to keep `kept` of `full` pixels around a middle given as a share."""
    return min(max(round(middle * full - kept / 2), 0), full - kept)
