"""Mouth and beard. Coordinates as in `face`."""

import skia

from iap_pipelines.synthetic import drawing as d
from iap_pipelines.synthetic.drawing import Colour, Point
from iap_pipelines.synthetic.face import Head
from iap_pipelines.synthetic.people import LIP_COLOURS, Person


_LARGEST_OPENING = 0.17
"""Height of the gap between the lips at opening 1."""


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
    top = [(-half, y + 0.045), (-0.5 * half, y - 0.028 * size), (0, y - 0.018 * size)]
    top += [(0.5 * half, y - 0.028 * size), (half, y + 0.045)]
    bottom = [(0.45 * half, y + 0.022), (0, y + 0.012), (-0.45 * half, y + 0.022)]
    return d.smooth([head.place(u, v, 0.03) for u, v in top + bottom])
