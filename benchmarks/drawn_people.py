"""Are drawn faces faces? How many of them a detector of real faces finds, at the size that curation works on.

Draws people of a world one by one, in random poses (turned by up to 23°), clothes, light and scene, and looks for each
face with the detector that curation uses. Found is a face whose box overlaps the drawn one (intersection over union of
at least 0.3; detectors leave out more of the forehead and chin than the drawing does). Intervals are over people.

    python -m benchmarks.drawn_people
    python -m benchmarks.drawn_people --sheet docs/people.jpg    # 64 of them in one picture
"""

import argparse
from collections.abc import Sequence
from math import degrees
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks.measuring import markdown_table
from iap_pipelines.evaluation.functional.intervals import bootstrap_mean
from iap_pipelines.perception.backends import load_face_detector
from iap_pipelines.perception.interfaces import FaceDetector
from iap_pipelines.synthetic.people import Person, draw_people
from iap_pipelines.synthetic.rendering import draw_shot, face_box
from iap_pipelines.synthetic.sheet import contact_sheet


Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""

MIN_OVERLAP = 0.3
_SHEET_HEIGHT = 120
"""Pixels of each picture."""
BOUNDS_DEGREES = (5, 10, 15, 24)
"""Faces are counted by how far they are turned, up to each of these."""


class Look(NamedTuple):
    """One drawn face."""

    person: int
    yaw_degrees: float
    """0: towards the viewer"""
    is_found: bool
    num_false: int
    """detections that are no face of the picture"""


def look_for_faces(
    people: Sequence[Person], detector: FaceDetector, *, height: int, shots: int, seed: int
) -> list[Look]:
    """
    Draw each person alone some times, and look for the face.

    Args:
        people: whom to draw.
        detector: of faces.
        height: and width of the pictures in pixels.
        shots: pictures of each person.
        seed: of poses, clothes, light and scenes.
    """
    looks = []
    for index, person in enumerate(tqdm(people, desc="people", mininterval=2)):
        for number in range(shots):
            shot = draw_shot([person], np.random.default_rng([seed, index, number]), height=height, width=height)
            [actor] = shot.actors
            boxes = [face.box for face in detector.detect(shot.render())]
            matching = sum(overlap(box, face_box(actor)) >= MIN_OVERLAP for box in boxes)
            yaw = degrees(actor.pose.yaw)
            looks.append(Look(index, yaw, matching > 0, len(boxes) - min(matching, 1)))
    return looks


def overlap(one: Box, other: Box) -> float:
    """
    Intersection over union of two boxes, in [0, 1].

    >>> overlap((0, 0, 2, 2), (1, 0, 3, 2))
    0.3333333333333333
    """
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / (sum(areas) - common)


def table_rows(looks: Sequence[Look], *, seed: int) -> list[list[str]]:
    """One row per bound on how far a face is turned."""
    rows = []
    for bound in BOUNDS_DEGREES:
        chosen = [look for look in looks if abs(look.yaw_degrees) <= bound]
        people = sorted({look.person for look in chosen})
        found = [[look.is_found for look in chosen if look.person == person] for person in people]
        mean, low, high = bootstrap_mean(
            np.array([np.mean(values) for values in found]), np.array([float(len(v)) for v in found]), seed=seed
        )
        ends = "" if low is None else f" [{100 * low:.1f}, {100 * high:.1f}]"
        rows.append([f"up to {bound}°", str(len(chosen)), f"{100 * mean:.1f} %{ends}"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=400, help="(%(default)s)")
    parser.add_argument("--shots", type=int, default=3, help="pictures of each (%(default)s)")
    parser.add_argument("--height", type=int, default=258, help="pixels (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the world (%(default)s)")
    parser.add_argument("--sheet", type=Path, help="draw the first 64 people into this picture instead")
    args = parser.parse_args()
    if args.sheet:
        print(contact_sheet(args.sheet, seed=args.seed, height=_SHEET_HEIGHT))
        return
    people, detector = draw_people(args.people, args.seed), load_face_detector()
    looks = look_for_faces(people, detector, height=args.height, shots=args.shots, seed=args.seed)
    print(f"{detector.name}@{detector.revision}, {args.height} x {args.height} pixels, seed {args.seed}.\n")
    print(markdown_table(["face turned by", "faces", "found"], table_rows(looks, seed=args.seed)))
    print(f"\nDetections that are no face: {sum(look.num_false for look in looks)} in {len(looks)} pictures.")


if __name__ == "__main__":
    main()
