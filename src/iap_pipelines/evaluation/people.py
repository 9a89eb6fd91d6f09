"""Who is who in a clip: tracks to references, and the time grid of speech. No models: arithmetic on embeddings.

Letters: N tracks, S subjects, F sampled frames, T cells of the time grid, D channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from iap_pipelines.evaluation.functional.binding import NOBODY
from iap_pipelines.perception.interfaces import TimeSpan


CELL_SECONDS = 0.04
"""Step of the time grid of speech: one frame of 25 per second."""


@dataclass(frozen=True)
class Turn:
    """Speech of one voice without a pause of another: `voice` is a subject's index, or `NOBODY`."""

    span: TimeSpan
    voice: int


def assign_tracks(faces: Sequence[np.ndarray], spans: Sequence[TimeSpan], references: np.ndarray) -> list[int]:
    """Say which subject each face track shows.

    First every subject gets one track, all together, so that the sum of (cosine + 1) x seconds is largest (Hungarian).
    Then the tracks that are left, the most alike first, go to the subject that they are most alike to among those not
    seen elsewhere at the same time.

    Args:
        faces: per track, embeddings ``[F, D]``, rows of NaN where it is not seen.
        spans: per track, when it is seen.
        references: one unit vector per subject ``[S, D]``.

    Returns:
        Per track, the index of a subject, or `NOBODY`.
    """
    labels = [NOBODY] * len(faces)
    seen = [index for index, rows in enumerate(faces) if not np.isnan(rows).all()]
    if not seen or not len(references):
        return labels
    similarity = np.stack([_mean_direction(faces[index]) @ references.T for index in seen])
    gain = (similarity + 1) * np.array([[spans[index].duration] for index in seen])
    for row, subject in zip(*linear_sum_assignment(-gain), strict=True):
        labels[seen[row]] = int(subject)
    for row in np.argsort(-similarity.max(axis=1), kind="stable"):
        track = seen[row]
        if labels[track] != NOBODY:
            continue
        for subject in np.argsort(-similarity[row], kind="stable"):
            own = [spans[other] for other, label in enumerate(labels) if label == subject]
            if not any(_overlap(spans[track], other) for other in own):
                labels[track] = int(subject)
                break
    return labels


def merge_faces(faces: Sequence[np.ndarray]) -> np.ndarray:
    """One ``[F, D]`` from tracks of the same subject that are never seen together."""
    merged = faces[0].copy()
    for rows in faces[1:]:
        empty = np.isnan(merged).any(axis=1)
        merged[empty] = rows[empty]
    return merged


def speech_cells(speech: Sequence[TimeSpan], duration_seconds: float) -> np.ndarray:
    """Whether somebody speaks at the middle of each cell of the grid, bool ``[T]``."""
    middles = cell_middles(duration_seconds)
    spoken = np.zeros(len(middles), bool)
    for span in speech:
        spoken |= (middles >= span.start) & (middles < span.end)
    return spoken


def cell_middles(duration_seconds: float) -> np.ndarray:
    """Middles of the cells, in seconds ``[T]``; the last cell may reach beyond the end."""
    return (np.arange(int(np.ceil(duration_seconds / CELL_SECONDS - 1e-9))) + 0.5) * CELL_SECONDS


def turns(voices: np.ndarray, spoken: np.ndarray) -> list[Turn]:
    """Runs of cells with the same voice."""
    states = np.where(spoken, voices, NOBODY - 1)
    edges = np.flatnonzero(np.diff(states)) + 1
    bounds = [0, *edges.tolist(), len(states)]
    return [
        Turn(TimeSpan(first * CELL_SECONDS, last * CELL_SECONDS), int(states[first]))
        for first, last in zip(bounds, bounds[1:], strict=False)
        if last > first and states[first] >= NOBODY
    ]


def _mean_direction(rows: np.ndarray) -> np.ndarray:
    mean = rows[~np.isnan(rows).any(axis=1)].mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def _overlap(first: TimeSpan, second: TimeSpan) -> bool:
    return min(first.end, second.end) > max(first.start, second.start)
