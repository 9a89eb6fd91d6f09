"""Who speaks with which face. Letters: T cells of a time grid, R references."""

from typing import NamedTuple

import numpy as np


NOBODY = -1
"""Label of a cell in which the active face, or the voice, is none of the references."""


class Binding(NamedTuple):
    """Result of `binding`."""

    share: float | None
    """Share of speech time in which face and voice are the same reference, in [0, 1]; higher is better. ``None``
    without speech."""
    confusion: np.ndarray
    """Cells of speech ``[R + 1, R + 1]``: row, the active face; column, the voice; the last of each is nobody."""


def binding(faces: np.ndarray, voices: np.ndarray, speech: np.ndarray, num_references: int) -> Binding:
    """Score who speaks with which face, on a time grid.

    Args:
        faces: the reference whose face is active (its mouth makes the sound) in each cell, integer ``[T]`` in
            0 to R - 1, or `NOBODY`.
        voices: the reference whose voice is heard in each cell, likewise.
        speech: whether anybody speaks in each cell, bool ``[T]``. Other cells do not count.
        num_references: R.

    Returns:
        The share of speech cells with ``faces == voices != NOBODY``, and the confusion matrix. Cells in which nobody
        was recognised count against the share: a voice without its face is not bound.

    Raises:
        ValueError: for shapes that differ, or a label that is no reference.

    >>> faces, voices = np.array([0, 0, 1, 1, -1]), np.array([0, 0, 1, 0, 1])
    >>> result = binding(faces, voices, np.ones(5, bool), 2)
    >>> result.share, result.confusion.tolist()
    (0.6, [[2, 0, 0], [1, 1, 0], [0, 1, 0]])
    """
    faces, voices, speech = np.asarray(faces), np.asarray(voices), np.asarray(speech, bool)
    if not faces.shape == voices.shape == speech.shape or faces.ndim != 1:
        raise ValueError(
            "`faces`, `voices` and `speech` must be [T] on the same grid, but have the shapes "
            f"{faces.shape}, {voices.shape} and {speech.shape}."
        )
    for name, labels in (("faces", faces), ("voices", voices)):
        if not np.isin(labels, np.arange(NOBODY, num_references)).all():
            raise ValueError(f"`{name}` must hold -1 or 0 to {num_references - 1}, but holds {np.unique(labels)}.")
    confusion = np.zeros((num_references + 1, num_references + 1), np.int64)
    # -1 indexes the last row and the last column.
    np.add.at(confusion, (faces[speech], voices[speech]), 1)
    total = int(confusion.sum())
    return Binding(float(np.trace(confusion[:-1, :-1])) / total if total else None, confusion)
