"""A head: its geometry under a pose, and everything on it except the hair.

Coordinates are head units: the face is about 1 high (skull -0.5, chin +0.5) around (0, 0), x right, y down.
"""

from dataclasses import dataclass
from math import cos, sin, sqrt

import skia

from iap_pipelines.synthetic import drawing as d
from iap_pipelines.synthetic.drawing import Colour, Point
from iap_pipelines.synthetic.people import GLASSES_COLOURS, IRIS_COLOURS, LIP_COLOURS, Person


_DEPTH = 0.36
"""How far the face stands out from the axis that it turns around."""

_LARGEST_OPENING = 0.17
"""Height of the gap between the lips at opening 1."""


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


def draw_eyes(canvas: skia.Canvas, head: Head) -> None:
    for side in (-1, 1):
        _draw_eye(canvas, head, side)
        _draw_brow(canvas, head, side)


def _draw_eye(canvas: skia.Canvas, head: Head, side: int) -> None:
    person, pose, skin = head.person, head.pose, head.person.skin_colour
    x, y = head.place(side * person.eye_spacing * head.half_width, person.eye_y, 0.01)
    half_width = person.eye_width * min(max(head.side_visibility(side), 0.55), 1.1)
    half_height = person.eye_height * 1.08
    slant = -side * person.eye_slant * half_width
    corner_left, corner_right = (x - half_width, y - slant), (x + half_width, y + slant)
    top = y - half_height * (1 - 1.75 * pose.blink)
    bottom = y + 0.8 * half_height
    lid_line = d.stroke(d.rgb("20140f"), 0.026 if person.kind == "woman" else 0.019)
    lid = skia.Path()
    lid.moveTo(*corner_left)
    lid.quadTo(x, 2 * top - y, *corner_right)
    if pose.blink < 0.85:
        white = skia.Path(lid)
        white.quadTo(x, 2 * bottom - y, *corner_left)
        white.close()
        canvas.drawPath(white, d.fill(d.rgb("fbfaf7")))
        canvas.save()
        canvas.clipPath(white, doAntiAlias=True)
        _draw_iris(canvas, head, (x + 0.3 * half_width * pose.gaze, y), half_height)
        canvas.restore()
        below = skia.Path()
        below.moveTo(*corner_left)
        below.quadTo(x, 2 * bottom - y, *corner_right)
        canvas.drawPath(below, d.stroke(d.darker(skin, 0.45), 0.009, alpha=0.7))
    canvas.drawPath(lid, lid_line)
    if person.kind == "woman":
        outer = corner_right if side > 0 else corner_left
        canvas.drawLine(*outer, outer[0] + side * 0.026, outer[1] - 0.022, d.stroke(d.rgb("20140f"), 0.016))


def _draw_iris(canvas: skia.Canvas, head: Head, centre: Point, half_height: float) -> None:
    x, y = centre
    radius = max(0.92 * half_height, 0.036)
    iris = IRIS_COLOURS[head.person.iris]
    canvas.drawCircle(x, y, radius, d.fill(d.darker(iris, 0.35)))
    canvas.drawCircle(x, y, 0.82 * radius, d.fill(iris))
    canvas.drawCircle(x, y, 0.48 * radius, d.fill(d.rgb("0b0808")))
    canvas.drawCircle(x + 0.3 * radius * head.light, y - 0.38 * radius, 0.26 * radius, d.fill(d.WHITE, alpha=0.95))


def _draw_brow(canvas: skia.Canvas, head: Head, side: int) -> None:
    person = head.person
    colour = d.darker(person.hair, 0.25) if d.luminance(person.hair) < 0.75 else d.darker(person.hair, 0.38)
    if person.hair_style == "bald":
        colour = d.rgb("3a2618")
    middle = person.eye_spacing * head.half_width
    y = person.eye_y - person.brow_gap - 0.03 * head.pose.brow_raise
    thickness, slant = person.brow_thickness, person.brow_slant
    inner, outer = middle - 0.085, middle + 0.105
    upper = [(inner, y + 0.08 * slant), (middle, y - 0.022 - thickness), (outer, y - 0.06 * slant + 0.008)]
    lower = [(middle, y - 0.008), (inner, y + 0.08 * slant + thickness)]
    canvas.drawPath(d.smooth([head.place(side * u, v) for u, v in (*upper, *lower)], tightness=0.8), d.fill(colour))


