"""Which face speaks in each turn, from how mouths agree with the sound. Letters: L delays.

Unlike `curation.matching`, which accepts or refuses a pair, this compares only: a score may not hang on a threshold
that belongs to one lip-sync model, and sound that is late must not change who speaks.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from iap_pipelines.curation.sync import sync_curve
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
    agreements: tuple[float | None, ...]
    """for each turn, how much better its voice fits its face at the clip's delay than at the median of all delays, in
    all turns of this voice with this face; ``None`` without a face"""


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
            curves[row, column], _ = sync_curve(scores[face], [turn.span])
    compared = np.isfinite(curves).any(axis=2)
    with_face = np.flatnonzero(compared.any(axis=1))
    if not len(with_face):
        return None
    seconds = np.array([turns[row].span.duration for row in with_face])
    # Where a delay leaves too little to compare, it is no better than the worst one.
    known = np.where(np.isfinite(curves[with_face]), curves[with_face], np.nanmin(curves[with_face]))
    known[~compared[with_face]] = -np.inf
    delay = int((seconds[:, None] * known.max(axis=1)).sum(axis=0).argmax())
    best = known[:, :, delay].argmax(axis=1)
    curve = (seconds[:, None] * known[np.arange(len(best)), best]).sum(axis=0) / seconds.sum()
    faces: list[int | None] = [None] * len(turns)
    agreements: list[float | None] = [None] * len(turns)
    own = known[np.arange(len(best)), best]
    voices = np.array([turns[row].voice for row in with_face])
    for index, (row, column) in enumerate(zip(with_face, best, strict=True)):
        faces[row] = present[column]
        together = (voices == voices[index]) & (best == column)
        mean = np.average(own[together], axis=0, weights=seconds[together])
        agreements[row] = float(mean[delay] - np.median(mean))
    return SpeakingFaces(tuple(faces), curve, delays, tuple(agreements))
