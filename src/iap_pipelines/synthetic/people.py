"""Who lives in the synthetic world: what a person looks like, drawn at random, and how a caption calls them."""

from dataclasses import dataclass

import numpy as np

from iap_pipelines.synthetic.drawing import Colour, mix, rgb


SKINS: tuple[Colour, ...] = tuple(
    rgb(code)
    for code in ("fbe0cf", "f5cdb0", "edbb95", "e0a67c", "cf9063", "b87a4e", "9a6240", "7d4c31", "603825", "4a2a1c")
)

HAIR_COLOURS: dict[str, Colour] = {
    "black": rgb("1d1a1e"),
    "brown": rgb("5b371f"),
    "chestnut": rgb("8a4a22"),
    "red": rgb("b93a1c"),
    "ginger": rgb("e07b28"),
    "blond": rgb("e8c468"),
    "white": rgb("efece6"),
    "grey": rgb("9599a0"),
    "blue": rgb("2f62c8"),
    "pink": rgb("ea6aa6"),
    "green": rgb("2f9a58"),
    "purple": rgb("7a3fb0"),
}
_HAIR_COLOUR_ODDS = (14, 13, 9, 9, 9, 12, 6, 7, 6, 6, 5, 5)

HAIR_STYLES: dict[str, dict[str, int]] = {
    "woman": {
        "long": 5, "wavy": 5, "bob": 5, "short": 3, "curly": 4, "afro": 3, "ponytail": 4, "bun": 4, "braided": 4,
        "double bun": 3,
    },
    "man": {
        "short": 5, "spiky": 4, "curly": 4, "afro": 3, "bald": 4, "shaved": 3, "mohawk": 2, "long": 3, "flat": 3,
        "receding": 3, "combed": 4,
    },
}  # fmt: skip
"""Odds of each hair style."""

_HAIR_PHRASES = {
    "bob": "a {colour} bob",
    "bun": "a {colour} bun",
    "double bun": "two {colour} buns",
    "mohawk": "a {colour} mohawk",
    "ponytail": "a {colour} ponytail",
    "afro": "a {colour} afro",
    "braided": "{colour} braids",
    "flat": "a {colour} flat top",
    "receding": "thin {colour} hair",
}

FRINGES = ("straight", "left", "right", "middle", "none")
FACE_SHAPES: dict[str, tuple[float, float, float, float]] = {
    # Half width of the cheeks, and widths of jaw and chin relative to it, and length below the eyes.
    "oval": (0.365, 0.80, 0.42, 0.50),
    "round": (0.415, 0.88, 0.52, 0.47),
    "square": (0.385, 0.96, 0.62, 0.49),
    "heart": (0.385, 0.70, 0.30, 0.50),
    "long": (0.330, 0.84, 0.46, 0.54),
}
_NAMED_BEARDS = ("beard", "goatee", "moustache")
IRIS_COLOURS = tuple(rgb(code) for code in ("3b2314", "6b4220", "3f7a4a", "3b78b8", "7d8b96", "8a6a24"))
GLASSES_COLOURS: dict[str, Colour] = {
    "black": rgb("17171c"),
    "red": rgb("c3232b"),
    "gold": rgb("c99a2e"),
    "white": rgb("f4f4f4"),
    "blue": rgb("2150b5"),
}
LIP_COLOURS = tuple(rgb(code) for code in ("c4525a", "a8323f", "d9707c", "b0564c", "8c2f4c"))


