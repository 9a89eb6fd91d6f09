"""What a synthetic world is made from."""

from dataclasses import dataclass, fields
from typing import Self

from iap_pipelines.synthetic.sound import SAMPLING_RATE
from iap_pipelines.synthetic.voices import VOICE_BACKENDS


REFERENCE_VIEWS = ("front", "left", "right", "up", "tilted")


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """Everything that a world is made from. Equal settings give equal bytes with equal library versions."""

    num_identities: int = 400
    clips_per_identity: int = 12
    """Clips in which an identity is the first person. In clips with company it appears in others', too."""
    seed: int = 1
    two_person_share: float = 0.35
    """Share of the clips that show two people, 0 to 1."""
    three_person_share: float = 0.05
    """Share of the clips that show three people, 0 to 1."""
    height: int = 96
    """Of every picture, in pixels. Widths follow: 1, 4/3 and 5/3 of it for one, two and three people."""
    num_frames: int = 25
    lines_per_turn: int = 1
    """How many lines everybody says in a row. A line takes about a second: more of them need more frames."""
    frame_rate: float = 12.5
    num_reference_views: int = 5
    num_reference_voices: int = 3
    generic_caption_share: float = 0.4
    """Share of the clips whose caption says only "woman" or "man", so that looks must come from the face reference."""
    held_out_share: float = 0.1
    """Share of the identities in each of validation and test."""
    voice_backend: str = "kokoro"
    """``"kokoro"`` (speech model) or ``"formant"`` (a buzzing synthesiser that needs nothing)."""

    def __post_init__(self) -> None:
        for name in (
            "num_identities",
            "clips_per_identity",
            "num_frames",
            "lines_per_turn",
            "num_reference_views",
            "num_reference_voices",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be 1 or more, but got {getattr(self, name)!r}.")
        if self.height < 32 or self.height % 6:
            raise ValueError(
                f"`height` must be a multiple of 6 and at least 36 (all widths are even), but got {self.height}."
            )
        if self.num_reference_views > len(REFERENCE_VIEWS):
            raise ValueError(
                f"`num_reference_views` can be {len(REFERENCE_VIEWS)} at most, but got {self.num_reference_views}."
            )
        if self.frame_rate <= 0:
            raise ValueError(f"`frame_rate` must be positive, but got {self.frame_rate!r} frames per second.")
        for name in ("two_person_share", "three_person_share", "generic_caption_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must lie in [0, 1], but got {getattr(self, name)!r}.")
        if self.two_person_share + self.three_person_share > 1:
            raise ValueError("`two_person_share` and `three_person_share` must not add up to more than 1.")
        if not 0 <= self.held_out_share < 0.5:
            raise ValueError(f"`held_out_share` must lie in [0, 0.5), but got {self.held_out_share!r}.")
        if self.voice_backend not in VOICE_BACKENDS:
            raise ValueError(f"`voice_backend` must be one of {VOICE_BACKENDS}, but got {self.voice_backend!r}.")

    @property
    def num_samples(self) -> int:
        return round(self.num_frames / self.frame_rate * SAMPLING_RATE)

    @property
    def num_clips(self) -> int:
        return self.num_identities * self.clips_per_identity

    def width(self, num_people: int) -> int:
        """Of a picture of so many people, in pixels."""
        return self.height * (2 + num_people) // 3

    @classmethod
    def from_dict(cls, values: dict) -> Self:
        """Read what `asdict` wrote.

        Raises:
            ValueError: for an unknown key.
        """
        unknown = sorted(values.keys() - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(
                f"Unknown world settings {unknown}; known are {sorted(field.name for field in fields(cls))}."
            )
        return cls(**values)
