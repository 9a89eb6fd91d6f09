"""From measurements to one table.

Every value is a mean over clips with a 95 % interval; whole people are drawn anew for it, since clips of one person
are not independent.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from iap_pipelines.evaluation.drawn_world.held_out import Gallery, Scene
from iap_pipelines.evaluation.drawn_world.measuring import ClipMeasurement
from iap_pipelines.evaluation.drawn_world.scores import best_offset, is_nearest, is_nearest_of_all, is_straight
from iap_pipelines.evaluation.functional.intervals import Interval, bootstrap_people
from iap_pipelines.evaluation.functional.words import word_errors


Measured = tuple[Scene, ClipMeasurement]
Value = tuple[int, float, float]
"""Who the clip is grouped by, the value, its weight."""

SYNC_TOLERANCE_FRAMES = 1
SEED = 0
"""Of the intervals, and of who is in a gallery that has more people than are compared."""


class Row(NamedTuple):
    """One measure."""

    name: str
    score: Callable[[Sequence[Measured], Gallery], list[Value]]
    num_people: int
    condition: str
    """of the generated clips"""
    on_real: bool = True
    """whether real clips can be scored so"""
    is_share: bool = True
    """whether it is a share of clips, printed in percent"""
    chance: str = ""
    aim: str = ""


def face_found(measured: Sequence[Measured], gallery: Gallery, *, among_all: bool = False) -> list[Value]:
    """
    Whether the face in each clip of one person is nearest to its own references.

    Args:
        measured: clips of one person each.
        gallery: to find them in.
        among_all: everybody of the gallery; else 32 people.
    """
    return [
        (scene.identities[0], float(_found(clip.faces[0], scene, gallery, gallery.faces, among_all)), 1.0)
        for scene, clip in measured
    ]


def voice_found(measured: Sequence[Measured], gallery: Gallery, *, among_all: bool = False) -> list[Value]:
    """The same with the voice; silence is not."""
    return [
        (scene.identities[0], float(_found(clip.voice, scene, gallery, gallery.voices, among_all)), 1.0)
        for scene, clip in measured
    ]


def _found(query: np.ndarray, scene: Scene, gallery: Gallery, vectors: np.ndarray, among_all: bool) -> bool:
    if np.isnan(query).any():
        return False
    target = gallery.identities.index(scene.identities[0])
    if among_all:
        return is_nearest_of_all(query, target, vectors)
    return is_nearest(query, target, vectors, np.random.default_rng([SEED, scene.clip_index]))


def lips_in_sync(measured: Sequence[Measured], _: Gallery) -> list[Value]:
    """Whether mouth and sound of each clip of one person fit best within one frame; a still mouth does not."""
    return [_in_sync(scene, clip, clip) for scene, clip in measured]


def lips_by_chance(measured: Sequence[Measured], _: Gallery) -> list[Value]:
    """The same with each clip's mouth and the sounds of all others."""
    pairs = [(one, other) for one in range(len(measured)) for other in range(len(measured)) if one != other]
    return [_in_sync(measured[one][0], measured[one][1], measured[other][1]) for one, other in pairs]


def _in_sync(scene: Scene, mouth: ClipMeasurement, sound: ClipMeasurement) -> Value:
    offset = best_offset(mouth.openings[:, 0], sound.expected)
    return scene.identities[0], float(offset is not None and abs(offset) <= SYNC_TOLERANCE_FRAMES), 1.0


def words_spoken(measured: Sequence[Measured], _: Gallery) -> list[Value]:
    """Word accuracy: 1 - word error rate, each clip with the weight of its words."""
    values = []
    for scene, clip in measured:
        errors = word_errors(scene.words, " ".join(clip.words))
        values.append((scene.identities[0], 1 - errors.rate, float(errors.num_words)))
    return values


def sides_right(measured: Sequence[Measured], gallery: Gallery) -> list[Value]:
    """Two people: whether the faces fit their sides, not crosswise."""
    return [
        (scene.identities[0], float(_straight(scene, clip.faces, gallery, gallery.faces)), 1.0)
        for scene, clip in measured
    ]


def voices_right(measured: Sequence[Measured], gallery: Gallery) -> list[Value]:
    """Two people: whether what is heard while each mouth moves fits its side's voice, not crosswise."""
    return [
        (scene.identities[0], float(_straight(scene, clip.side_voices, gallery, gallery.voices)), 1.0)
        for scene, clip in measured
    ]


def bound(measured: Sequence[Measured], gallery: Gallery) -> list[Value]:
    """Two people: both."""
    faces, voices = sides_right(measured, gallery), voices_right(measured, gallery)
    return [(person, face * voice, 1.0) for (person, face, _), (_, voice, _) in zip(faces, voices, strict=True)]


def _straight(scene: Scene, found: np.ndarray, gallery: Gallery, vectors: np.ndarray) -> bool:
    given = vectors[[gallery.identities.index(identity) for identity in scene.identities]]
    return is_straight(found @ given.T)


def face_again(measured: Sequence[Measured], _: Gallery) -> list[Value]:
    """Cosine of the faces of two clips that were asked for with one person, in other words and with other noise."""
    return _again(measured, lambda clip: clip.faces[0])


def voice_again(measured: Sequence[Measured], _: Gallery) -> list[Value]:
    """Cosine of the voices of two such clips."""
    return _again(measured, lambda clip: clip.voice)


def _again(measured: Sequence[Measured], embedding: Callable[[ClipMeasurement], np.ndarray]) -> list[Value]:
    takes = defaultdict(list)
    for scene, clip in measured:
        if not np.isnan(embedding(clip)).any():
            takes[scene.identities[0]].append(embedding(clip))
    return [(person, float(a @ b), 1.0) for person, clips in takes.items() for a, b in combinations(clips, 2)]


