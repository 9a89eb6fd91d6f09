"""Identities across clips: an edge needs the face and the voice, and a group never holds two people of one clip.

Groups grow by the strongest edge first (union-find). A merge is refused when it would put two subjects of one clip
together (cannot-link), or when the two groups do not agree as wholes (a weak bridge). Whoever is never heard joins
last, by face alone and with a higher bar.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, ConfigDict

from iap_pipelines.curation.records import content_id
from iap_pipelines.curation.results import ClipSubject, Link


_NUM_CENTERINGS = 2
"""Times that what faces have in common is looked for anew; more change nothing."""


class LinkSettings(BaseModel):
    """Thresholds are cosines of the configured embedders; `calibrate.py` finds them on data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_face_similarity: float = 0.60
    """Two faces that may be one person."""
    min_voice_similarity: float = 0.56
    """Two voices that may be one person."""
    min_group_face_similarity: float = 0.55
    """Mean over all pairs of two groups before they are joined."""
    min_group_voice_similarity: float = 0.50
    """Mean over all pairs of two groups before they are joined."""
    min_face_alone: float = 0.75
    """Face similarity that is enough for somebody who is never heard."""
    same_pictures_similarity: float = 0.90
    """Faces this close are one person for sure; when their voices differ, one of the two is dubbed."""
    other_voice_similarity: float = 0.50
    """Voices below this are two people's."""
    min_people_to_center: int | None = 5
    """Fewer people do not show what all faces have in common, which is taken off before they are compared: an embedder
    knows the mean of the faces that it was made for, not of yours. ``null``: never."""
    num_neighbours: int = 50
    """Faces that each face is compared with, the closest ones."""


@dataclass(frozen=True)
class Linked:
    """What linking found.

    Args:
        groups: subjects of each person, each sorted by id.
        links: every pair that was compared closely, with its decision.
        common_face: what was taken off all faces before they were compared; ``None`` when nothing was.
    """

    groups: tuple[tuple[ClipSubject, ...], ...]
    links: tuple[Link, ...]
    common_face: tuple[float, ...] | None = None


def link_subjects(subjects: Sequence[ClipSubject], settings: LinkSettings) -> Linked:
    """Group the appearances of one person. The order of ``subjects`` does not matter.

    It is done again without what the faces of the people found have in common (`find_common_face`), and once more:
    strangers who were one person only because their faces share it are counted then.
    """
    subjects = sorted(subjects, key=lambda subject: subject.subject_id)
    if not subjects:
        return Linked((), ())
    linked = _link_faces(subjects, [subject.face_embedding for subject in subjects], settings)
    for _ in range(_NUM_CENTERINGS):
        common = find_common_face(linked.groups, settings.min_people_to_center)
        if common is None:
            break
        faces = [without_common(subject.face_embedding, common) for subject in subjects]
        linked = replace(_link_faces(subjects, faces, settings), common_face=tuple(common.tolist()))
    return linked


def find_common_face(groups: Sequence[Sequence[ClipSubject]], min_people: int | None) -> np.ndarray | None:
    """What the faces of different people have in common, ``[D]``; ``None`` when they do not show anything.

    Faces of an embedder's own kind have a cosine of 0 on average. What the mean of a few faces holds beyond that is
    partly these few themselves, so it is made shorter (James and Stein): to what the average cosine of two people,
    less its standard error, says that all share. Each person counts once, however often they appear.

    Args:
        groups: the appearances of each person.
        min_people: fewer say nothing; ``None``: nobody does.
    """
    if min_people is None or len(groups) < max(min_people, 2):
        return None
    means = [np.mean([one.face_embedding for one in group], axis=0, dtype=np.float64) for group in groups]
    people = np.stack([mean / max(float(np.linalg.norm(mean)), 1e-9) for mean in means])
    mean, count = people.mean(axis=0), len(people)
    to_others = (count * people @ mean - 1) / (count - 1)  # mean cosine of each person to all others
    shared = to_others.mean() - 2 * to_others.std(ddof=1) / np.sqrt(count)  # its standard error, as of a U-statistic
    return None if shared <= 0 else mean * shared / (mean @ mean)


