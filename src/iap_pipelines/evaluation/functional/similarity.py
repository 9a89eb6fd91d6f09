"""How alike two faces or two voices are. Letters: F frames, K references, D channels of an embedding."""

from typing import NamedTuple

import numpy as np


class FaceSimilarity(NamedTuple):
    """Result of `face_similarity`."""

    similarity: float | None
    """Mean cosine over the frames with a face, in [-1, 1]; higher is better. ``None`` without any face."""
    share_with_face: float
    """Share of the frames in which the face was found, in [0, 1]; higher is better."""


def template(references: np.ndarray) -> np.ndarray:
    """One unit vector for several embeddings of the same person: the normalised mean of their unit vectors.

    Args:
        references: ``[K, D]`` or ``[D]``.

    Raises:
        ValueError: for no reference, one that is not finite, or a zero vector.

    >>> template(np.array([[2.0, 0.0], [0.0, 1.0]])).round(3).tolist()
    [0.707, 0.707]
    """
    references = np.atleast_2d(np.asarray(references, np.float64))
    if references.size == 0 or not np.isfinite(references).all():
        raise ValueError(f"`references` must be finite embeddings [K, D], K >= 1, but got shape {references.shape}.")
    return _unit(_unit(references).mean(axis=0))


def face_similarity(frames: np.ndarray, references: np.ndarray) -> FaceSimilarity:
    """Compare the faces of a clip with the reference faces of one person.

    Args:
        frames: embeddings ``[F, D]`` of the person's face in frames evenly spread over the clip; a row of NaN where no
            face of this person was found.
        references: embeddings ``[K, D]`` of the reference pictures.

    Returns:
        Mean over frames with a face of the cosine to `template(references)`, and the share of such frames.

    >>> face_similarity(np.array([[1.0, 0.0], [0.6, 0.8], [np.nan, np.nan]]), np.array([[1.0, 0.0]]))
    FaceSimilarity(similarity=0.8, share_with_face=0.6666666666666666)
    """
    cosines = _cosines(frames, references)
    seen = cosines[~np.isnan(cosines)]
    return FaceSimilarity(float(seen.mean()) if seen.size else None, len(seen) / max(len(cosines), 1))


def voice_similarity(voice: np.ndarray, references: np.ndarray) -> float:
    """Compare a voice ``[D]`` with the reference recordings ``[K, D]`` of one person.

    Returns:
        Cosine to `template(references)` in [-1, 1]; higher is better.

    >>> round(voice_similarity(np.array([3.0, 4.0]), np.array([[1.0, 0.0]])), 6)
    0.6
    """
    return float(_cosines(np.atleast_2d(voice), references)[0])


def copy_paste(frames: np.ndarray, given: np.ndarray, others: np.ndarray) -> float | None:
    """How much closer the clip is to the given picture than another picture of the same person is.

    Args:
        frames: as in `face_similarity`.
        given: embedding ``[D]`` of the picture that the generator was given.
        others: embeddings ``[K, D]`` of pictures of the same person that it was not given.

    Returns:
        Mean cosine of frames and given picture minus mean cosine of the others and the given picture, in [-2, 2].
        0: as close as a real picture is. Above 0: the picture is copied rather than the person shown; lower is better
        there. Below 0: less like the person than a real picture. ``None`` without any face.

    >>> copy_paste(np.array([[1.0, 0.0]]), np.array([1.0, 0.0]), np.array([[0.6, 0.8], [0.0, 1.0]]))
    0.7
    """
    similarity = face_similarity(frames, given).similarity
    if similarity is None:
        return None
    return float(similarity - _cosines(others, given).mean())


def identity_drift(frames: np.ndarray, references: np.ndarray, times: np.ndarray) -> float | None:
    """How fast a person stops looking like the reference.

    Args:
        frames: as in `face_similarity`.
        references: as in `face_similarity`.
        times: of the frames, in seconds ``[F]``.

    Returns:
        Minus the slope of the least-squares line through the cosines, per second; lower is better, 0 is none, below 0
        the likeness grows. ``None`` with faces at fewer than two times.

    >>> turned = np.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]])
    >>> round(identity_drift(turned, np.array([[1.0, 0.0]]), np.array([0.0, 0.5, 1.0])), 6)
    0.4
    """
    cosines, times = _cosines(frames, references), np.asarray(times, np.float64)
    if times.shape != cosines.shape:
        raise ValueError(f"`times` must have one entry per frame, {cosines.shape}, but has the shape {times.shape}.")
    seen = ~np.isnan(cosines)
    times, cosines = times[seen], cosines[seen]
    if len(np.unique(times)) < 2:
        return None
    centred = times - times.mean()
    return float(-(centred @ cosines) / (centred @ centred))


def prompt_adherence(clip: np.ndarray, prompt: np.ndarray) -> float:
    """Compare what is seen or heard with the caption, in a space shared with text (CLIP for pictures, CLAP for sound).

    Args:
        clip: embeddings ``[F, D]`` of frames, or of pieces of the sound.
        prompt: embedding ``[D]`` of the caption.

    Returns:
        Mean cosine in [-1, 1]; higher is better.

    >>> prompt_adherence(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.0, 2.0]))
    0.5
    """
    return float(_cosines(clip, prompt).mean())


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not (norms > 0).all():
        raise ValueError("An embedding must not be the zero vector: its direction says who it is.")
    return vectors / norms


def _cosines(embeddings: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Cosine of every row with the template; NaN where the row is NaN."""
    embeddings, reference = np.asarray(embeddings, np.float64), template(references)
    if embeddings.ndim != 2 or embeddings.shape[1] != len(reference):
        raise ValueError(
            f"Embeddings must have the shape [N, {len(reference)}] of the references, but got {embeddings.shape}: "
            "were they made by the same model?"
        )
    cosines = np.full(len(embeddings), np.nan)
    present = ~np.isnan(embeddings).any(axis=1)
    cosines[present] = _unit(embeddings[present]) @ reference
    return cosines
