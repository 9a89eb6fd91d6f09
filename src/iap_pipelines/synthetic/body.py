"""Neck, shoulders and clothes, which a person changes from clip to clip. Coordinates as in `face`."""

from dataclasses import dataclass

import numpy as np
import skia

from iap_pipelines.synthetic import drawing as d
from iap_pipelines.synthetic.drawing import Colour
from iap_pipelines.synthetic.face import Head


CLOTHES_COLOURS = tuple(
    d.rgb(code)
    for code in "d23b3b 2f6fc4 2f9a5c f0b429 7a4fb5 22262e f1f1ee e67a2e 2aa6a6 8a8f98 e48fb0 5c4636".split()
)
CLOTHES_CUTS = ("round", "deep", "collar", "hood", "stripes", "high")


@dataclass(frozen=True)
class Clothes:
    colour: int
    """Index into `CLOTHES_COLOURS`."""
    second_colour: int
    cut: str
    """One of `CLOTHES_CUTS`."""


def draw_clothes(generator: np.random.Generator) -> Clothes:
    """Pick what somebody wears."""
    first, second = generator.choice(len(CLOTHES_COLOURS), 2, replace=False)
    return Clothes(int(first), int(second), str(generator.choice(CLOTHES_CUTS)))


def draw_shoulders(canvas: skia.Canvas, head: Head, clothes: Clothes) -> None:
    """Everything below the neck that hair can fall on."""
    colour = CLOTHES_COLOURS[clothes.colour]
    width = 0.64 if head.person.kind == "woman" else 0.74
    right = [(0.20, 0.60), (0.42, 0.68), (width - 0.05, 0.78), (width + 0.04, 0.98), (width + 0.08, 1.7)]
    body = d.smooth([*right, *((-x, y) for x, y in reversed(right))], tightness=0.8)
    canvas.drawPath(body, d.gradient((-width, 0), (width, 0), _lit(colour, head.light)))
    canvas.save()
    canvas.clipPath(body, doAntiAlias=True)
    if clothes.cut == "stripes":
        for row in range(6):
            canvas.drawRect(
                skia.Rect(-1, 0.76 + 0.17 * row, 1, 0.84 + 0.17 * row), d.fill(CLOTHES_COLOURS[clothes.second_colour])
            )
    for side in (-1, 1):
        fold = d.smooth(
            [(side * (width - 0.16), 1.02), (side * (width - 0.14), 1.3), (side * (width - 0.15), 1.7)], closed=False
        )
        canvas.drawPath(fold, d.stroke(d.darker(colour, 0.35), 0.02, alpha=0.6))
    canvas.restore()


def _lit(colour: Colour, light: float) -> list[Colour]:
    return [d.darker(colour, 0.18 + 0.1 * light), colour, d.darker(colour, 0.18 - 0.1 * light)]


def draw_neck(canvas: skia.Canvas, head: Head, clothes: Clothes) -> None:
    """The neck, what the neckline leaves free, and the collar."""
    skin = d.darker(head.person.skin_colour, 0.06)
    half = 0.155 if head.person.kind == "woman" else 0.195
    depth = {"round": 0.76, "deep": 0.92, "collar": 0.84, "hood": 0.76, "stripes": 0.76, "high": 0.66}[clothes.cut]
    neck = [(half, 0.30), (half, 0.52), (half + 0.03, 0.60), (half + 0.09, 0.655)]
    middle = (
        [(0.12, depth - 0.03), (0, depth)] if clothes.cut != "deep" and clothes.cut != "collar" else [(0.0, depth)]
    )
    left = [(-x, y) for x, y in reversed(neck)]
    points = [*neck, *middle, *((-x, y) for x, y in reversed(middle[:-1])), *left]
    shape = d.smooth(points, tightness=0.5)
    canvas.drawPath(shape, d.fill(skin))
    canvas.save()
    canvas.clipPath(shape, doAntiAlias=True)
    shadow = d.smooth([(x * 0.92 + 0.02 * head.turn, y + 0.085) for x, y in head.outline()])
    canvas.drawPath(shadow, d.fill(d.darker(skin, 0.55), alpha=0.55))
    canvas.restore()
    _draw_collar(canvas, clothes, half, depth)


def _draw_collar(canvas: skia.Canvas, clothes: Clothes, half: float, depth: float) -> None:
    colour, second = CLOTHES_COLOURS[clothes.colour], CLOTHES_COLOURS[clothes.second_colour]
    trim = d.stroke(d.darker(colour, 0.28), 0.03)
    if clothes.cut == "collar":
        for side in (-1, 1):
            flap = d.polygon(
                [(side * (half + 0.02), 0.58), (side * (half + 0.16), 0.68), (side * 0.20, 0.90), (0, depth)]
            )
            canvas.drawPath(flap, d.fill(d.lighter(colour, 0.22)))
            canvas.drawPath(flap, d.stroke(d.darker(colour, 0.3), 0.012))
    elif clothes.cut == "hood":
        for side in (-1, 1):
            edge = [
                (side * (half + 0.01), 0.54),
                (side * (half + 0.14), 0.60),
                (side * 0.24, 0.80),
                (0, depth + 0.05),
                (side * 0.14, 0.70),
            ]
            canvas.drawPath(d.smooth(edge, tightness=0.7), d.fill(d.darker(colour, 0.2)))
            canvas.drawLine(side * 0.07, depth + 0.04, side * 0.09, depth + 0.24, d.stroke(second, 0.024))
    elif clothes.cut == "high":
        band = skia.Rect(-half - 0.045, 0.52, half + 0.045, 0.68)
        canvas.drawRoundRect(band, 0.05, 0.05, d.fill(d.darker(colour, 0.14)))
    else:
        line = [(half + 0.09, 0.655), (0.12 if clothes.cut != "deep" else 0.08, depth - 0.03), (0, depth)]
        full = [*line, *((-x, y) for x, y in reversed(line[:-1]))]
        canvas.drawPath(d.smooth(full, closed=False, tightness=0.6), trim)
