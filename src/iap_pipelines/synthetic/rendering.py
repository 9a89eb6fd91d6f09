"""From people, poses and a scene to pixels."""

from dataclasses import dataclass
from math import degrees

import numpy as np
import skia

from iap_pipelines.synthetic.body import Clothes, draw_clothes, draw_neck, draw_shoulders
from iap_pipelines.synthetic.drawing import new_canvas
from iap_pipelines.synthetic.face import Head, Pose, draw_ears, draw_skin
from iap_pipelines.synthetic.features import draw_eyes, draw_glasses, draw_nose
from iap_pipelines.synthetic.hair import draw_back_hair, draw_front_hair
from iap_pipelines.synthetic.mouth import draw_beard, draw_mouth
from iap_pipelines.synthetic.people import Person
from iap_pipelines.synthetic.scenes import SCENES, Place, draw_light, draw_scene, place


@dataclass(frozen=True)
class Actor:
    """A person in one frame."""

    person: Person
    clothes: Clothes
    pose: Pose
    place: Place


@dataclass(frozen=True)
class Light:
    """The light of a clip: all values in [-1, 1]."""

    side: float = 0.3
    warmth: float = 0.0
    brightness: float = 0.0


def render(actors: list[Actor], scene: str, height: int, width: int, light: Light) -> np.ndarray:
    """Draw one picture.

    Returns:
        RGB uint8 ``[H, W, 3]``.
    """
    pixels, surface = new_canvas(height, width)
    canvas = surface.getCanvas()
    draw_scene(canvas, scene, height, width)
    for actor in actors:
        _draw_actor(canvas, actor, light)
    draw_light(canvas, height, width, warmth=light.warmth, brightness=light.brightness)
    surface.flushAndSubmit()
    return pixels[..., :3].copy()


def _draw_actor(canvas: skia.Canvas, actor: Actor, light: Light) -> None:
    where, clothes = actor.place, actor.clothes
    head = Head(actor.person, actor.pose, light.side)
    canvas.save()
    canvas.translate(where.x, where.y)
    canvas.scale(where.size, where.size)
    draw_shoulders(canvas, head, clothes)
    _leaning(canvas, head, draw_back_hair)
    draw_neck(canvas, head, clothes)
    for part in (draw_ears, draw_skin, draw_beard, draw_mouth, draw_nose, draw_eyes, draw_front_hair, draw_glasses):
        _leaning(canvas, head, part)
    canvas.restore()


def _leaning(canvas: skia.Canvas, head: Head, part: object) -> None:
    """Draw a part of the head tilted around the throat."""
    canvas.save()
    canvas.rotate(degrees(head.pose.tilt), 0.0, 0.5)
    part(canvas, head)
    canvas.restore()


def face_box(actor: Actor) -> tuple[float, float, float, float]:
    """Box around the face without hair: left, top, right, bottom in pixels."""
    head = Head(actor.person, actor.pose)
    rotation = skia.Matrix().setRotate(degrees(actor.pose.tilt), 0.0, 0.5)
    points = [rotation.mapXY(x, y) for x, y in head.outline()]
    xs = [actor.place.x + actor.place.size * point.fX for point in points]
    ys = [actor.place.y + actor.place.size * point.fY for point in points]
    return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True)
class Shot:
    """Everything that is in one picture."""

    actors: tuple[Actor, ...]
    """from left to right"""
    scene: str
    light: Light
    height: int
    """pixels"""
    width: int
    """pixels"""

    def render(self) -> np.ndarray:
        """Draw it; RGB uint8 ``[H, W, 3]``."""
        return render(list(self.actors), self.scene, self.height, self.width, self.light)


def draw_shot(people: list[Person], generator: np.random.Generator, *, height: int, width: int) -> Shot:
    """Choose random poses, clothes, light and scene for people from left to right.

    Args:
        people: one to three.
        generator: source of every random draw.
        height: of the picture in pixels.
        width: of the picture in pixels.
    """
    uniform = generator.uniform
    actors = []
    for position, person in enumerate(people):
        pose = Pose(
            yaw=float(uniform(-0.4, 0.4)),
            pitch=float(uniform(-0.12, 0.12)),
            tilt=float(uniform(-0.1, 0.1)),
            blink=float(generator.random() < 0.06),
            gaze=float(uniform(-0.8, 0.8)),
            mouth_opening=float(max(uniform(-0.6, 1), 0)),
            mouth_rounding=float(uniform(-1, 1)),
        )
        shift = (float(uniform(-0.06, 0.06)), float(uniform(-0.04, 0.04)), float(uniform(-0.06, 0.06)))
        where = place(position, len(people), height, width, shift=shift)
        actors.append(Actor(person, draw_clothes(generator), pose, where))
    light = Light(*(float(value) for value in uniform(-1, 1, 3)))
    return Shot(tuple(actors), str(generator.choice(list(SCENES))), light, height, width)


def snapshot(people: list[Person], generator: np.random.Generator, *, height: int, width: int) -> np.ndarray:
    """Draw people as `draw_shot` places them; RGB uint8 ``[H, W, 3]``."""
    return draw_shot(people, generator, height=height, width=width).render()
