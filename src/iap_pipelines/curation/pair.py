"""References for targets: a face and a voice of the same person, out of another clip.

A reference out of the target itself teaches copying: the pose, the light and the words come along with the person.
So a clip's own pictures and sound are references only for people who have no other clip, and are marked as such.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, PositiveInt

from iap_pipelines.curation.records import ClipTurn, View, content_id
from iap_pipelines.curation.results import ClipSubject, Identity, MultiView, Reference


class PairSettings(BaseModel):
    """How many references a target gets, and when two pictures count as different."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    faces_per_target: PositiveInt = 3
    """Pictures for each subject of a clip."""
    voices_per_target: PositiveInt = 2
    """Recordings for each subject of a clip who speaks."""
    min_voice_seconds: float = 1.0
    """Shorter turns are no references."""
    min_fingerprint_distance: int = 8
    """Pictures whose difference hashes differ in fewer of 64 bits are near copies: used when there is nothing else."""
    min_views: PositiveInt = 3
    """A multi-view set has at least so many."""
    max_views: PositiveInt = 8
    """A multi-view set has at most so many."""
    min_clips: PositiveInt = 2
    """A multi-view set comes from at least so many clips."""


@dataclass(frozen=True)
class Material:
    """What references are made from.

    Args:
        subjects: of all kept clips, with their identities.
        views: of each track; only those that are written as files.
        turns: of each track; only those that are written as files.
        words: of each turn, in lower case.
    """

    subjects: Sequence[ClipSubject]
    views: dict[str, Sequence[View]]
    turns: dict[str, Sequence[ClipTurn]]
    words: dict[str, tuple[str, ...]]


_SCOPES = ("other_source", "other_clip", "same_clip")


def scope_of(target: ClipSubject, giver: ClipSubject) -> str:
    """Where a reference comes from, as seen from its target."""
    if giver.clip_id == target.clip_id:
        return "same_clip"
    return "other_clip" if giver.source_id == target.source_id else "other_source"


def pair_references(material: Material, settings: PairSettings) -> list[Reference]:
    """References for every subject; none comes from the target's own clip if the person has another."""
    by_identity: dict[str, list[ClipSubject]] = {}
    for subject in sorted(material.subjects, key=lambda subject: subject.subject_id):
        by_identity.setdefault(subject.identity_id, []).append(subject)
    references = []
    for group in by_identity.values():
        for target in group:
            references += _face_references(target, group, material, settings)
            if target.role == "speaker":
                references += _voice_references(target, group, material, settings)
    return references


def _face_references(
    target: ClipSubject, group: Sequence[ClipSubject], material: Material, settings: PairSettings
) -> Iterable[Reference]:
    own = material.views.get(target.track_id, ())
    best_yaw = max(own, key=lambda view: (view.view_score, view.view_id)).yaw_degrees if own else None
    found = [(giver, view) for giver in group for view in material.views.get(giver.track_id, ())]

    def order(pair: tuple[ClipSubject, View]) -> tuple:
        giver, view = pair
        is_copy = any(
            fingerprint_distance(view.fingerprint, mine.fingerprint) < settings.min_fingerprint_distance
            for mine in own
        )
        return is_copy, _SCOPES.index(scope_of(target, giver)), -view.view_score, view.view_id

    for rank, (giver, view) in enumerate(sorted(_from_others(target, found), key=order)[: settings.faces_per_target]):
        yield _reference(
            target,
            giver,
            modality="face",
            rank=rank,
            view_id=view.view_id,
            similarity=_cosine(target.face_embedding, giver.face_embedding),
            yaw_difference=None if best_yaw is None else abs(view.yaw_degrees - best_yaw),
        )


