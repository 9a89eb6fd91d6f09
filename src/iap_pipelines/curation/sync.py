"""By how much sound and lips are apart, and how sure that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iap_pipelines.perception.interfaces import SyncScores, TimeSpan


@dataclass(frozen=True)
class Sync:
    """How lips and speech of one face agree.

    Args:
        offset: seconds between lips and sound at which they agree best; positive: the sound is late.
        score: agreement there, in the unit of the model.
        score_in_place: best agreement within ``IN_PLACE_SECONDS``.
        confidence: ``score`` minus the median over all offsets, as SyncNet's.
        seconds: speech that was compared.
    """

    offset: float
    score: float
    score_in_place: float
    confidence: float
    seconds: float


IN_PLACE_SECONDS = 0.12
"""Offsets that viewers put up with, and that the models cannot tell from none: 3 frames at 25 per second."""
_MIN_SECONDS = 0.4
_DOUBT_PER_SECOND = 0.5
"""Share of the spread between best and typical agreement by which an offset of 1 s has to be better than none."""


def measure_sync(scores: SyncScores, speech: Sequence[TimeSpan]) -> Sync | None:
    """Measure the offset over the speech of one face.

    Args:
        scores: of the face with the sound.
        speech: where this face should be speaking, on the same clock.

    Returns:
        The measurement, or ``None`` when less than 0.4 s can be compared.
    """
    curve, seconds = sync_curve(scores, speech)
    if seconds < _MIN_SECONDS:
        return None
    spread = np.nanmax(curve) - np.nanmedian(curve)
    best = int(np.nanargmax(curve - _DOUBT_PER_SECOND * spread * np.abs(scores.delays)))
    in_place = np.abs(scores.delays) <= IN_PLACE_SECONDS + 1e-6
    return Sync(
        offset=_peak(scores.delays, curve, best),
        score=float(curve[best]),
        score_in_place=float(np.nanmax(curve[in_place])) if np.isfinite(curve[in_place]).any() else -math.inf,
        confidence=float(curve[best] - np.nanmedian(curve)),
        seconds=seconds,
    )


def sync_curve(scores: SyncScores, speech: Sequence[TimeSpan]) -> tuple[np.ndarray, float]:
    """Mean agreement at every delay ``[L]`` during speech, and the seconds that it rests on."""
    heard = np.zeros(len(scores.times), bool)
    for span in speech:
        heard |= (scores.times >= span.start) & (scores.times < span.end)
    values = scores.scores[:, heard]
    known = np.isfinite(values)
    step = float(scores.times[1] - scores.times[0]) if len(scores.times) > 1 else 0.0
    counts = known.sum(axis=1)
    means = np.where(known, values, 0).sum(axis=1) / np.maximum(counts, 1)
    # A delay at which most of the speech lies beyond the sound would win or lose by chance.
    enough = counts >= max(1, 0.5 * heard.sum())
    return np.where(enough, means, np.nan), float(counts.max(initial=0)) * step


def _peak(delays: np.ndarray, curve: np.ndarray, best: int) -> float:
    """Place of the maximum between steps, by the parabola through it and its neighbours."""
    if not 0 < best < len(curve) - 1:
        return float(delays[best])
    before, here, after = curve[best - 1 : best + 2]
    bend = before - 2 * here + after
    shift = 0.5 * (before - after) / bend if np.isfinite(bend) and bend < 0 else 0.0
    return float(delays[best] + shift * (delays[best + 1] - delays[best]))