ROWS = (
    Row("face: top-1 among 32", face_found, 1, "both", chance="3 %", aim="80 %"),
    Row("voice: top-1 among 32", voice_found, 1, "both", chance="3 %", aim="70 %"),
    Row("lip sync: best offset within one frame", lips_in_sync, 1, "both", chance="12 %", aim="80 %"),
    Row("  the same with the sound of another clip", lips_by_chance, 1, "both", chance="12 %"),
    Row("spoken word accuracy", words_spoken, 1, "both", aim="50 %"),
    Row("two people: right face on the right side", sides_right, 2, "both", chance="50 %"),
    Row("two people: the moving mouth has the right voice", voices_right, 2, "both", chance="50 %"),
    Row("two people: both of it", bound, 2, "both", chance="25 %", aim="75 %"),
    Row("two people: spoken word accuracy", words_spoken, 2, "both"),
    Row("given both: face of two takes, cosine", face_again, 1, "both", is_share=False),
    Row("given both: voice of two takes, cosine", voice_again, 1, "both", is_share=False),
    Row("given the face: face top-1", face_found, 1, "face", on_real=False, chance="3 %"),
    Row("given the face: voice top-1", voice_found, 1, "face", on_real=False, chance="3 %"),
    Row("given the face: face of two takes, cosine", face_again, 1, "face", on_real=False, is_share=False),
    Row("given the face: voice of two takes, cosine", voice_again, 1, "face", on_real=False, is_share=False),
    Row("given the voice: face top-1", face_found, 1, "voice", on_real=False, chance="3 %"),
    Row("given the voice: voice top-1", voice_found, 1, "voice", on_real=False, chance="3 %"),
    Row("given the voice: face of two takes, cosine", face_again, 1, "voice", on_real=False, is_share=False),
    Row("given the voice: voice of two takes, cosine", voice_again, 1, "voice", on_real=False, is_share=False),
    Row("given nothing: face top-1", face_found, 1, "nothing", on_real=False, chance="3 %"),
    Row("given nothing: voice top-1", voice_found, 1, "nothing", on_real=False, chance="3 %"),
    Row("given nothing: face of two takes, cosine", face_again, 1, "nothing", on_real=False, is_share=False),
    Row("given nothing: voice of two takes, cosine", voice_again, 1, "nothing", on_real=False, is_share=False),
)
"""The table from top to bottom."""

REAL, CODED, GENERATED = COLUMNS = ("real", "coded", "generated")
"""Clips as the world draws them, the same through the generator's codecs, and what the generator made."""

Measurements = Mapping[tuple[str, str, int], Sequence[Measured]]
"""By column, condition (of generated clips; "both" otherwise) and number of people."""


class Result(NamedTuple):
    """One value of the table."""

    row: str
    column: str
    value: float
    low: float | None
    high: float | None
    num_clips: int

    @property
    def interval(self) -> Interval:
        """The value and its ends."""
        return Interval(self.value, self.low, self.high)


def evaluate(measurements: Measurements, gallery: Gallery) -> list[Result]:
    """Fill the table as far as there are measurements."""
    results = []
    for row in ROWS:
        for column in COLUMNS if row.on_real else (GENERATED,):
            measured = measurements.get((column, row.condition, row.num_people), ())
            interval = interval_of(row.score(measured, gallery))
            if interval is not None:
                results.append(Result(row.name, column, *interval, len(measured)))
    return results


def interval_of(values: Iterable[Value]) -> Interval | None:
    """Weighted mean with its interval over people; `None` without values."""
    return bootstrap_people(values, seed=SEED)


def cells(results: Sequence[Result]) -> list[list[str]]:
    """The table's body: name, chance, real, coded and generated clips, aim; rows without a value are left out."""
    found = {(result.row, result.column): result for result in results}
    return [
        [row.name, row.chance, *(_cell(row, found.get((row.name, column))) for column in COLUMNS), row.aim]
        for row in ROWS
        if any((row.name, column) in found for column in COLUMNS)
    ]


def _cell(row: Row, result: Result | None) -> str:
    return "" if result is None else with_ends(result.interval, is_share=row.is_share)


def with_ends(interval: Interval, *, is_share: bool, is_difference: bool = False) -> str:
    """
    A value with the ends of its interval, if it has one.

    >>> with_ends(Interval(0.9375, 0.81, 1.0), is_share=True)
    '94 % [81, 100]'
    >>> with_ends(Interval(0.5, None, None), is_share=False, is_difference=True)
    '+0.50'
    """
    value, ends, unit = _numbers(interval, is_share, "+" if is_difference else "")
    return f"{value}{unit}" + (f" [{', '.join(ends)}]" if ends else "")


def value_and_interval(interval: Interval, *, is_share: bool, is_difference: bool = False) -> tuple[str, str]:
    """
    A value and its interval, each by itself; the interval is empty where there is none.

    >>> value_and_interval(Interval(0.9375, 0.81, 1.0), is_share=True)
    ('94 %', '81 to 100 %')
    >>> value_and_interval(Interval(-0.02, -0.06, 0.01), is_share=False, is_difference=True)
    ('-0.02', '-0.06 to +0.01')
    """
    value, ends, unit = _numbers(interval, is_share, "+" if is_difference else "")
    return f"{value}{unit}", f"{' to '.join(ends)}{unit}" if ends else ""


def _numbers(interval: Interval, is_share: bool, sign: str) -> tuple[str, list[str], str]:
    """Value, both ends or none, and unit."""
    scale, digits, unit = (100, 0, " %") if is_share else (1, 2, "")
    value, *ends = (None if number is None else f"{scale * number:{sign}.{digits}f}" for number in interval)
    return value, [] if None in ends else ends, unit
