"""Thresholds of similarity, found on data: where do strangers end and where does the same person begin?

Labels are free. Two faces that are seen at once are two people. Two halves of one track, or one track and the next
that face and voice both agree on, are one. `calibrate` takes both lists of similarities and a rate of false matches
that is wanted; the threshold is the lowest that keeps to it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from iap_pipelines.curation.link import without_common
from iap_pipelines.curation.results import ClipSubject


FALSE_MATCH_RATE = 0.001
"""Share of strangers that may be taken for one person."""


@dataclass(frozen=True)
class Calibration:
    """A threshold and what it does on the data it was found on.

    Args:
        threshold: cosine; what is above counts as one person.
        false_match_rate: share of the pairs of strangers above it.
        true_match_rate: share of the pairs of one person above it; ``None`` when there were no such pairs.
        num_different: pairs of strangers.
        num_same: pairs of one person.
    """

    threshold: float
    false_match_rate: float
    true_match_rate: float | None
    num_different: int
    num_same: int

    def advised(self, used: float, false_match_rate: float = FALSE_MATCH_RATE) -> float:
        """The threshold to use instead of ``used``.

        Pairs too few to show the rate can tell that it is too low, but not that it is too high.
        """
        shows_rate = self.num_different * false_match_rate >= 1
        return self.threshold if shows_rate else max(used, self.threshold)


def calibrate(
    different: Sequence[float], same: Sequence[float], false_match_rate: float = FALSE_MATCH_RATE
) -> Calibration:
    """Find the lowest threshold with at most this share of strangers above it.

    With few pairs the rate cannot be seen: n pairs show rates from 1/n. Then the largest similarity of strangers
    decides, and the middle of the gap to the people that are the same is taken when there is one.

    Args:
        different: similarities of pairs of strangers, at least one.
        same: similarities of pairs of one person; may be empty.
        false_match_rate: share of strangers that may be taken for one person.

    >>> calibrate([0.1, 0.2, 0.3], [0.7, 0.9]).threshold
    0.5
    """
    if not len(different):
        raise ValueError("`different` must hold at least one similarity of two strangers.")
    strangers, same = np.sort(np.asarray(different, np.float64)), np.sort(np.asarray(same, np.float64))
    num_allowed = int(false_match_rate * len(strangers))
    limit = float(strangers[len(strangers) - 1 - num_allowed])
    above = same[same > limit]
    threshold = (limit + float(above[0])) / 2 if num_allowed == 0 and len(above) else float(np.nextafter(limit, 2))
    return Calibration(
        threshold=threshold,
        false_match_rate=float((strangers >= threshold).mean()),
        true_match_rate=float((same >= threshold).mean()) if len(same) else None,
        num_different=len(strangers),
        num_same=len(same),
    )


def strangers_of_clips(
    subjects: Iterable[ClipSubject],
    seen: Mapping[str, tuple[float, float]],
    common_face: Sequence[float] | None = None,
) -> tuple[list[float], list[float]]:
    """Similarities of faces, and of voices, of different people: all who are seen at once in a clip.

    Of faces that are seen one after the other both may be one person's who looked away.

    Args:
        subjects: of any number of clips.
        seen: when each track begins and ends, by its id.
        common_face: what `link_subjects` took off the faces before it compared them (`Linked.common_face`).
    """
    by_clip: dict[str, list[ClipSubject]] = {}
    for subject in subjects:
        by_clip.setdefault(subject.clip_id, []).append(subject)
    faces, voices = [], []
    for group in by_clip.values():
        for index, first in enumerate(group):
            for second in group[index + 1 :]:
                spans = seen[first.track_id], seen[second.track_id]
                if max(start for start, _ in spans) > min(end for _, end in spans):
                    continue
                pair = (without_common(one.face_embedding, common_face) for one in (first, second))
                faces.append(float(np.dot(*pair)))
                if first.voice_embedding is not None and second.voice_embedding is not None:
                    voices.append(float(np.dot(first.voice_embedding, second.voice_embedding)))
    return faces, voices
