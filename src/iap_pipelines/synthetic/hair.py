"""Hair: what hangs behind the head, and what frames the face. Coordinates as in `face`."""

from math import cos, pi, sin

import skia

from iap_pipelines.synthetic import drawing as d
from iap_pipelines.synthetic.drawing import Point
from iap_pipelines.synthetic.face import Head


_LONG_STYLES = ("long", "wavy", "bob", "braided")


def draw_back_hair(canvas: skia.Canvas, head: Head) -> None:
    """Everything behind the head and the neck."""
    style = head.person.hair_style
    base = d.fill(d.darker(head.person.hair, 0.22))
    if style == "long":
        canvas.drawPath(d.smooth(_curtain(head, 0.92 + 0.12 * head.person.volume, 0.10)), base)
    elif style == "wavy":
        canvas.drawPath(d.smooth(_waves(head)), base)
    elif style == "bob":
        canvas.drawPath(d.smooth(_curtain(head, 0.40, 0.13)), base)
    elif style in ("curly", "afro"):
        _draw_curls(canvas, head, base)
    elif style == "ponytail":
        _draw_ponytail(canvas, head, base)
    elif style == "bun":
        centre = (-0.12 * head.turn, -0.62)
        canvas.drawPath(d.oval(centre, 0.20, 0.17), base)
        canvas.drawPath(d.oval((centre[0], centre[1] - 0.02), 0.13, 0.09), d.fill(head.person.hair))
    elif style == "double bun":
        for side in (-1, 1):
            centre = (side * 0.33 - 0.1 * head.turn, -0.50)
            canvas.drawCircle(*centre, 0.165, base)
            canvas.drawCircle(centre[0], centre[1] - 0.02, 0.11, d.fill(head.person.hair))


def draw_front_hair(canvas: skia.Canvas, head: Head) -> None:
    """The cap of hair over the skull, its fringe, and locks beside the face."""
    style = head.person.hair_style
    if style == "bald":
        return
    if style == "shaved":
        canvas.drawPath(_cap(head, 0.0, _hairline(head)), d.fill(head.person.hair, alpha=0.72))
        return
    if style == "mohawk":
        _draw_mohawk(canvas, head)
        return
    cap = _front_shape(head)
    _draw_shadow(canvas, head, cap)
    canvas.drawPath(cap, _hair_paint(head))
    if style in ("curly", "afro"):
        _draw_curly_fringe(canvas, head)
    if style in _LONG_STYLES:
        _draw_locks(canvas, head)
    if style == "braided":
        _draw_braids(canvas, head)
    _draw_shine(canvas, head, cap)


def _front_shape(head: Head) -> skia.Path:
    if head.person.hair_style == "spiky":
        return _spikes(head)
    if head.person.hair_style == "flat":
        return _flat_top(head)
    return _cap(head, _rise(head), _hairline(head))


def _hair_paint(head: Head) -> skia.Paint:
    hair = head.person.hair
    return d.gradient((-0.4, -0.55), (0.4, 0.1), [d.lighter(hair, 0.10), hair, d.darker(hair, 0.18)])


def _rise(head: Head) -> float:
    """How far hair stands over the skull."""
    base = {"combed": 0.085, "receding": 0.02, "bun": 0.03, "ponytail": 0.035, "double bun": 0.03}
    return base.get(head.person.hair_style, 0.055) + 0.025 * head.person.volume


def _skull(head: Head, rise: float, count: int = 9) -> list[Point]:
    """Outer contour from the left ear over the top to the right ear."""
    points = []
    for step in range(count):
        angle = pi * (1 - step / (count - 1))
        side = head.half_width + 0.015 + 0.55 * rise
        points.append((side * cos(angle) - 0.05 * head.turn, -0.06 - (0.445 + rise) * sin(angle)))
    return points


def _hairline(head: Head) -> list[Point]:
    """Inner contour from the right temple over the forehead to the left temple."""
    w, fringe = head.half_width, head.person.fringe
    low = 0.06 if head.person.kind == "man" else 0.02
    if head.person.hair_style == "receding":
        line = [(0.97, low), (0.93, -0.18), (0.72, -0.36), (0.50, -0.44), (0.22, -0.40), (0, -0.355)]
    elif fringe == "straight":
        line = [(0.985, low), (0.93, -0.06), (0.88, -0.145), (0.45, -0.158), (0, -0.165)]
    elif fringe == "middle":
        line = [(0.985, low), (0.95, -0.05), (0.82, -0.16), (0.42, -0.28), (0, -0.40)]
    elif fringe in ("left", "right"):
        long_side = [(0.985, low), (0.93, -0.07), (0.74, -0.15), (0.30, -0.21), (-0.15, -0.31), (-0.42, -0.40)]
        short_side = [(-0.70, -0.27), (-0.90, -0.14), (-0.985, low)]
        full = [*long_side, *short_side]
        line = full if fringe == "left" else [(-u, v) for u, v in reversed(full)]
        return [head.place(u * w, v, 0.02) for u, v in line]
    else:
        line = [(0.985, low), (0.93, -0.14), (0.74, -0.26), (0.38, -0.325), (0, -0.335)]
    return [head.place(u * w, v, 0.02) for u, v in [*line, *((-u, v) for u, v in reversed(line[:-1]))]]