def without_common(face: Sequence[float], common: Sequence[float] | None) -> np.ndarray:
    """A face without what all faces have in common, of unit length ``[D]``; as it is when that is ``None``."""
    rest = np.array(face, np.float64) - (0.0 if common is None else np.array(common, np.float64))
    return rest / max(float(np.linalg.norm(rest)), 1e-9)


def _link_faces(subjects: Sequence[ClipSubject], faces: Sequence[Sequence[float]], settings: LinkSettings) -> Linked:
    similarity = _Similarity(subjects, np.array(faces, np.float64))
    groups = _Groups(subjects)
    decisions: dict[tuple[int, int], str] = {}
    pairs = _candidates(similarity, settings)
    heard = [pair for pair in pairs if similarity.voice(*pair) is not None]
    for first, second in sorted(heard, key=lambda pair: (-similarity.total(*pair), pair)):
        decisions[first, second] = _join_heard(groups, similarity, settings, first, second)
    silent = [pair for pair in pairs if similarity.voice(*pair) is None]
    for first, second in sorted(silent, key=lambda pair: (-similarity.face(*pair), pair)):
        decisions[first, second] = _join_silent(groups, similarity, settings, first, second)
    members = [tuple(subjects[index] for index in sorted(group)) for group in groups.all()]
    links = [_link(subjects, similarity, pair, decision) for pair, decision in sorted(decisions.items())]
    return Linked(tuple(sorted(members, key=lambda group: group[0].subject_id)), tuple(links))


class _Similarity:
    def __init__(self, subjects: Sequence[ClipSubject], faces: np.ndarray) -> None:
        self.faces = faces @ faces.T
        self.is_heard = np.array([subject.voice_embedding is not None for subject in subjects])
        self.voices = np.full(self.faces.shape, np.nan)
        rows = np.flatnonzero(self.is_heard)
        if len(rows):
            voices = np.array([subjects[row].voice_embedding for row in rows], np.float64)
            self.voices[np.ix_(rows, rows)] = voices @ voices.T

    def face(self, first: int, second: int) -> float:
        return float(self.faces[first, second])

    def voice(self, first: int, second: int) -> float | None:
        value = float(self.voices[first, second])
        return None if np.isnan(value) else value

    def total(self, first: int, second: int) -> float:
        return self.face(first, second) + self.voice(first, second)


class _Groups:
    """Disjoint sets that know which of them may never meet."""

    def __init__(self, subjects: Sequence[ClipSubject]) -> None:
        self._group_of = list(range(len(subjects)))
        self._members = {index: {index} for index in range(len(subjects))}
        self._clips = [{subject.clip_id} for subject in subjects]

    def all(self) -> Iterable[set[int]]:
        return self._members.values()

    def members(self, index: int) -> list[int]:
        return sorted(self._members[self._group_of[index]])

    def are_one(self, first: int, second: int) -> bool:
        return self._group_of[first] == self._group_of[second]

    def may_meet(self, first: int, second: int) -> bool:
        return not self._clips[self._group_of[first]] & self._clips[self._group_of[second]]

    def join(self, first: int, second: int) -> None:
        kept, gone = sorted((self._group_of[first], self._group_of[second]))
        for index in self._members[gone]:
            self._group_of[index] = kept
        self._members[kept] |= self._members.pop(gone)
        self._clips[kept] |= self._clips[gone]


def _candidates(similarity: _Similarity, settings: LinkSettings) -> list[tuple[int, int]]:
    """Pairs of neighbours by face that are near enough to be looked at."""
    faces = similarity.faces.copy()
    np.fill_diagonal(faces, -np.inf)
    count = min(settings.num_neighbours, len(faces) - 1)
    pairs = set()
    for index, row in enumerate(faces):
        for other in np.argsort(-row, kind="stable")[:count].tolist():
            if row[other] >= settings.min_group_face_similarity:
                pairs.add((min(index, other), max(index, other)))
    return sorted(pairs)


