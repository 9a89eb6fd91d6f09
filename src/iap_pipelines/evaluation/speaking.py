"""Which face speaks in each turn, from how mouths agree with the sound. Letters: L delays, N faces, R turns."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from iap_pipelines.evaluation.people import Turn
from iap_pipelines.perception.interfaces import SyncScores


class SpeakingFaces(NamedTuple):
    """Result of `find_speaking_faces`."""

    faces: tuple[int | None, ...]
    """for each turn, the index of the face whose mouth makes the sound; ``None``: no face can be compared"""
    curve: np.ndarray
    """agreement of these mouths with the sound over the delays, weighted by seconds ``[L]``"""
    delays: np.ndarray
    """seconds ``[L]``; positive: the sound is late"""


def find_speaking_faces(scores: Sequence[SyncScores | None], turns: Sequence[Turn]) -> SpeakingFaces | None:
    """Find the speaking face of every turn.

    A clip has one delay of the sound. It is the one at which the best faces of all turns agree most with the sound in
    sum over the seconds of the turns; at that delay, each turn goes to the face that agrees best.

    Args:
        scores: of each face, on the same delays; ``None`` where a face cannot be compared.
        turns: of the clip.

    Returns:
        ``None`` when no face can be compared with any turn.
    """
    present = [face for face, of_face in enumerate(scores) if of_face is not None]
    if not present or not turns:
        return None
    delays = scores[present[0]].delays
    curves = np.full((len(turns), len(present), len(delays)), np.nan)
    for row, turn in enumerate(turns):
        for column, face in enumerate(present):
            curves[row, column] = _turn_curve(scores[face], turn)
    comparable = np.isfinite(curves).all(axis=2)
    if not comparable.any():
        return None
    seconds = np.array([turn.span.duration for turn in turns])
    lowered = np.where(comparable[:, :, None], curves, -np.inf)
    with_face = comparable.any(axis=1)
    total = (seconds[with_face, None] * lowered[with_face].max(axis=1)).sum(axis=0)
    delay = int(total.argmax())
    best = lowered[:, :, delay].argmax(axis=1)
    chosen = [curves[row, best[row]] * seconds[row] for row in np.flatnonzero(with_face)]
    curve = np.sum(chosen, axis=0) / seconds[with_face].sum()
    faces = tuple(present[best[row]] if with_face[row] else None for row in range(len(turns)))
    return SpeakingFaces(faces, curve, delays)


def _turn_curve(scores: SyncScores, turn: Turn) -> np.ndarray:
    """Mean over the turn at each delay ``[L]``; NaN where nothing was compared."""
    inside = (scores.times >= turn.span.start) & (scores.times < turn.span.end)
    part = scores.scores[:, inside]
    counts = np.isfinite(part).sum(axis=1)
    sums = np.nansum(part, axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