def draw_nose(canvas: skia.Canvas, head: Head) -> None:
    person, skin = head.person, head.person.skin_colour
    top, tip = person.eye_y + 0.015, person.eye_y + person.nose_length
    width = person.nose_width
    shade_side = -1 if head.light > 0 else 1
    if abs(head.turn) > 0.08:
        shade_side = 1 if head.turn > 0 else -1
    bridge = [
        head.place(shade_side * u, v, z)
        for u, v, z in ((0.03, top, 0.0), (0.03, 0.6 * tip, 0.03), (0.85 * width, tip, 0.0))
    ]
    canvas.drawPath(d.smooth(bridge, closed=False), d.stroke(d.darker(skin, 0.32), 0.02, alpha=0.55))
    under = [head.place(u, v, z) for u, v, z in ((-width, tip, 0.0), (-0.5 * width, tip + 0.026, 0.03), (0, tip + 0.03, 0.06),
                                                  (0.5 * width, tip + 0.026, 0.03), (width, tip, 0.0))]  # fmt: skip
    canvas.drawPath(d.smooth(under, closed=False), d.stroke(d.darker(skin, 0.45), 0.02, alpha=0.85))
    for side in (-1, 1):
        nostril = head.place(side * 0.48 * width, tip + 0.014, 0.03)
        canvas.drawPath(d.oval(nostril, 0.26 * width, 0.010), d.fill(d.darker(skin, 0.65), alpha=0.75))
    shine = head.place(0.01 * head.light, tip - 0.03, 0.07)
    canvas.drawCircle(*shine, 0.042, d.glow(shine, 0.042, d.lighter(skin, 0.7), alpha=0.6))


def draw_mouth(canvas: skia.Canvas, head: Head) -> None:
    """Lips, and behind them teeth, tongue and darkness, opened by `Pose.mouth_opening`."""
    person, pose = head.person, head.pose
    opening = min(max(pose.mouth_opening, 0.0), 1.0)
    half_width = person.mouth_width * (1 - 0.30 * max(pose.mouth_rounding, 0) + 0.12 * max(-pose.mouth_rounding, 0))
    half_width *= 1 - 0.12 * opening
    gap = _LARGEST_OPENING * opening
    corner = person.mouth_y + 0.3 * gap - 0.03 * pose.smile * (1 - 0.5 * opening)
    top, bottom, full = person.mouth_y - 0.12 * gap, person.mouth_y + 0.88 * gap, person.lip_fullness

    def curve(height: float, peak: float, share: float = 1.0) -> list[Point]:
        spread = (
            (-1, corner),
            (-0.5, 0.25 * corner + 0.75 * height - peak),
            (0, height),
            (0.5, 0.25 * corner + 0.75 * height - peak),
            (1, corner),
        )
        return [head.place(u * half_width * share, v, 0.02) for u, v in spread]

    lip = _lip_colour(person)
    outer = d.smooth(_ring(curve(top - full, 0.010), curve(bottom + 1.25 * full, -0.006)))
    canvas.drawPath(outer, d.fill(lip))
    lower = head.place(0, bottom + 0.7 * full, 0.03)
    canvas.drawPath(d.oval(lower, 0.45 * half_width, 0.35 * full), d.fill(d.lighter(lip, 0.45), alpha=0.55))
    inner_top, inner_bottom = curve(top, 0.002, 0.93), curve(bottom, -0.002, 0.93)
    if opening < 0.06:
        canvas.drawPath(d.smooth(inner_top, closed=False), d.stroke(d.darker(lip, 0.6), 0.018))
        return
    inside = d.smooth(_ring(inner_top, inner_bottom))
    canvas.drawPath(inside, d.fill(d.rgb("3a0d14")))
    canvas.save()
    canvas.clipPath(inside, doAntiAlias=True)
    tongue = head.place(0, bottom + 0.012, 0.0)
    canvas.drawPath(d.oval(tongue, 0.62 * half_width, 0.42 * gap), d.fill(d.rgb("c4525c")))
    left, right = head.place(-0.8 * half_width, top), head.place(0.8 * half_width, top)
    teeth = skia.Rect(left[0], left[1] - 0.03, right[0], left[1] + min(0.34 * gap, 0.045))
    canvas.drawRoundRect(teeth, 0.02, 0.02, d.fill(d.rgb("fdfbf4")))
    canvas.restore()
    canvas.drawPath(inside, d.stroke(d.darker(lip, 0.45), 0.008, alpha=0.8))


def _ring(upper: list[Point], lower: list[Point]) -> list[Point]:
    return [*upper, *lower[-2:0:-1]]


def _lip_colour(person: Person) -> Colour:
    if person.lipstick:
        return LIP_COLOURS[person.lip_colour]
    return d.mix(d.darker(person.skin_colour, 0.22), d.rgb("b8444c"), 0.42)