def _join_heard(groups: _Groups, similarity: _Similarity, settings: LinkSettings, first: int, second: int) -> str:
    if similarity.face(first, second) < settings.min_face_similarity:
        return "face_differs"
    if similarity.voice(first, second) < settings.min_voice_similarity:
        return "voice_differs"
    if groups.are_one(first, second):
        return "linked"
    if not groups.may_meet(first, second):
        return "cannot_link"
    block = np.ix_(groups.members(first), groups.members(second))
    if (
        similarity.faces[block].mean() < settings.min_group_face_similarity
        or np.nanmean(similarity.voices[block]) < settings.min_group_voice_similarity
    ):
        return "weak_bridge"
    groups.join(first, second)
    return "linked"


def _join_silent(groups: _Groups, similarity: _Similarity, settings: LinkSettings, first: int, second: int) -> str:
    if similarity.face(first, second) < settings.min_face_alone:
        return "not_heard"
    if groups.are_one(first, second):
        return "face_only"
    if not groups.may_meet(first, second):
        return "cannot_link"
    members = groups.members(first), groups.members(second)
    if all(similarity.is_heard[list(group)].any() for group in members):
        return "not_heard"  # two people who are heard are never joined through somebody who is not
    if similarity.faces[np.ix_(*members)].mean() < settings.min_face_alone:
        return "weak_bridge"
    groups.join(first, second)
    return "face_only"


def _link(subjects: Sequence[ClipSubject], similarity: _Similarity, pair: tuple[int, int], decision: str) -> Link:
    first, second = (subjects[index].subject_id for index in pair)
    return Link(
        link_id=content_id("link", first, second),
        subject_a=first,
        subject_b=second,
        face_similarity=similarity.face(*pair),
        voice_similarity=similarity.voice(*pair),
        decision=decision,
    )


def find_dubbed(
    linked: Linked, settings: LinkSettings, sync_scores: dict[str, float | None]
) -> dict[str, tuple[str, float]]:
    """Clips whose faces are surely somebody's who has another voice elsewhere.

    Of the two clips of such a pair, the one with fewer clips that agree with it is dubbed; when they are equal, the
    one whose lips follow the speech less.

    Args:
        linked: from `link_subjects`.
        settings: thresholds.
        sync_scores: of each clip.

    Returns:
        ``clip_id`` to the clip that contradicts it and the similarity of the two voices.
    """
    clip_of = {subject.subject_id: subject.clip_id for group in linked.groups for subject in group}
    support: dict[str, int] = defaultdict(int)
    for link in linked.links:
        if link.decision == "linked":
            support[link.subject_a] += 1
            support[link.subject_b] += 1
    dubbed: dict[str, tuple[str, float]] = {}
    for link in linked.links:
        if (
            link.voice_similarity is None
            or link.face_similarity < settings.same_pictures_similarity
            or link.voice_similarity >= settings.other_voice_similarity
        ):
            continue
        less, more = sorted(
            (link.subject_a, link.subject_b),
            key=lambda subject: (support[subject], sync_scores.get(clip_of[subject]) or 0.0, subject),
        )
        dubbed.setdefault(clip_of[less], (clip_of[more], link.voice_similarity))
    return dubbed


def find_confirmed(linked: Linked, settings: LinkSettings, unconfirmed: Collection[str]) -> set[str]:
    """Of subjects whose lips do not say whether the voice is theirs, those of whom other sources say it.

    There the same face speaks, its lips do follow, and the mean over all such appearances is the same voice; the best
    of many would be alike by chance. Clips of the same source do not count: a film that is dubbed is so from beginning
    to end, and in some of its clips the lips fit by chance.

    Args:
        linked: from `link_subjects`, with these subjects in it.
        settings: thresholds.
        unconfirmed: their ids.
    """
    source_of = {subject.subject_id: subject.source_id for group in linked.groups for subject in group}
    heard: dict[str, list[float]] = defaultdict(list)
    for link in linked.links:
        if link.voice_similarity is None or link.face_similarity < settings.min_face_similarity:
            continue
        for open_one, sure in ((link.subject_a, link.subject_b), (link.subject_b, link.subject_a)):
            if open_one in unconfirmed and sure not in unconfirmed and source_of[open_one] != source_of[sure]:
                heard[open_one].append(link.voice_similarity)
    return {name for name, found in heard.items() if np.mean(found) >= settings.min_voice_similarity}
