"""Whose voice is heard when. No models: where speech is cut, and arithmetic on how alike each stretch is to whom.

Nobody says where one speaker ends and the next begins, and between two of them there need not be a pause. So speech is
cut into pieces that are shorter than a turn, every stretch of neighbouring pieces is compared with every reference,
and the stretches that together fit best are the turns.

Letters: P pieces, W stretches, S subjects, T cells of the time grid, N samples.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from iap_pipelines.evaluation.functional.binding import NOBODY
from iap_pipelines.evaluation.people import CELL_SECONDS, cell_middles
from iap_pipelines.perception.interfaces import TimeSpan
from iap_pipelines.types import AudioSamples


MIN_PIECE_SECONDS = 0.2
"""A short word. Speech of twice this length or more is cut."""
MAX_STRETCH_SECONDS = 3.0
"""Longest stretch that is compared as one, so that the work grows with the length of the clip and not its square."""


class Stretch(NamedTuple):
    """Neighbouring pieces of speech without a pause between them."""

    first: int
    """place of its first piece"""
    stop: int
    """place after its last piece"""
    span: TimeSpan


def cut_speech(audio: AudioSamples, speech: Sequence[TimeSpan]) -> list[TimeSpan]:
    """Cut spans of speech into pieces of 0.2 s to 0.4 s, at the quietest moments.

    A span is cut at the edge between two cells of 40 ms around which 40 ms of sound are quietest (the first one, if
    several are), not less than 0.2 s from its ends; then so are both parts, until a part is shorter than 0.4 s.

    Args:
        audio: of the clip.
        speech: in order, without overlap.

    Returns:
        Pieces in order; together they are the spans.
    """
    samples = audio.to_mono().samples[0].numpy()
    return [piece for span in speech for piece in _cut(samples, audio.sampling_rate, span)]


def _cut(samples: np.ndarray, rate: int, span: TimeSpan) -> list[TimeSpan]:
    if span.duration < 2 * MIN_PIECE_SECONDS - 1e-9:
        return [span]
    first = int(np.ceil((span.start + MIN_PIECE_SECONDS) / CELL_SECONDS - 1e-6))
    last = int((span.end - MIN_PIECE_SECONDS) / CELL_SECONDS + 1e-6)
    if last < first:
        return [span]
    edges = np.arange(first, last + 1) * CELL_SECONDS
    moment = float(edges[np.argmin([_energy(samples, rate, edge) for edge in edges])])
    before, after = TimeSpan(span.start, moment), TimeSpan(moment, span.end)
    return [*_cut(samples, rate, before), *_cut(samples, rate, after)]


def _energy(samples: np.ndarray, rate: int, moment: float) -> float:
    """Mean square of the sound in the 40 ms around a moment."""
    around = samples[
        max(0, round((moment - CELL_SECONDS / 2) * rate)) : max(1, round((moment + CELL_SECONDS / 2) * rate))
    ]
    return float(np.mean(np.square(around, dtype=np.float64))) if len(around) else 0.0


def stretches_of(pieces: Sequence[TimeSpan]) -> list[Stretch]:
    """Every run of neighbouring pieces of 3 s at most (a longer piece is one alone)."""
    found = []
    for first, piece in enumerate(pieces):
        found.append(Stretch(first, first + 1, piece))
        for stop in range(first + 1, len(pieces)):
            touches = abs(pieces[stop].start - pieces[stop - 1].end) < 1e-6
            if not touches or pieces[stop].end - piece.start > MAX_STRETCH_SECONDS:
                break
            found.append(Stretch(first, stop + 1, TimeSpan(piece.start, pieces[stop].end)))
    return found


def label_voices(
    stretches: Sequence[Stretch],
    similarities: np.ndarray,
    min_similarities: np.ndarray,
    duration_seconds: float,
    *,
    anybody: bool = False,
) -> np.ndarray:
    """Say whose voice is heard in each cell.

    Speech is divided into stretches. A stretch is the subject's to whom it is most alike, and earns its seconds times
    what its similarity has above the threshold for its length; or it is nobody's, and earns nothing. The division that
    earns most in sum is taken.

    Args:
        stretches: of the clip, see `stretches_of`.
        similarities: of each with each subject ``[W, S]``, S at least 1.
        min_similarities: from where on speech of that length is somebody's ``[W]``.
        duration_seconds: of the clip.
        anybody: every stretch is somebody's, however little it earns.

    Returns:
        Index of a subject, or `NOBODY`, per cell ``[T]``; `NOBODY` where nobody speaks.
    """
    above = np.asarray(similarities).max(axis=1) - min_similarities
    subjects = np.asarray(similarities).argmax(axis=1)
    if not anybody:
        subjects, above = np.where(above >= 0, subjects, NOBODY), np.maximum(above, 0.0)
    earned = [0.0] + [-np.inf] * max(stretch.stop for stretch in stretches)
    last: list[int] = [-1] * len(earned)
    for index in sorted(range(len(stretches)), key=lambda index: (stretches[index].first, -stretches[index].stop)):
        stretch = stretches[index]
        total = earned[stretch.first] + stretch.span.duration * float(above[index])
        if total > earned[stretch.stop]:
            earned[stretch.stop], last[stretch.stop] = total, index
    middles = cell_middles(duration_seconds)
    labels = np.full(len(middles), NOBODY)
    end = len(earned) - 1
    while end > 0:
        stretch = stretches[last[end]]
        labels[(middles >= stretch.span.start) & (middles < stretch.span.end)] = subjects[last[end]]
        end = stretch.first
    return labels