def _cap(head: Head, rise: float, hairline: list[Point]) -> skia.Path:
    outer = _skull(head, rise)
    outer = [(outer[0][0], hairline[-1][1]), *outer, (outer[-1][0], hairline[0][1])]
    return d.smooth([*outer, *hairline], tightness=0.9)


def _flat_top(head: Head) -> skia.Path:
    """A box of hair, wider above than at the ears."""
    w, top, shift = head.half_width, -0.63 - 0.06 * head.person.volume, -0.03 * head.turn
    right = [(w + 0.075, top + 0.03), (w + 0.055, -0.25), (w + 0.02, 0.02)]
    outer = [(-x + shift, y) for x, y in reversed(right)] + [(0.45 * w + shift, top), (w + 0.03 + shift, top)]
    outer[3:3] = [(-w - 0.03 + shift, top), (-0.45 * w + shift, top)]
    outer += [(x + shift, y) for x, y in right]
    return d.smooth([*outer, *_hairline(head)], tightness=0.45)


def _spikes(head: Head) -> skia.Path:
    """A crown of spikes; the fringe is jagged too."""
    points: list[Point] = []
    outer = _skull(head, 0.03, 15)
    for index, (x, y) in enumerate(outer):
        reach = 1.0 if index % 2 == 0 or index in (0, 14) else 1.30 + 0.10 * head.person.volume
        points.append((x * (reach if index % 2 else 1.0), y * reach if y < -0.1 else y))
    low = [(0.985, 0.05), (0.90, -0.16), (0.70, -0.17), (0.58, -0.30), (0.36, -0.19), (0.20, -0.31), (0, -0.18)]
    line = [*low, *((-u, v) for u, v in reversed(low[:-1]))]
    return d.smooth([*points, *(head.place(u * head.half_width, v, 0.02) for u, v in line)], tightness=0.15)


def _draw_mohawk(canvas: skia.Canvas, head: Head) -> None:
    canvas.drawPath(_cap(head, 0.0, _hairline(head)), d.fill(d.darker(head.person.hair, 0.3), alpha=0.35))
    shift = 0.05 * head.turn
    crest = [
        (-0.10, -0.30),
        (-0.16, -0.52),
        (-0.13, -0.70),
        (0.0, -0.76),
        (0.13, -0.70),
        (0.16, -0.52),
        (0.10, -0.30),
        (0.0, -0.26),
    ]
    path = d.smooth([(x + shift, y) for x, y in crest], tightness=0.7)
    canvas.drawPath(path, _hair_paint(head))


def _curtain(head: Head, length: float, width: float) -> list[Point]:
    w, shift = head.half_width + width + 0.03 * head.person.volume, -0.07 * head.turn
    right = [(0.55 * w, -0.50), (0.95 * w, -0.25), (1.02 * w, 0.1), (1.04 * w, 0.6 * length), (0.98 * w, length)]
    left = [(-x, y) for x, y in reversed(right)]
    return [(x + shift, y) for x, y in [(0, -0.58), *right, (0, length - 0.03), *left]]


def _waves(head: Head) -> list[Point]:
    w, shift = head.half_width + 0.13 + 0.04 * head.person.volume, -0.07 * head.turn
    side = [
        (0.55, -0.52),
        (0.92, -0.28),
        (1.0, -0.10),
        (0.98, 0.08),
        (1.14, 0.24),
        (1.02, 0.40),
        (1.20, 0.56),
        (1.06, 0.72),
        (1.16, 0.86),
        (0.7, 0.98),
    ]
    right = [(u * w, v) for u, v in side]
    return [(x + shift, y) for x, y in [(0, -0.59), *right, *((-x, y) for x, y in reversed(right))]]


