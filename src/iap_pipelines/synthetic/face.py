"""A head: its geometry under a pose, its skin and its ears.

Coordinates are head units: the face is about 1 high (skull -0.5, chin +0.5) around (0, 0), x right, y down.
"""

from dataclasses import dataclass
from math import cos, sin, sqrt

import skia

from iap_pipelines.synthetic import drawing as d
from iap_pipelines.synthetic.drawing import Colour, Point
from iap_pipelines.synthetic.people import Person


_DEPTH = 0.36
"""How far the face stands out from the axis that it turns around."""


@dataclass(frozen=True)
class Pose:
    """What a head does in one frame. Angles in radians."""

    yaw: float = 0.0
    """Positive looks to the right of the picture."""
    pitch: float = 0.0
    """Positive looks down."""
    tilt: float = 0.0
    """Positive leans to the right of the picture."""
    blink: float = 0.0
    """0 open to 1 shut."""
    gaze: float = 0.0
    """-1 left to 1 right."""
    brow_raise: float = 0.0
    mouth_opening: float = 0.0
    """0 closed to 1 wide open."""
    mouth_rounding: float = 0.0
    """-1 spread (as in "see") to 1 round (as in "moon")."""
    smile: float = 0.6


class Head:
    """Where the parts of one person's head are under one pose."""

    def __init__(self, person: Person, pose: Pose, light: float = 0.3) -> None:
        """Args: light: where the light comes from, -1 (left of the picture) to 1 (right)."""
        self.person, self.pose, self.light = person, pose, light
        self.half_width = person.half_width
        self.turn = sin(pose.yaw)
        self._cos_yaw, self._cos_pitch, self._sin_pitch = cos(pose.yaw), cos(pose.pitch), sin(pose.pitch)
        self.drop = 0.05 * pose.mouth_opening
        self.chin_y = person.chin_length + self.drop

    def place(self, u: float, v: float, lift: float = 0.0) -> Point:
        """Project a point of the face's surface; ``lift`` is its height over the skin."""
        bulge = 1 - 0.85 * (u / self.half_width) ** 2 - 0.9 * (v / 0.6) ** 2
        z = _DEPTH * sqrt(max(bulge, 0.02)) + lift
        return u * self._cos_yaw + z * self.turn, v * self._cos_pitch + z * self._sin_pitch

    def outline(self) -> list[Point]:
        """The head from the chin up the left side, over the skull and down again."""
        person, w = self.person, self.half_width
        side = [
            (person.chin * w, self.chin_y - 0.025),
            (person.jaw * w, 0.31 + 0.6 * self.drop),
            (0.97 * w, 0.10),
            (0.985 * w, -0.12),
            (0.86 * w, -0.32),
            (0.50 * w, -0.465),
        ]
        left = [(-x, y) for x, y in side]
        points = [(0.0, self.chin_y), *left, (0.0, -0.505), *reversed(side)]
        return [
            (x + 0.16 * self.turn * max(y + 0.15, -0.05), y + 0.10 * self._sin_pitch * (y + 0.4)) for x, y in points
        ]

    def side_visibility(self, side: int) -> float:
        """How much of the left (-1) or right (1) half is in view: 1 in front, smaller on the far side."""
        return self._cos_yaw - 0.55 * side * self.turn


def draw_ears(canvas: skia.Canvas, head: Head) -> None:
    person, skin = head.person, head.person.skin_colour
    for side in (-1, 1):
        size = 0.085 * person.ear_size
        x = side * (head.half_width + 0.012 * size / 0.085) - 0.13 * head.turn
        centre = (x, 0.02)
        canvas.drawPath(d.oval(centre, 0.62 * size, 1.25 * size), d.fill(d.darker(skin, 0.08)))
        canvas.drawPath(
            d.oval((x + side * 0.006, 0.025), 0.30 * size, 0.75 * size), d.fill(d.darker(skin, 0.30), alpha=0.55)
        )
        if person.earrings:
            canvas.drawPath(d.oval((x + side * 0.006, 0.165), 0.034, 0.048), d.fill(d.rgb("f3c431")))
            canvas.drawPath(d.oval((x - 0.004, 0.152), 0.012, 0.016), d.fill(d.WHITE, alpha=0.8))


def draw_skin(canvas: skia.Canvas, head: Head) -> None:
    """The head itself with its light, shade, cheeks, freckles and wrinkles."""
    person, skin = head.person, head.person.skin_colour
    path = d.smooth(head.outline())
    lit = 0.5 * head.light
    edge = head.half_width
    shades = [d.darker(skin, 0.10 + 0.12 * lit), d.lighter(skin, 0.06), d.darker(skin, 0.10 - 0.12 * lit)]
    canvas.drawPath(path, d.gradient((-edge, 0), (edge, 0), shades))
    canvas.save()
    canvas.clipPath(path, doAntiAlias=True)
    _shade_skin(canvas, head, skin)
    if person.freckles:
        _draw_freckles(canvas, head)
    if person.wrinkles:
        _draw_wrinkles(canvas, head)
    canvas.restore()


def _shade_skin(canvas: skia.Canvas, head: Head, skin: Colour) -> None:
    chin_shadow = d.gradient((0, 0.18), (0, 0.52), [d.darker(skin, 0.3)] * 2, alphas=[0.0, 0.5])
    canvas.drawRect(skia.Rect(-1, 0.18, 1, 0.7), chin_shadow)
    blush = d.mix(skin, d.rgb("e0483c"), 0.5)
    for side in (-1, 1):
        centre = head.place(side * 0.62 * head.half_width, 0.15)
        canvas.drawCircle(*centre, 0.15, d.glow(centre, 0.15, blush, alpha=0.5))
    forehead = head.place(0.12 * head.light, -0.22)
    canvas.drawCircle(*forehead, 0.3, d.glow(forehead, 0.3, d.lighter(skin, 0.5), alpha=0.35))
    for side in (-1, 1):
        socket = head.place(side * head.person.eye_spacing * head.half_width, head.person.eye_y - 0.02)
        canvas.drawCircle(*socket, 0.13, d.glow(socket, 0.13, d.darker(skin, 0.4), alpha=0.35))


def _draw_freckles(canvas: skia.Canvas, head: Head) -> None:
    paint = d.fill(d.rgb("9a5528"), alpha=0.6)
    for side in (-1, 1):
        for u, v in ((0.34, 0.10), (0.48, 0.07), (0.62, 0.11), (0.42, 0.16), (0.56, 0.17), (0.70, 0.06)):
            canvas.drawCircle(*head.place(side * u * head.half_width, v), 0.011, paint)


def _draw_wrinkles(canvas: skia.Canvas, head: Head) -> None:
    paint = d.stroke(d.darker(head.person.skin_colour, 0.45), 0.011, alpha=0.55)
    for v in (-0.24, -0.29):
        line = [head.place(u, v + 0.04 * u * u) for u in (-0.15, 0.0, 0.15)]
        canvas.drawPath(d.smooth(line, closed=False), paint)
    for side in (-1, 1):
        fold = [head.place(side * u, v) for u, v in ((0.085, 0.16), (0.135, 0.22), (0.155, 0.29))]
        canvas.drawPath(d.smooth(fold, closed=False), paint)
