"""How sure a mean is: percentile bootstrap intervals over clips or people, seeded."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

import numpy as np
from scipy.stats import bootstrap


CONFIDENCE_LEVEL = 0.95
NUM_RESAMPLES = 2000


class Interval(NamedTuple):
    """A value and the ends of its 95 % interval; ``None`` where the samples say nothing about the spread."""

    value: float
    low: float | None
    high: float | None


def bootstrap_mean(values: np.ndarray, weights: np.ndarray | None = None, *, seed: int) -> Interval:
    """Weighted mean over clips with a percentile bootstrap interval (scipy), whole clips drawn with replacement.

    A word error rate over clips is their rates weighted by words, binding their shares weighted by seconds of speech.

    Args:
        values: one per clip ``[N]``.
        weights: one per clip ``[N]``, 0 or more, not all 0; ``None``: all equal.
        seed: of the resampling; same seed, same interval.

    Returns:
        The mean and the ends of its 95 % interval; ``None`` for the ends with a single clip, or when all are equal:
        no draw of them differs then, which does not make the mean certain.

    Raises:
        ValueError: for no value, one that is not finite, or weights that do not fit.

    >>> bootstrap_mean(np.array([1.0, 1.0]), seed=0)
    Interval(value=1.0, low=None, high=None)
    """
    values = np.asarray(values, np.float64)
    weights = np.ones_like(values) if weights is None else np.asarray(weights, np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"`values` must be finite and [N], N >= 1, but got the shape {values.shape}.")
    if weights.shape != values.shape or not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() == 0:
        raise ValueError("`weights` must have one entry of 0 or more per value, not all 0.")
    values, weights = values[weights > 0], weights[weights > 0]
    mean = float(np.average(values, weights=weights))
    if np.ptp(values) == 0:
        return Interval(mean, None, None)
    return _interval(_weighted_mean, (values, weights), mean, paired=True, seed=seed)


def bootstrap_people(values: Iterable[tuple[Hashable, float, float]], *, seed: int) -> Interval | None:
    """Weighted mean over clips with an interval over people: whole people are drawn, since clips of one are alike.

    Args:
        values: of each clip, whom it is grouped by, the value, and its weight, above 0.
        seed: of the resampling.

    Returns:
        As `bootstrap_mean`, with the mean of each person as one value; ``None`` without values.

    >>> bootstrap_people([("ada", 1.0, 1.0), ("ada", 0.0, 1.0)], seed=0)
    Interval(value=0.5, low=None, high=None)
    """
    people: dict[Hashable, list[tuple[float, float]]] = defaultdict(list)
    for person, value, weight in values:
        people[person].append((value, weight))
    if not people:
        return None
    entries = [np.array(entry) for entry in people.values()]
    means = np.array([np.average(entry[:, 0], weights=entry[:, 1]) for entry in entries])
    return bootstrap_mean(means, np.array([entry[:, 1].sum() for entry in entries]), seed=seed)


def bootstrap_separation(
    statistic: Callable[[np.ndarray, np.ndarray], float], genuine: np.ndarray, impostor: np.ndarray, *, seed: int
) -> Interval:
    """A number that compares two sets of scores, with a percentile bootstrap interval; each set is drawn anew.

    Args:
        statistic: `area_under_curve` or `equal_error_rate`.
        genuine: scores ``[N]``.
        impostor: scores ``[M]``.
        seed: of the resampling.

    >>> from iap_pipelines.evaluation.functional.separation import area_under_curve
    >>> bootstrap_separation(area_under_curve, np.array([0.8, 0.9]), np.array([0.1, 0.2]), seed=0)
    Interval(value=1.0, low=1.0, high=1.0)
    """
    genuine, impostor = np.asarray(genuine, np.float64), np.asarray(impostor, np.float64)
    value = float(statistic(genuine, impostor))
    if min(len(genuine), len(impostor)) < 2:
        return Interval(value, None, None)
    return _interval(statistic, (genuine, impostor), value, paired=False, seed=seed)


def _weighted_mean(values: np.ndarray, weights: np.ndarray, axis: int = -1) -> np.ndarray:
    return (values * weights).sum(axis=axis) / weights.sum(axis=axis)


def _interval(
    statistic: Callable[..., np.ndarray | float],
    data: tuple[np.ndarray, ...],
    value: float,
    *,
    paired: bool,
    seed: int,
) -> Interval:
    found = bootstrap(
        data,
        statistic,
        paired=paired,
        vectorized=paired,
        n_resamples=NUM_RESAMPLES,
        confidence_level=CONFIDENCE_LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(value, float(found.low), float(found.high))