def _draw_curls(canvas: skia.Canvas, head: Head, base: skia.Paint) -> None:
    afro = head.person.hair_style == "afro"
    reach = (0.20 if afro else 0.10) + 0.05 * head.person.volume
    shift = -0.05 * head.turn
    low = 1.15 if head.person.kind == "woman" or afro else 1.0
    radius_x, radius_y = head.half_width + reach, 0.46 + reach
    canvas.drawPath(d.oval((shift, -0.08), radius_x, radius_y), base)
    blob = 0.105 if afro else 0.125
    for step in range(17):
        angle = pi * (low - (2 * low - 1) * step / 16)
        centre = (shift + radius_x * cos(angle), -0.08 - radius_y * sin(angle))
        canvas.drawCircle(*centre, blob + 0.02 * (step % 2), base)
    if head.person.kind == "woman" and not afro:
        for side in (-1, 1):
            for step in range(4):
                canvas.drawCircle(side * (radius_x + 0.01) + shift, 0.12 + 0.12 * step, 0.13 - 0.008 * step, base)


def _draw_curly_fringe(canvas: skia.Canvas, head: Head) -> None:
    hair = head.person.hair
    for step in range(11):
        angle = pi * (1 - step / 10)
        u, v = 0.93 * head.half_width * cos(angle), -0.10 - 0.27 * sin(angle)
        x, y = head.place(u, v, 0.02)
        canvas.drawCircle(x, y, 0.085, d.fill(d.darker(hair, 0.12 * (step % 2))))
        canvas.drawCircle(x - 0.015, y - 0.02, 0.035, d.fill(d.lighter(hair, 0.22), alpha=0.35))


def _draw_ponytail(canvas: skia.Canvas, head: Head, base: skia.Paint) -> None:
    side = 1 if head.person.fringe in ("left", "straight", "none") else -1
    tail = [
        (0.10, -0.50),
        (0.42, -0.52),
        (0.62, -0.26),
        (0.60, 0.12),
        (0.70, 0.46),
        (0.52, 0.36),
        (0.44, 0.05),
        (0.40, -0.22),
        (0.2, -0.36),
    ]
    canvas.drawPath(d.smooth([(side * x - 0.08 * head.turn, y) for x, y in tail]), base)


def _draw_locks(canvas: skia.Canvas, head: Head) -> None:
    """Hair in front of the ears, down both cheeks."""
    style, hair = head.person.hair_style, head.person.hair
    length = {"long": 0.78, "wavy": 0.66, "bob": 0.36, "braided": 0.10}[style]
    outer = head.half_width + {"long": 0.10, "wavy": 0.12, "bob": 0.13, "braided": 0.05}[style]
    for side in (-1, 1):
        inner = side * 0.90 * head.half_width + 0.05 * head.turn
        shift = -0.04 * head.turn
        lock = [
            (inner, -0.24),
            (side * 0.97 * outer + shift, -0.18),
            (side * outer + shift, 0.10),
            (side * 1.0 * outer + shift, 0.7 * length),
            (side * 0.93 * outer + shift, length),
            (inner + side * 0.03, 0.9 * length),
            (inner + side * 0.02, 0.5 * length),
            (inner, 0.05),
        ]
        canvas.drawPath(
            d.smooth(lock, tightness=0.8), d.gradient((inner, 0), (side * outer, 0), [hair, d.darker(hair, 0.16)])
        )


def _draw_braids(canvas: skia.Canvas, head: Head) -> None:
    hair = head.person.hair
    for side in (-1, 1):
        x = side * (head.half_width + 0.06) - 0.05 * head.turn
        for step in range(6):
            centre = (x + side * 0.012 * step, 0.12 + 0.115 * step)
            canvas.drawPath(
                d.oval(centre, 0.088 - 0.005 * step, 0.072), d.fill(d.darker(hair, 0.05 + 0.14 * (step % 2)))
            )
        canvas.drawPath(d.oval((x + side * 0.07, 0.80), 0.05, 0.03), d.fill(d.rgb("e8505a")))


def _draw_shadow(canvas: skia.Canvas, head: Head, cap: skia.Path) -> None:
    canvas.save()
    canvas.clipPath(d.smooth(head.outline()), doAntiAlias=True)
    canvas.translate(0, 0.028)
    canvas.drawPath(cap, d.fill(d.darker(head.person.skin_colour, 0.55), alpha=0.45))
    canvas.restore()


def _draw_shine(canvas: skia.Canvas, head: Head, cap: skia.Path) -> None:
    if head.person.hair_style in ("curly", "afro", "flat"):
        return
    canvas.save()
    canvas.clipPath(cap, doAntiAlias=True)
    x = 0.16 * head.light
    arc = [(x - 0.24, -0.33), (x - 0.1, -0.42), (x + 0.08, -0.43), (x + 0.22, -0.36)]
    canvas.drawPath(d.smooth(arc, closed=False), d.stroke(d.lighter(head.person.hair, 0.5), 0.045, alpha=0.35))
    canvas.restore()
