"""A folder of still pictures of drawn people, in the form of a clip folder: cheap food for the first stage.

Identity is learned from many people rather than from many pictures of few, and a still costs milliseconds where a
clip with speech costs a second.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from iap_pipelines.media.export import temporary_name
from iap_pipelines.synthetic.body import draw_clothes
from iap_pipelines.synthetic.config import WorldConfig
from iap_pipelines.synthetic.face import Pose
from iap_pipelines.synthetic.people import Person, draw_people
from iap_pipelines.synthetic.rendering import Actor, Light, face_box, render
from iap_pipelines.synthetic.scenes import SCENES, SIDES, place
from iap_pipelines.types import StructuredCaption, SubjectDescription


SETTINGS_FILE = "stills.json"


@dataclass(frozen=True, kw_only=True)
class StillsConfig:
    """
    What a folder of stills is made from.

    Raises:
        ValueError: if nobody is left to learn from.
    """

    num_people: int
    num_stills: int = 5
    """Pictures per person alone, to learn."""
    num_views: int = 3
    """Reference pictures per person, apart from those."""
    num_pairs: int = 0
    """Pictures of two people side by side, to learn whose face is whose."""
    seed: int = 901
    """Of people and pictures; choose another one than that of the world whose people are to be unseen."""
    num_validation: int = 16
    """The last so many people are the validation split; so is this number of pairs, made of them."""
    size: int = 96
    """Height of the pictures in pixels; pairs are a third wider."""

    def __post_init__(self) -> None:
        if not 0 <= self.num_validation < self.num_people:
            raise ValueError(
                f"`num_validation` must be from 0 to less than `num_people`={self.num_people}, but got "
                f"{self.num_validation}."
            )
        if self.num_pairs and 1 in (self.num_validation, self.num_people - self.num_validation):
            raise ValueError(
                f"`num_pairs`={self.num_pairs} needs two people on either side of the split, but of "
                f"`num_people`={self.num_people} `num_validation` takes {self.num_validation}."
            )


class _Drawn(NamedTuple):
    scene: str
    face_boxes: list[list[float]]
    """Left, top, right, bottom in pixels, of each person from left to right."""


def render_stills(folder: Path, config: StillsConfig) -> None:
    """
    Draw people in different poses, clothes, light and scenes, and write a clip folder of single frames.

    Args:
        folder: of the result; pictures that exist are kept.
        config: what to draw.

    Raises:
        ValueError: if `folder` holds pictures of other settings.
    """
    folder = Path(folder)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    _claim(folder, config)
    # Look-alikes are welcome here: telling them apart is what is to be learned.
    people = draw_people(config.num_people, config.seed, max_likeness=1.0)
    identities, clips = [], []
    for index, person in enumerate(people):
        identity, singles = _draw_alone(folder, person, index, config)
        identities.append(identity)
        clips += singles
    clips += [_draw_pair(folder, people, number, config) for number in range(config.num_pairs)]
    for name, entries in (("identities", identities), ("clips", clips)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def _claim(folder: Path, config: StillsConfig) -> None:
    """Write down the settings, or refuse a folder with pictures of others: who is in a file depends on them."""
    path = folder / SETTINGS_FILE
    mine = asdict(config)
    if path.exists() or any((folder / "pictures").iterdir()):
        found = json.loads(path.read_text()) if path.exists() else {}
        different = sorted(key for key in mine.keys() | found.keys() if mine.get(key) != found.get(key))
        if different:
            raise ValueError(
                f"`folder` {folder} holds stills whose {SETTINGS_FILE} is missing or says otherwise "
                f"({', '.join(different)}): give another folder or the same settings."
            )
        return
    with temporary_name(path, ".json") as temporary:
        temporary.write_text(json.dumps(mine, indent=1))


def _draw_alone(folder: Path, person: Person, index: int, config: StillsConfig) -> tuple[dict, list[dict]]:
    """The identity line of a person, and the clip lines of its pictures."""
    name, count = _name(index), config.num_stills
    split = "train" if index < config.num_people - config.num_validation else "validation"
    pictures = [f"pictures/{name}_{number}.png" for number in range(count + config.num_views)]
    drawn = [
        _draw(folder / picture, [person], np.random.default_rng([config.seed, 2, index, number]), config.size)
        for number, picture in enumerate(pictures)
    ]
    identity = {"identity": name, "split": split, "faces": pictures[count:], "voices": []}
    return identity, [
        _clip(f"{name}_{number}", pictures[number], split, [index], [person], drawn[number], config.size)
        for number in range(count)
    ]


def _draw_pair(folder: Path, people: list[Person], number: int, config: StillsConfig) -> dict:
    """The clip line of one picture of two people of the same split."""
    generator = np.random.default_rng([config.seed, 3, number])
    first_held_out = config.num_people - config.num_validation
    is_train = number < config.num_pairs - config.num_validation
    pool = np.arange(first_held_out) if is_train else np.arange(first_held_out, config.num_people)
    indices = [int(index) for index in generator.choice(pool, 2, replace=False)]
    chosen = [people[index] for index in indices]
    picture = f"pictures/pair-{number:05d}.png"
    drawn = _draw(folder / picture, chosen, generator, config.size)
    split = "train" if is_train else "validation"
    return _clip(f"pair-{number:05d}", picture, split, indices, chosen, drawn, config.size)


def _clip(
    clip_id: str, picture: str, split: str, indices: list[int], people: list[Person], drawn: _Drawn, size: int
) -> dict:
    sides = SIDES[len(people)]
    caption = StructuredCaption(
        drawn.scene, tuple(SubjectDescription(p.appearance, side) for p, side in zip(people, sides, strict=True))
    )
    return {
        "clip_id": clip_id,
        "file": picture,
        "split": split,
        "height": size,
        "width": _width(len(people), size),
        "num_frames": 1,
        "frame_rate": 1.0,
        "subjects": [{"identity": _name(i), "side": side} for i, side in zip(indices, sides, strict=True)],
        "face_boxes": drawn.face_boxes,
        "caption": caption.render(),
    }


def _draw(path: Path, people: list[Person], generator: np.random.Generator, size: int) -> _Drawn:
    """Write one picture of people from left to right."""
    scene = str(generator.choice(list(SCENES)))
    light = Light(*(float(value) for value in generator.uniform(-1, 1, 3)))
    width = _width(len(people), size)
    actors = [_act(person, position, len(people), width, size, generator) for position, person in enumerate(people)]
    if not path.exists():
        with temporary_name(path, ".png") as temporary:
            Image.fromarray(render(actors, scene, size, width, light)).save(temporary)
    return _Drawn(scene, [[round(edge, 2) for edge in face_box(actor)] for actor in actors])


def _act(person: Person, position: int, count: int, width: int, size: int, generator: np.random.Generator) -> Actor:
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
    return Actor(person, draw_clothes(generator), pose, place(position, count, size, width, shift=shift))


def _name(index: int) -> str:
    return f"still-{index:05d}"


def _width(num_people: int, height: int) -> int:
    return WorldConfig(height=height).width(num_people)