@dataclass(frozen=True)
class Person:
    """What never changes about a person. Lengths are in face heights (skull to chin = 1)."""

    kind: str
    """``"woman"`` or ``"man"``."""
    skin: int
    """Index into `SKINS`, from light to dark."""
    undertone: float
    """From -1 (cool) to 1 (warm)."""
    face_shape: str
    half_width: float
    jaw: float
    chin: float
    chin_length: float
    hair_style: str
    hair_colour: str
    fringe: str
    volume: float
    """Extra hair volume, 0 to 1."""
    eye_spacing: float
    eye_width: float
    eye_height: float
    eye_slant: float
    eye_y: float
    iris: int
    brow_thickness: float
    brow_slant: float
    brow_gap: float
    nose_width: float
    nose_length: float
    mouth_width: float
    mouth_y: float
    lip_fullness: float
    lip_colour: int
    lipstick: bool
    ear_size: float
    glasses: str
    """``"none"``, ``"round"``, ``"square"`` or ``"big"``."""
    glasses_colour: str
    beard: str
    """``"none"``, ``"stubble"``, ``"beard"``, ``"goatee"`` or ``"moustache"``."""
    earrings: bool
    freckles: bool
    wrinkles: bool

    @property
    def skin_colour(self) -> Colour:
        tint = rgb("f0a050") if self.undertone > 0 else rgb("f0a0b0")
        return mix(SKINS[self.skin], tint, 0.10 * abs(self.undertone))

    @property
    def hair(self) -> Colour:
        return HAIR_COLOURS[self.hair_colour]

    @property
    def appearance(self) -> str:
        """How a caption calls this person: ``"woman with long red hair and round glasses"``."""
        if self.hair_style == "bald":
            name, features = f"bald {self.kind}", []
        else:
            name, features = self.kind, [_hair_phrase(self.hair_style, self.hair_colour)]
        if self.glasses != "none":
            features.append(f"{self.glasses} {self.glasses_colour} glasses")
        if self.beard in _NAMED_BEARDS:
            features.append(f"a {self.beard}")
        elif self.earrings:
            features.append("earrings")
        return f"{name} with {' and '.join(features)}" if features else name

    def likeness(self, other: "Person") -> float:
        """Count how much two people share at a glance, from 0 (nothing) to 1 (twins)."""
        same = [
            (0.24, self.hair_style == other.hair_style),
            (0.22, self.hair_colour == other.hair_colour or self.hair_style == other.hair_style == "bald"),
            (0.20, abs(self.skin - other.skin) <= 1),
            (0.14, self.glasses == other.glasses),
            (0.10, self.beard == other.beard),
            (0.06, self.face_shape == other.face_shape),
            (0.04, self.kind == other.kind),
        ]
        return sum(weight for weight, shared in same if shared)


def _hair_phrase(style: str, colour: str) -> str:
    return _HAIR_PHRASES.get(style, "{style} {colour} hair").format(style=style, colour=colour)


def appearance_phrases() -> list[str]:
    """Phrases that together hold every word of `Person.appearance`, whoever it describes."""
    styles = {style for odds in HAIR_STYLES.values() for style in odds}
    hair = [_hair_phrase(style, colour) for style in sorted(styles) for colour in HAIR_COLOURS]
    glasses = [f"{form} {colour} glasses" for form in ("round", "square", "big") for colour in GLASSES_COLOURS]
    return [*hair, *glasses, *_NAMED_BEARDS, "bald woman", "bald man", "with a and earrings"]


def person_kind(index: int) -> str:
    """Women and men alternate, so that a voice can be made for a number alone."""
    return "woman" if index % 2 == 0 else "man"


