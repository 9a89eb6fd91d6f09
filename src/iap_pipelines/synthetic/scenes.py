"""Backgrounds, light, and where people stand in the picture."""

from dataclasses import dataclass

import skia

from iap_pipelines.synthetic import drawing as d
from iap_pipelines.synthetic.drawing import Colour, rgb


SCENES: dict[str, tuple[Colour, Colour]] = {
    # Wall above and below.
    "green room": (rgb("8fc79a"), rgb("5f9c72")),
    "blue room": (rgb("8db8e0"), rgb("5c86b8")),
    "yellow room": (rgb("f2dc95"), rgb("d9b45e")),
    "pink room": (rgb("f0bccb"), rgb("d68fa6")),
    "grey studio": (rgb("c4c7cc"), rgb("84888f")),
    "beach": (rgb("a8dcf2"), rgb("ecd9a4")),
    "forest": (rgb("b6dba0"), rgb("4c7a45")),
    "night street": (rgb("232a4c"), rgb("3b3354")),
}

SIDES: dict[int, tuple[str, ...]] = {1: ("center",), 2: ("left", "right"), 3: ("left", "middle", "right")}
"""Names of the places, from left to right, by number of people."""


@dataclass(frozen=True)
class Place:
    """Where a head is: centre and face height in pixels."""

    x: float
    y: float
    size: float


def place(position: int, num_people: int, height: int, width: int, *, shift: tuple[float, float, float]) -> Place:
    """Find a place in the picture.

    Args:
        position: counted from the left, from 0.
        num_people: how many share the picture, 1 to 3.
        height: of the picture in pixels.
        width: of the picture in pixels.
        shift: sideways, downward (in face heights) and relative size change, all around 0.
    """
    column = width / num_people
    size = min(0.60 * height, 0.86 * column) * (1 + shift[2])
    return Place((position + 0.5) * column + shift[0] * size, 0.49 * height + shift[1] * size, size)


def face_region(position: int, num_people: int, height: int, width: int) -> tuple[int, int, int, int]:
    """
    Where the head of the person at a place is to be found in a picture, with hair, without the neighbours.

    Heads stray by about a twentieth of their height from the middle of it (`place`).

    Args:
        position: counted from the left, from 0.
        num_people: how many share the picture, 1 to 3.
        height: of the picture in pixels.
        width: of the picture in pixels.

    Returns:
        Left, top, right, bottom in pixels, inside the picture.

    >>> face_region(1, 2, 96, 128)
    (64, 6, 128, 88)
    """
    where = place(position, num_people, height, width, shift=(0.0, 0.0, 0.0))
    half_width, half_height = 0.58 * where.size, 0.75 * where.size
    edges = (where.x - half_width, where.y - half_height, where.x + half_width, where.y + half_height)
    left, top, right, bottom = (round(edge) for edge in edges)
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)


def draw_scene(canvas: skia.Canvas, scene: str, height: int, width: int) -> None:
    """Paint the background of a picture of ``height`` by ``width`` pixels."""
    top, bottom = SCENES[scene]
    canvas.save()
    canvas.scale(height, height)
    ratio = width / height
    everything = skia.Rect(0, 0, ratio, 1)
    canvas.drawRect(everything, d.gradient((0, 0), (0, 1), [d.lighter(top, 0.08), top, bottom]))
    if scene == "beach":
        _draw_beach(canvas, ratio)
    elif scene == "forest":
        _draw_forest(canvas, ratio)
    elif scene == "night street":
        _draw_street(canvas, ratio)
    elif scene != "grey studio":
        _draw_room(canvas, ratio, bottom)
    canvas.restore()


def _draw_room(canvas: skia.Canvas, ratio: float, wall: Colour) -> None:
    """A window on one side and a picture on the other."""
    frame, glass = d.fill(d.lighter(wall, 0.65)), d.fill(rgb("cfe8f7"))
    canvas.drawRect(skia.Rect(0.03, 0.08, 0.25, 0.46), frame)
    canvas.drawRect(skia.Rect(0.05, 0.10, 0.23, 0.44), glass)
    canvas.drawRect(skia.Rect(0.13, 0.10, 0.15, 0.44), frame)
    canvas.drawRect(skia.Rect(ratio - 0.22, 0.14, ratio - 0.05, 0.36), d.fill(d.darker(wall, 0.4)))
    canvas.drawRect(skia.Rect(ratio - 0.20, 0.16, ratio - 0.07, 0.34), d.fill(d.lighter(wall, 0.35)))


def _draw_beach(canvas: skia.Canvas, ratio: float) -> None:
    canvas.drawCircle(ratio - 0.16, 0.15, 0.08, d.fill(rgb("fff0a0")))
    canvas.drawRect(skia.Rect(0, 0.50, ratio, 0.74), d.fill(rgb("4fa6cf")))
    canvas.drawRect(skia.Rect(0, 0.72, ratio, 0.76), d.fill(rgb("dff2f7")))
    canvas.drawRect(skia.Rect(0, 0.75, ratio, 1), d.fill(rgb("ecd9a4")))


def _draw_forest(canvas: skia.Canvas, ratio: float) -> None:
    for index, x in enumerate((0.08, 0.24, 0.78, 0.93, 1.12, 1.3, 1.5)):
        if x < ratio:
            canvas.drawRect(skia.Rect(x - 0.02, 0.4, x + 0.02, 1), d.fill(rgb("5d4029")))
            shade = rgb("3c7a3c") if index % 2 else rgb("57994d")
            canvas.drawPath(
                d.polygon([(x - 0.14, 0.62), (x, 0.06 + 0.05 * (index % 2)), (x + 0.14, 0.62)]), d.fill(shade)
            )


def _draw_street(canvas: skia.Canvas, ratio: float) -> None:
    for index, x in enumerate((0.0, 0.2, 0.78, 0.95, 1.15, 1.35, 1.55)):
        if x < ratio:
            top = 0.22 + 0.09 * (index % 3)
            canvas.drawRect(skia.Rect(x, top, x + 0.17, 1), d.fill(rgb("171b34")))
            for row in range(4):
                for column in range(2):
                    light = rgb("ffd873") if (index + row + column) % 3 else rgb("2b3158")
                    left = x + 0.03 + 0.07 * column
                    canvas.drawRect(
                        skia.Rect(left, top + 0.05 + 0.13 * row, left + 0.04, top + 0.11 + 0.13 * row), d.fill(light)
                    )


def draw_light(canvas: skia.Canvas, height: int, width: int, *, warmth: float, brightness: float) -> None:
    """Tint the finished picture.

    Args:
        warmth: -1 (bluish) to 1 (orange).
        brightness: -1 (dim) to 1 (bright).
    """
    tint = d.mix(d.WHITE, rgb("ffb066") if warmth > 0 else rgb("84a8ff"), 0.28 * abs(warmth))
    _blend(canvas, height, width, tint, skia.BlendMode.kMultiply)
    if brightness > 0:
        _blend(canvas, height, width, d.darker(d.WHITE, 1 - 0.10 * brightness), skia.BlendMode.kColorDodge)
    else:
        _blend(canvas, height, width, d.darker(d.WHITE, -0.16 * brightness), skia.BlendMode.kMultiply)


def _blend(canvas: skia.Canvas, height: int, width: int, colour: Colour, mode: skia.BlendMode) -> None:
    paint = d.fill(colour)
    paint.setBlendMode(mode)
    canvas.drawRect(skia.Rect(0, 0, width, height), paint)