def _voice_references(
    target: ClipSubject, group: Sequence[ClipSubject], material: Material, settings: PairSettings
) -> Iterable[Reference]:
    own = {material.words.get(turn.turn_id, ()) for turn in material.turns.get(target.track_id, ())}
    found = [
        (giver, turn)
        for giver in group
        for turn in material.turns.get(giver.track_id, ())
        if turn.end_seconds - turn.start_seconds >= settings.min_voice_seconds
    ]

    def order(pair: tuple[ClipSubject, ClipTurn]) -> tuple:
        giver, turn = pair
        says_the_same = any(_share_phrase(material.words.get(turn.turn_id, ()), mine) for mine in own)
        scope = _SCOPES.index(scope_of(target, giver))
        return says_the_same, scope, turn.start_seconds - turn.end_seconds, turn.turn_id

    for rank, (giver, turn) in enumerate(sorted(_from_others(target, found), key=order)[: settings.voices_per_target]):
        yield _reference(
            target,
            giver,
            modality="voice",
            rank=rank,
            turn_id=turn.turn_id,
            similarity=_cosine(target.voice_embedding, turn.embedding),
        )


def _from_others(target: ClipSubject, found: Sequence[tuple]) -> Sequence[tuple]:
    others = [pair for pair in found if pair[0].clip_id != target.clip_id]
    return others or [pair for pair in found if pair[0].subject_id == target.subject_id]


def _reference(target: ClipSubject, giver: ClipSubject, *, modality: str, **values: object) -> Reference:
    given = values.get("view_id") or values.get("turn_id")
    known = {"view_id": None, "turn_id": None, "yaw_difference": None, **values}
    return Reference(
        reference_id=content_id(target.subject_id, modality, given),
        clip_id=target.clip_id,
        subject_id=target.subject_id,
        identity_id=target.identity_id,
        modality=modality,
        scope=scope_of(target, giver),
        from_clip_id=giver.clip_id,
        from_source_id=giver.source_id,
        **known,
    )


def fingerprint_distance(first: str, second: str) -> int:
    """Bits in which two difference hashes differ.

    >>> fingerprint_distance("00ff", "00f0")
    4
    """
    return (int(first, 16) ^ int(second, 16)).bit_count()


def _cosine(first: Sequence[float] | None, second: Sequence[float] | None) -> float | None:
    if first is None or second is None:
        return None
    return float(np.dot(np.array(first, np.float64), np.array(second, np.float64)))


def _share_phrase(first: Sequence[str], second: Sequence[str], length: int = 3) -> bool:
    """Whether two texts have three words in a row in common."""
    phrases = {tuple(second[index : index + length]) for index in range(len(second) - length + 1)}
    return any(tuple(first[index : index + length]) in phrases for index in range(len(first) - length + 1))


def multi_view_sets(identities: Sequence[Identity], material: Material, settings: PairSettings) -> list[MultiView]:
    """A set of different views for everybody who has enough of them."""
    tracks = {subject.subject_id: subject for subject in material.subjects}
    sets = []
    for identity in identities:
        group = [tracks[subject_id] for subject_id in identity.subject_ids]
        views = _different_views(
            [view for subject in group for view in material.views.get(subject.track_id, ())], settings
        )
        clips = {view.clip_id for view in views}
        if len(views) < settings.min_views or len(clips) < settings.min_clips:
            continue
        turns = [turn for subject in group for turn in material.turns.get(subject.track_id, ())]
        turns.sort(key=lambda turn: (turn.start_seconds - turn.end_seconds, turn.turn_id))
        sets.append(
            MultiView(
                identity_id=identity.identity_id,
                view_ids=tuple(view.view_id for view in views),
                turn_ids=tuple(turn.turn_id for turn in turns),
                clip_ids=tuple(sorted({subject.clip_id for subject in group})),
                yaw_degrees=tuple(view.yaw_degrees for view in views),
            )
        )
    return sets


def _different_views(views: Sequence[View], settings: PairSettings) -> list[View]:
    """The best views that are no near copies of each other, taken from the clips in turn."""
    chosen: list[View] = []
    taken_of: dict[str, int] = {}
    left = sorted(views, key=lambda view: (-view.view_score, view.view_id))
    while left and len(chosen) < settings.max_views:
        view = min(left, key=lambda view: (taken_of.get(view.clip_id, 0), -view.view_score, view.view_id))
        left.remove(view)
        if all(
            fingerprint_distance(view.fingerprint, other.fingerprint) >= settings.min_fingerprint_distance
            for other in chosen
        ):
            chosen.append(view)
            taken_of[view.clip_id] = taken_of.get(view.clip_id, 0) + 1
    return chosen