def draw_person(kind: str, generator: np.random.Generator) -> Person:
    """Make up a person.

    Args:
        kind: ``"woman"`` or ``"man"``.
        generator: source of every random draw.
    """
    uniform = generator.uniform
    face_shape = str(generator.choice(list(FACE_SHAPES)))
    half_width, jaw, chin, chin_length = FACE_SHAPES[face_shape]
    slim = 0.97 if kind == "woman" else 1.02
    style = _pick(HAIR_STYLES[kind], generator)
    skin = int(generator.integers(len(SKINS)))
    hair_colour = _pick(dict(zip(HAIR_COLOURS, _HAIR_COLOUR_ODDS, strict=True)), generator)
    if skin >= 7 and hair_colour in ("black", "brown") and generator.random() < 0.5:
        # Dark hair on dark skin is hard to tell at 96 pixels: half of these people get a colour that shows.
        hair_colour = str(generator.choice(["red", "blond", "white", "grey", "blue", "pink", "purple", "ginger"]))
    beard = (
        _pick({"none": 10, "stubble": 3, "beard": 6, "goatee": 4, "moustache": 4}, generator)
        if kind == "man"
        else "none"
    )
    return Person(
        kind=kind,
        skin=skin,
        undertone=float(uniform(-1, 1)),
        face_shape=face_shape,
        half_width=half_width * slim * float(uniform(0.97, 1.03)),
        jaw=jaw * slim * float(uniform(0.96, 1.04)),
        chin=chin * slim * float(uniform(0.9, 1.1)),
        chin_length=chin_length * float(uniform(0.98, 1.02)),
        hair_style=style,
        hair_colour=hair_colour,
        fringe=_fringe(style, generator),
        volume=float(uniform(0, 1)),
        eye_spacing=float(uniform(0.44, 0.52)),
        eye_width=float(uniform(0.068, 0.092)),
        eye_height=float(uniform(0.034, 0.058)),
        eye_slant=float(uniform(-0.14, 0.22)),
        eye_y=float(uniform(-0.03, 0.03)),
        iris=int(generator.integers(len(IRIS_COLOURS))),
        brow_thickness=float(uniform(0.014, 0.026) if kind == "woman" else uniform(0.022, 0.044)),
        brow_slant=float(uniform(-0.35, 0.12)),
        brow_gap=float(uniform(0.085, 0.115)),
        nose_width=float(uniform(0.05, 0.095)),
        nose_length=float(uniform(0.13, 0.19)),
        mouth_width=float(uniform(0.12, 0.16)),
        mouth_y=float(uniform(0.265, 0.295)),
        lip_fullness=float(uniform(0.022, 0.042) if kind == "woman" else uniform(0.014, 0.032)),
        lip_colour=int(generator.integers(len(LIP_COLOURS))),
        lipstick=bool(kind == "woman" and generator.random() < 0.6),
        ear_size=float(uniform(0.8, 1.25)),
        glasses=_pick({"none": 6, "round": 2, "square": 2, "big": 2}, generator),
        glasses_colour=str(generator.choice(list(GLASSES_COLOURS))),
        beard=beard,
        earrings=bool(kind == "woman" and generator.random() < 0.45),
        freckles=bool(skin <= 3 and generator.random() < 0.3),
        wrinkles=bool(hair_colour in ("white", "grey") and generator.random() < 0.8),
    )


def draw_people(count: int, seed: int, *, max_likeness: float = 0.74) -> list[Person]:
    """Make up ``count`` people of whom no two look alike.

    Person ``i`` depends on the people before, never on those after: a larger world begins with the same people.

    Args:
        max_likeness: largest `Person.likeness` of two people. In a crowd where that leaves no room, the least alike
            of 64 candidates is taken.
    """
    people: list[Person] = []
    for index in range(count):
        generator = np.random.default_rng([seed, 1, index])
        people.append(_unlike(people, index, generator, max_likeness))
    return people


def _unlike(people: list[Person], index: int, generator: np.random.Generator, max_likeness: float) -> Person:
    best: tuple[float, Person] | None = None
    for _ in range(64):
        candidate = draw_person(person_kind(index), generator)
        likeness = max((candidate.likeness(other) for other in people), default=0.0)
        if likeness <= max_likeness:
            return candidate
        if best is None or likeness < best[0]:
            best = likeness, candidate
    return best[1]


def _fringe(style: str, generator: np.random.Generator) -> str:
    if style in ("receding", "mohawk", "shaved", "flat"):
        return "none"
    if style == "combed":
        return str(generator.choice(["left", "right"]))
    return str(generator.choice(FRINGES))


def _pick(odds: dict[str, int], generator: np.random.Generator) -> str:
    weights = np.array(list(odds.values()), dtype=float)
    return str(generator.choice(list(odds), p=weights / weights.sum()))
