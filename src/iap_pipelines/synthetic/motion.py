"""How people move in a clip: heads drift and turn, eyes blink, and mouths follow the voice."""

from dataclasses import dataclass

import numpy as np

from iap_pipelines.synthetic.face import Pose


@dataclass(frozen=True)
class Mouth:
    """Per frame ``[F]``: opening in [0, 1] and rounding in [-1, 1]."""

    opening: np.ndarray
    rounding: np.ndarray


def move(mouth: Mouth, frame_rate: float, generator: np.random.Generator, *, yaw: float | None = None) -> list[Pose]:
    """Make up one person's movement.

    Args:
        mouth: what the lips do.
        frame_rate: frames per second.
        generator: source of every random draw.
        yaw: where the head turns to on average, in radians; ``None`` draws it.
    """
    count = len(mouth.opening)
    time = np.arange(count) / frame_rate
    middle = generator.uniform(-0.28, 0.28) if yaw is None else yaw
    yaws = middle + _drift(time, 0.10, generator)
    pitches = generator.uniform(-0.08, 0.08) + _drift(time, 0.05, generator) + 0.04 * mouth.opening
    tilts = generator.uniform(-0.07, 0.07) + _drift(time, 0.03, generator)
    blinks = _blinks(count, frame_rate, generator)
    gaze = np.clip(generator.uniform(-0.4, 0.4) + _drift(time, 0.3, generator), -1, 1)
    brows = np.clip(_drift(time, 0.5, generator) + 0.6 * mouth.opening, 0, 1)
    smile = generator.uniform(0.3, 0.9)
    return [
        Pose(
            yaw=float(yaws[f]),
            pitch=float(pitches[f]),
            tilt=float(tilts[f]),
            blink=float(blinks[f]),
            gaze=float(gaze[f]),
            brow_raise=float(brows[f]),
            mouth_opening=float(mouth.opening[f]),
            mouth_rounding=float(mouth.rounding[f]),
            smile=float(smile),
        )
        for f in range(count)
    ]


def _drift(time: np.ndarray, size: float, generator: np.random.Generator) -> np.ndarray:
    """A slow wave."""
    speed, phase = generator.uniform(0.15, 0.5), generator.uniform(0, 2 * np.pi)
    return size * generator.uniform(0.3, 1.0) * np.sin(2 * np.pi * speed * time + phase)


def _blinks(count: int, frame_rate: float, generator: np.random.Generator) -> np.ndarray:
    """Shut eyes for about 0.2 s, every two or three seconds."""
    shut = np.zeros(count)
    moment = generator.uniform(0.2, 3.0)
    while moment * frame_rate < count:
        first = int(moment * frame_rate)
        for offset, amount in enumerate((0.6, 1.0, 0.5)):
            if first + offset < count:
                shut[first + offset] = amount
        moment += generator.uniform(1.8, 3.2)
    return shut
