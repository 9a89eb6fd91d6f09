"""Eyes, brows, nose and glasses. Coordinates as in `face`."""

import skia

from iap_pipelines.synthetic import drawing as d
from iap_pipelines.synthetic.drawing import Point
from iap_pipelines.synthetic.face import Head
from iap_pipelines.synthetic.people import GLASSES_COLOURS, IRIS_COLOURS


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
    edge = ((-width, tip, 0.0), (-0.5 * width, tip + 0.026, 0.03), (0, tip + 0.03, 0.06))
    under = [head.place(u, v, z) for u, v, z in (*edge, (0.5 * width, tip + 0.026, 0.03), (width, tip, 0.0))]
    canvas.drawPath(d.smooth(under, closed=False), d.stroke(d.darker(skin, 0.45), 0.02, alpha=0.85))
    for side in (-1, 1):
        nostril = head.place(side * 0.48 * width, tip + 0.014, 0.03)
        canvas.drawPath(d.oval(nostril, 0.26 * width, 0.010), d.fill(d.darker(skin, 0.65), alpha=0.75))
    shine = head.place(0.01 * head.light, tip - 0.03, 0.07)
    canvas.drawCircle(*shine, 0.042, d.glow(shine, 0.042, d.lighter(skin, 0.7), alpha=0.6))


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
