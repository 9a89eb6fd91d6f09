"""Who, where, when and what, as pure functions of what the recognisers measured.

Letters: S people, F frames, D channels of an embedding, G people of a gallery.
"""

import numpy as np


GALLERY_SIZE = 32
"""People among whom the right one is to be found: 3 % by chance."""
MIN_BOUND_FRAMES = 4
"""Frames of speech that a moving mouth must have before its voice is looked at: 0.32 s at 12.5 frames/s."""
_STILL = 1e-3
"""Deviation below which a mouth or a sound counts as constant."""


def is_nearest(query: np.ndarray, target: int, gallery: np.ndarray, generator: np.random.Generator) -> bool:
    """
    Whether a query is nearer to its target than to everybody else of 32.

    Args:
        query: unit vector `[D]`.
        target: row of the right person.
        gallery: unit vectors `[G, D]`, one per person; with more than 32 the others are drawn from `generator`.
        generator: of that draw.

    Raises:
        ValueError: for fewer than 32 people.

    >>> is_nearest(np.eye(32)[3], 3, np.eye(32), np.random.default_rng(0))
    True
    """
    if len(gallery) < GALLERY_SIZE:
        raise ValueError(f"`gallery` must hold {GALLERY_SIZE} people, but holds {len(gallery)}.")
    others = np.delete(np.arange(len(gallery)), target)
    if len(gallery) > GALLERY_SIZE:
        others = generator.choice(others, GALLERY_SIZE - 1, replace=False)
    return is_nearest_of_all(query, 0, gallery[[target, *others]])


def is_nearest_of_all(query: np.ndarray, target: int, gallery: np.ndarray) -> bool:
    """
    Whether a query is nearer to its target than to everybody else of a gallery.

    Args:
        query: unit vector `[D]`.
        target: row of the right person.
        gallery: unit vectors `[G, D]`, one per person, at least two.

    >>> is_nearest_of_all(np.array([0.6, 0.8]), 1, np.eye(2)), is_nearest_of_all(np.array([0.6, 0.8]), 0, np.eye(2))
    (True, False)
    """
    similarity = gallery @ query
    return bool(similarity[target] > np.delete(similarity, target).max())


def best_offset(opening: np.ndarray, expected: np.ndarray) -> int | None:
    """
    By how many frames the mouth comes after the sound.

    The clip is taken as a ring, so that every offset is judged by all of its frames and a mouth that has nothing to do
    with the sound lands within one frame in 3 of F cases.

    Args:
        opening: measured mouth `[F]`.
        expected: the opening that the sound asks for `[F]`.

    Returns:
        The offset of the highest correlation, from -F // 2 to F // 2; `None` if one of the two never moves.

    >>> sound = np.array([0, 0, 1, 3, 1, 0, 2, 0, 0.0])
    >>> best_offset(np.roll(sound, 2), sound)
    2
    """
    opening, expected = (np.asarray(values, np.float64) for values in (opening, expected))
    if min(opening.std(), expected.std()) < _STILL:
        return None
    expected = expected - expected.mean()
    half = len(opening) // 2
    offsets = np.arange(-half, len(opening) - half)
    return int(offsets[np.argmax([opening @ np.roll(expected, offset) for offset in offsets])])


def is_straight(similarity: np.ndarray) -> bool:
    """
    Whether two people, given from left to right, fit what was found from left to right better than crosswise.

    Args:
        similarity: `[2, 2]`, found (rows) with given (columns); NaN where nobody was found counts against it.

    >>> is_straight(np.array([[0.9, 0.2], [0.1, 0.3]])), is_straight(np.array([[np.nan, np.nan], [0.1, 0.9]]))
    (True, False)
    """
    return bool(np.trace(similarity) > similarity[0, 1] + similarity[1, 0])


def speaking_sides(openings: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """
    Whose mouth each frame's sound belongs to.

    Mouths are compared by how far they are above their own rest, over three frames.

    Args:
        openings: measured mouths `[F, S]`.
        expected: the opening that the sound asks for `[F]`.

    Returns:
        int `[F]`: the side, or -1 in silence.

    >>> speaking_sides(np.array([[0.1, 0.5], [0.1, 0.5], [0.9, 0.5], [0.9, 0.5]]), np.array([0, 0, 1, 1])).tolist()
    [-1, -1, 0, 0]
    """
    above_rest = openings - np.quantile(openings, 0.2, axis=0)
    padded = np.pad(above_rest, ((1, 1), (0, 0)), mode="edge")
    smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    return np.where(expected > 0, smooth.argmax(axis=1), -1)
