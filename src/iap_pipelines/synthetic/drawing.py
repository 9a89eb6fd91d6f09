"""Vector drawing in plain numbers: colours, smooth paths and paints on a Skia canvas.

Colours are ``(red, green, blue)`` in [0, 1]. Points are ``(x, y)`` with x to the right and y down, in whatever unit
the canvas has been scaled to; nothing here knows pixels, so that a scene renders at any size.
"""

from collections.abc import Sequence

import numpy as np


try:
    import skia
except ImportError as error:  # pragma: no cover - depends on the installation
    raise ImportError(
        "The synthetic world is drawn with skia-python: pip install 'iap-pipelines[synthetic]'."
    ) from error


Colour = tuple[float, float, float]
Point = tuple[float, float]

WHITE: Colour = (1.0, 1.0, 1.0)
BLACK: Colour = (0.0, 0.0, 0.0)


def rgb(code: str) -> Colour:
    """Read ``"e8b48c"``."""
    return tuple(int(code[start : start + 2], 16) / 255 for start in (0, 2, 4))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Go from ``first`` (share 0) to ``second`` (share 1)."""
    return tuple(a + (b - a) * share for a, b in zip(first, second, strict=True))


def darker(colour: Colour, share: float) -> Colour:
    return mix(colour, BLACK, share)


def lighter(colour: Colour, share: float) -> Colour:
    return mix(colour, WHITE, share)


def luminance(colour: Colour) -> float:
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def _color4f(colour: Colour, alpha: float) -> skia.Color4f:
    return skia.Color4f(*(min(max(value, 0.0), 1.0) for value in colour), alpha)


def fill(colour: Colour, *, alpha: float = 1.0, blur: float = 0.0) -> skia.Paint:
    """A paint for areas; ``blur`` is the standard deviation of a soft edge in canvas units."""
    paint = skia.Paint(AntiAlias=True, Color4f=_color4f(colour, alpha))
    if blur:
        paint.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, blur))
    return paint


def stroke(colour: Colour, width: float, *, alpha: float = 1.0) -> skia.Paint:
    """A paint for lines with round ends."""
    paint = skia.Paint(AntiAlias=True, Color4f=_color4f(colour, alpha), StrokeWidth=width)
    paint.setStyle(skia.Paint.kStroke_Style)
    paint.setStrokeCap(skia.Paint.kRound_Cap)
    paint.setStrokeJoin(skia.Paint.kRound_Join)
    return paint


def gradient(
    start: Point, end: Point, colours: Sequence[Colour], *, alphas: Sequence[float] | None = None
) -> skia.Paint:
    """A paint that runs evenly through ``colours`` from ``start`` to ``end``."""
    codes = [_color4f(colour, alpha).toColor() for colour, alpha in _with_alpha(colours, alphas)]
    shader = skia.GradientShader.MakeLinear([skia.Point(*start), skia.Point(*end)], codes)
    return skia.Paint(AntiAlias=True, Shader=shader)


def glow(centre: Point, radius: float, colour: Colour, *, alpha: float) -> skia.Paint:
    """A paint that is ``colour`` in the centre and fades to nothing at ``radius``."""
    codes = [_color4f(colour, value).toColor() for value in (alpha, 0.55 * alpha, 0.0)]
    return skia.Paint(AntiAlias=True, Shader=skia.GradientShader.MakeRadial(skia.Point(*centre), radius, codes))


def _with_alpha(colours: Sequence[Colour], alphas: Sequence[float] | None) -> list[tuple[Colour, float]]:
    return list(zip(colours, alphas or [1.0] * len(colours), strict=True))


def smooth(points: Sequence[Point], *, closed: bool = True, tightness: float = 1.0) -> skia.Path:
    """Lay a smooth curve through points (a Catmull-Rom spline; ``tightness`` 0 gives straight lines)."""
    count = len(points)
    path = skia.Path()
    path.moveTo(*points[0])
    factor = tightness / 6
    for index in range(count if closed else count - 1):
        before, here, there, after = (_at(points, index + step, closed) for step in (-1, 0, 1, 2))
        path.cubicTo(
            here[0] + (there[0] - before[0]) * factor,
            here[1] + (there[1] - before[1]) * factor,
            there[0] - (after[0] - here[0]) * factor,
            there[1] - (after[1] - here[1]) * factor,
            *there,
        )
    if closed:
        path.close()
    return path


def _at(points: Sequence[Point], index: int, closed: bool) -> Point:
    count = len(points)
    return points[index % count] if closed else points[min(max(index, 0), count - 1)]


def polygon(points: Sequence[Point]) -> skia.Path:
    return smooth(points, tightness=0.0)


def oval(centre: Point, half_width: float, half_height: float) -> skia.Path:
    path = skia.Path()
    x, y = centre
    path.addOval(skia.Rect(x - half_width, y - half_height, x + half_width, y + half_height))
    return path


def new_canvas(height: int, width: int) -> tuple[np.ndarray, skia.Surface]:
    """Make a picture to draw on: RGBA uint8 ``[H, W, 4]`` and the surface that writes into it."""
    pixels = np.zeros((height, width, 4), dtype=np.uint8)
    return pixels, skia.Surface(pixels, colorType=skia.kRGBA_8888_ColorType)
