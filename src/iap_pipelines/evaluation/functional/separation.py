"""How well a score separates genuine pairs from others. Letters: N genuine pairs, M impostor pairs."""

import numpy as np
from scipy.stats import rankdata


def area_under_curve(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """Probability that a genuine pair scores above an impostor pair; ties count half (Mann and Whitney).

    Args:
        genuine: scores ``[N]``.
        impostor: scores ``[M]``.

    Returns:
        AUC in [0, 1]; higher is better, 0.5 is chance.

    >>> area_under_curve(np.array([0.9, 0.4]), np.array([0.1, 0.4]))
    0.875
    """
    genuine, impostor = _checked(genuine, impostor)
    ranks = rankdata(np.concatenate([genuine, impostor]))[: len(genuine)]
    return float((ranks.sum() - len(genuine) * (len(genuine) + 1) / 2) / (len(genuine) * len(impostor)))


def equal_error_rate(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """Error rate at the threshold where genuine pairs are refused as often as impostor pairs are accepted.

    Between two thresholds the rates are joined by a straight line.

    Args:
        genuine: scores ``[N]``.
        impostor: scores ``[M]``.

    Returns:
        EER in [0, 1]; lower is better, 0.5 is chance.

    >>> equal_error_rate(np.array([0.9, 0.8, 0.7, 0.2]), np.array([0.6, 0.3, 0.1, 0.0]))
    0.25
    """
    return _equal_errors(genuine, impostor)[1]


def equal_error_threshold(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """The threshold of `equal_error_rate`: what reaches it counts as genuine.

    Args:
        genuine: scores ``[N]``.
        impostor: scores ``[M]``.

    Returns:
        Threshold in the unit of the scores; the middle of the gap where nothing lies between the two.

    >>> equal_error_threshold(np.array([0.9, 0.8, 0.7]), np.array([0.5, 0.3, 0.1]))
    0.6
    """
    return _equal_errors(genuine, impostor)[0]


def _equal_errors(genuine: np.ndarray, impostor: np.ndarray) -> tuple[float, float]:
    """The threshold and the error rate there."""
    genuine, impostor = _checked(genuine, impostor)
    thresholds = np.unique(np.concatenate([genuine, impostor, [np.inf]]))
    refused = np.searchsorted(np.sort(genuine), thresholds, side="left") / len(genuine)
    accepted = 1 - np.searchsorted(np.sort(impostor), thresholds, side="left") / len(impostor)
    gap = refused - accepted  # rises from -1, at the least score, to 1
    above = int(np.argmax(gap >= 0))
    weight = -gap[above - 1] / (gap[above] - gap[above - 1])
    rate = float(refused[above - 1] + weight * (refused[above] - refused[above - 1]))
    below, reached = thresholds[above - 1], thresholds[above]
    return float((below + reached) / 2 if np.isfinite(reached) else np.nextafter(below, np.inf)), rate


def _checked(genuine: np.ndarray, impostor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    genuine, impostor = np.asarray(genuine, np.float64), np.asarray(impostor, np.float64)
    for name, scores in (("genuine", genuine), ("impostor", impostor)):
        if scores.ndim != 1 or scores.size == 0 or np.isnan(scores).any():
            raise ValueError(f"`{name}` must be scores [N], N >= 1, without NaN, but got the shape {scores.shape}.")
    return genuine, impostor
