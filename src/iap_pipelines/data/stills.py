"""A folder of still pictures of drawn people, in the form of a clip folder: cheap food for the first stage.

Identity is learned from many people rather than from many pictures of few, and a still costs milliseconds where a
clip with speech costs a second.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from iap_pipelines.synthetic.body import draw_clothes
from iap_pipelines.synthetic.face import Pose
from iap_pipelines.synthetic.people import Person, draw_people
from iap_pipelines.synthetic.rendering import Actor, Light, render
from iap_pipelines.synthetic.scenes import SCENES, place
from iap_pipelines.types import StructuredCaption, SubjectDescription


def render_stills(
    folder: Path, num_people: int, num_stills: int, num_views: int, seed: int, num_validation: int = 16, size: int = 96
) -> None:
    """
    Draw people in different poses, clothes, light and scenes, and write a clip folder of single frames.

    Args:
        folder: of the result; pictures that exist are kept.
        num_people: identities in all.
        num_stills: pictures per person to learn.
        num_views: reference pictures per person, apart from those.
        seed: of people and pictures; choose another one than that of the world whose people are to be unseen.
        num_validation: the last so many people are the validation split.
        size: side of a picture in pixels.
    """
    folder = Path(folder)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    people, clips = [], []
    for index, person in enumerate(draw_people(num_people, seed)):
        name = f"still-{index:05d}"
        split = "train" if index < num_people - num_validation else "validation"
        pictures = [f"pictures/{name}_{number}.png" for number in range(num_stills + num_views)]
        scenes = [
            _draw(folder / picture, person, np.random.default_rng([seed, 2, index, number]), size)
            for number, picture in enumerate(pictures)
        ]
        people.append({"identity": name, "split": split, "faces": pictures[num_stills:], "voices": []})
        for number in range(num_stills):
            caption = StructuredCaption(scenes[number], (SubjectDescription(person.appearance, "center"),))
            clips.append(
                {
                    "clip_id": f"{name}_{number}",
                    "file": pictures[number],
                    "split": split,
                    "height": size,
                    "width": size,
                    "num_frames": 1,
                    "frame_rate": 1.0,
                    "subjects": [{"identity": name, "side": "center"}],
                    "caption": caption.render(),
                }
            )
    for name, entries in (("identities", people), ("clips", clips)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def _draw(path: Path, person: Person, generator: np.random.Generator, size: int) -> str:
    """Write one picture and return the name of its scene."""
    uniform = generator.uniform
    pose = Pose(
        yaw=float(uniform(-0.42, 0.42)),
        pitch=float(uniform(-0.12, 0.12)),
        tilt=float(uniform(-0.1, 0.1)),
        blink=float(generator.random() < 0.06),
        gaze=float(uniform(-0.6, 0.6)),
        mouth_opening=float(max(uniform(-0.6, 1), 0)),
        mouth_rounding=float(uniform(-1, 1)),
        smile=float(uniform(0, 0.6)),
    )
    shift = tuple(float(value) for value in uniform((-0.06, -0.04, -0.06), (0.06, 0.04, 0.06)))
    scene = str(generator.choice(list(SCENES)))
    light = Light(*(float(value) for value in uniform(-1, 1, 3)))
    clothes = draw_clothes(generator)
    if not path.exists():
        actor = Actor(person, clothes, pose, place(0, 1, size, size, shift=shift))
        Image.fromarray(render([actor], scene, size, size, light)).save(path)
    return scene
