"""How near a clip of the drawn world is to its references, by recognisers that no generator was trained with."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from iap_pipelines.app.form import GenerationForm, PersonForm
from iap_pipelines.assets import EMBEDDED_RECOGNISERS
from iap_pipelines.media import read_audio, read_image, read_video


if TYPE_CHECKING:
    from iap_pipelines.evaluation.drawn_world.measuring import ClipMeasurement, DrawnWorldRecognisers

logger = logging.getLogger(__name__)

_FROM_LEFT_TO_RIGHT = ("far left", "left", "center", "right", "far right")
_NOWHERE = "off screen"


class PersonScore(NamedTuple):
    """Cosine similarities of one person to their references, in [-1, 1], higher is nearer; `None`: not measured."""

    face: float | None
    voice: float | None


class ClipScores(NamedTuple):
    """What was measured in a clip."""

    people: tuple[PersonScore, ...]
    """in the order of their anchors"""
    heard: tuple[str, ...]
    """the words that were recognised"""


class ClipScorer:
    """
    Scores clips of the drawn world; photographs and other voices are not what its recognisers know.

    Args:
        recognisers: what sees and hears.
    """

    def __init__(self, recognisers: "DrawnWorldRecognisers") -> None:
        self._recognisers = recognisers

    @classmethod
    def load(cls, folder: Path = EMBEDDED_RECOGNISERS) -> Self | None:
        """Load the recognisers of the package. `None` where they, or the extras that they need, are not installed."""
        if not folder.is_dir():
            return None
        try:
            from iap_pipelines.evaluation.drawn_world.measuring import DrawnWorldRecognisers
        except ModuleNotFoundError as error:
            logger.warning(
                "No scores: %s is not installed: pip install 'iap-pipelines[evaluation,synthetic,training]'",
                error.name,
            )
            return None
        return cls(DrawnWorldRecognisers.from_pretrained(folder))

    def score(self, clip: Path, form: GenerationForm) -> ClipScores | None:
        """
        Compare a clip with the references of its form.

        Returns:
            `None` when the caption does not say who stands where, or when there is nobody to see or nothing to hear.
        """
        sides = sides_from_left(form.people)
        video, audio = read_video(clip)
        if not sides or audio is None:
            return None
        measured = self._recognisers.measure(
            video.frames.numpy(),
            audio.to_mono().resample(self._sampling_rate).samples[0].numpy(),
            num_people=len(sides),
            frame_rate=video.frame_rate,
        )
        people = tuple(
            self._score(person, measured, sides[number]) if number in sides else PersonScore(None, None)
            for number, person in enumerate(form.people)
        )
        return ClipScores(people, measured.words)

    @property
    def _sampling_rate(self) -> int:
        return self._recognisers.feature_extractor.sampling_rate

    def _score(self, person: PersonForm, measured: "ClipMeasurement", side: int) -> PersonScore:
        faces = [self._recognisers.embed_faces(np.asarray(read_image(path))[None], 1)[0] for path in person.faces]
        voice = None
        if person.voice is not None:
            samples = read_audio(person.voice).to_mono().resample(self._sampling_rate).samples[0].numpy()
            voice = _cosine(measured.side_voices[side], self._recognisers.embed_voice(samples))
        return PersonScore(_cosine(measured.faces[side], np.mean(faces, axis=0)) if faces else None, voice)


def sides_from_left(people: tuple[PersonForm, ...]) -> dict[int, int]:
    """
    Who stands where: place from the left, from 0, by index of the person; those off screen are left out.

    Returns:
        Nobody when somebody's place is not said in one of the usual words, or two stand in the same place.
    """
    places = {index: person.position for index, person in enumerate(people) if person.position != _NOWHERE}
    if len(places) == 1:
        return dict.fromkeys(places, 0)
    if len(set(places.values())) < len(places) or not set(places.values()) <= set(_FROM_LEFT_TO_RIGHT):
        return {}
    ordered = sorted(places, key=lambda index: _FROM_LEFT_TO_RIGHT.index(places[index]))
    return {index: side for side, index in enumerate(ordered)}


def render_scores(scores: ClipScores) -> str:
    """A Markdown table, and what was heard."""
    rows = [
        f"| &lt;S{number}&gt; | {_cell(person.face)} | {_cell(person.voice)} |"
        for number, person in enumerate(scores.people, start=1)
    ]
    return "\n".join(
        [
            "| similarity to the references, up to 1 | face | voice |",
            "|---|---:|---:|",
            *rows,
            "",
            f"Heard: {' '.join(scores.heard) or 'no word'}. Measured by the recognisers of the drawn world, which "
            "know neither photographs nor recordings of real people.",
        ]
    )


def _cell(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f}"


def _cosine(one: np.ndarray, other: np.ndarray) -> float | None:
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norm if norm > 0 else None  # NaN, too little speech, compares false