def draw_beard(canvas: skia.Canvas, head: Head) -> None:
    beard = head.person.beard
    if beard == "none":
        return
    colour = (
        d.rgb("3a2618")
        if head.person.hair_style == "bald" and head.person.hair_colour != "white"
        else head.person.hair
    )
    canvas.save()
    if beard == "stubble":
        canvas.clipPath(d.smooth(head.outline()), doAntiAlias=True)
        canvas.drawPath(_full_beard(head, 0.0), d.fill(d.darker(colour, 0.3), alpha=0.34, blur=0.015))
    elif beard == "beard":
        canvas.drawPath(_full_beard(head, 0.055), d.fill(d.darker(colour, 0.08)))
        canvas.drawPath(_moustache(head), d.fill(colour))
    elif beard == "goatee":
        chin = [
            head.place(u, v, 0.02)
            for u, v in ((-0.10, 0.36), (0, 0.345), (0.10, 0.36), (0.09, 0.46 + head.drop), (-0.09, 0.46 + head.drop))
        ]
        low = (chin[3][0] + chin[4][0]) / 2, head.chin_y + 0.08
        canvas.drawPath(d.smooth([*chin[:4], low, chin[4]]), d.fill(colour))
        canvas.drawPath(_moustache(head), d.fill(colour))
    else:
        canvas.drawPath(_moustache(head, 1.35), d.fill(d.darker(colour, 0.05)))
    canvas.restore()


def _full_beard(head: Head, beyond: float) -> skia.Path:
    """Jaw and chin down from the ears, with room for the mouth."""
    w = head.half_width
    outline = head.outline()
    left, right = outline[3], outline[-3]
    jaw_left, jaw_right = outline[2], outline[-2]
    chin_left, chin, chin_right = outline[1], outline[0], outline[-1]
    inner = [head.place(u, v) for u, v in ((0.78 * w, 0.17), (0.50 * w, 0.235), (0.20 * w, 0.225))]
    inner += [head.place(u, v) for u, v in ((-0.20 * w, 0.225), (-0.50 * w, 0.235), (-0.78 * w, 0.17))]
    outer = [
        (left[0] - 0.2 * beyond, left[1]),
        (jaw_left[0] - 0.7 * beyond, jaw_left[1] + 0.3 * beyond),
        (chin_left[0] - 0.6 * beyond, chin_left[1] + 1.1 * beyond),
        (chin[0], chin[1] + 1.5 * beyond),
        (chin_right[0] + 0.6 * beyond, chin_right[1] + 1.1 * beyond),
        (jaw_right[0] + 0.7 * beyond, jaw_right[1] + 0.3 * beyond),
        (right[0] + 0.2 * beyond, right[1]),
    ]
    return d.smooth([*outer, *inner], tightness=0.8)


def _moustache(head: Head, size: float = 1.0) -> skia.Path:
    y = head.person.mouth_y - 0.02 - head.person.lip_fullness - 0.018 * head.pose.mouth_opening
    half = 1.15 * head.person.mouth_width * (0.9 + 0.1 * size)
    points = [(-half, y + 0.045), (-0.5 * half, y - 0.028 * size), (0, y - 0.018 * size), (0.5 * half, y - 0.028 * size), (half, y + 0.045),
              (0.45 * half, y + 0.022), (0, y + 0.012), (-0.45 * half, y + 0.022)]  # fmt: skip
    return d.smooth([head.place(u, v, 0.03) for u, v in points])


def draw_glasses(canvas: skia.Canvas, head: Head) -> None:
    person = head.person
    if person.glasses == "none":
        return
    colour = GLASSES_COLOURS[person.glasses_colour]
    frame = d.stroke(colour, {"round": 0.030, "square": 0.038, "big": 0.045}[person.glasses])
    size = {"round": (0.122, 0.122), "square": (0.135, 0.095), "big": (0.158, 0.145)}[person.glasses]
    centres = {}
    for side in (-1, 1):
        x, y = head.place(side * 1.02 * person.eye_spacing * head.half_width, person.eye_y + 0.01, 0.05)
        half_width = size[0] * min(max(head.side_visibility(side), 0.6), 1.05)
        centres[side] = x, y, half_width
        box = skia.Rect(x - half_width, y - size[1], x + half_width, y + size[1])
        radius = {"round": 1.0, "square": 0.03, "big": 0.075}[person.glasses]
        canvas.drawRoundRect(box, radius, radius, d.fill(d.WHITE, alpha=0.13))
        canvas.drawRoundRect(box, radius, radius, frame)
        temple = (side * (head.half_width + 0.01) - 0.10 * head.turn, y - 0.01)
        canvas.drawLine(x + side * half_width, y - 0.02, *temple, frame)
    left, right = centres[-1], centres[1]
    bridge = [
        (left[0] + left[2], left[1]),
        ((left[0] + right[0]) / 2, left[1] - 0.02),
        (right[0] - right[2], right[1]),
    ]
    canvas.drawPath(d.smooth(bridge, closed=False), frame)
