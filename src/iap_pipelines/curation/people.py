"""From tracks and turns of kept clips to subjects, and from groups of subjects to identities."""

from collections.abc import Iterable, Sequence

import numpy as np

from iap_pipelines.curation.records import Clip, ClipTurn, Track, View, content_id
from iap_pipelines.curation.results import ClipSubject, Identity
from iap_pipelines.curation.stage import Known


_POSITIONS = {1: (None,), 2: ("left", "right"), 3: ("left", "center", "right")}


def numbered_tracks(known: Known, clip: Clip) -> list[tuple[Track, str | None]]:
    """The faces of a clip from left to right, each with its position; the k-th is `<Sk>` of the caption."""
    tracks = sorted(known.all(Track, clip_id=clip.clip_id), key=lambda track: (track.center_x, track.track_id))
    positions = _POSITIONS.get(len(tracks)) or [_third(track.center_x) for track in tracks]
    return list(zip(tracks, positions, strict=True))


def _third(center_x: float) -> str:
    return ("left", "center", "right")[min(2, max(0, int(3 * center_x)))]


def subjects_of(known: Known, clip: Clip) -> list[ClipSubject]:
    """The people of a kept clip, each still an identity of its own."""
    return [
        _subject(known, clip, number, track, position)
        for number, (track, position) in enumerate(numbered_tracks(known, clip), start=1)
    ]


def _subject(known: Known, clip: Clip, number: int, track: Track, position: str | None) -> ClipSubject:
    turns = known.all(ClipTurn, clip_id=clip.clip_id, track_id=track.track_id)
    views = known.all(View, track_id=track.track_id)
    longest = max(turns, key=lambda turn: (_seconds(turn), turn.turn_id), default=None)
    best = max(views, key=lambda view: (view.view_score, view.view_id), default=None)
    subject_id = content_id(clip.clip_id, "subject", track.track_id)
    return ClipSubject(
        subject_id=subject_id,
        clip_id=clip.clip_id,
        source_id=clip.source_id,
        number=number,
        track_id=track.track_id,
        identity_id=subject_id,
        role="speaker" if turns else "listener",
        position=position,
        speech_seconds=sum(map(_seconds, turns)),
        match_score=_lowest(turn.match_score for turn in turns),
        match_margin=_lowest(turn.match_margin for turn in turns),
        face_embedding=track.embedding,
        voice_embedding=mean_vector(
            [turn.embedding for turn in turns if turn.embedding is not None],
            [_seconds(turn) for turn in turns if turn.embedding is not None],
        ),
        view_id=best and best.view_id,
        turn_id=longest and longest.turn_id,
    )


def _seconds(turn: ClipTurn) -> float:
    return turn.end_seconds - turn.start_seconds


def _lowest(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def mean_vector(vectors: Sequence[Sequence[float]], weights: Sequence[float]) -> tuple[float, ...] | None:
    """Weighted mean of unit vectors, of unit length; ``None`` of none."""
    if not vectors:
        return None
    mean = np.average(np.array(vectors, np.float64), axis=0, weights=weights)
    return tuple((mean / max(np.linalg.norm(mean), 1e-9)).tolist())


def identity_of(
    group: Sequence[ClipSubject], views: dict[str, Sequence[View]], turns: dict[str, Sequence[ClipTurn]]
) -> Identity:
    """Describe the person that a group of subjects is.

    Args:
        group: at least one subject.
        views: of each track.
        turns: of each track.
    """
    heard = [subject for subject in group if subject.voice_embedding is not None]
    face = mean_vector([subject.face_embedding for subject in group], [1.0] * len(group))
    voice = mean_vector([subject.voice_embedding for subject in heard], [1.0] * len(heard))
    all_views = [view for subject in group for view in views.get(subject.track_id, ())]
    all_turns = [turn for subject in group for turn in turns.get(subject.track_id, ())]
    best = max(all_views, key=lambda view: (view.view_score, view.view_id), default=None)
    longest = max(all_turns, key=lambda turn: (_seconds(turn), turn.turn_id), default=None)
    members = sorted(subject.subject_id for subject in group)
    return Identity(
        identity_id=content_id("identity", members[0]),
        subject_ids=tuple(members),
        num_clips=len({subject.clip_id for subject in group}),
        num_sources=len({subject.source_id for subject in group}),
        voice_seconds=sum(map(_seconds, all_turns)),
        face_coherence=_coherence([subject.face_embedding for subject in group], face),
        voice_coherence=_coherence([subject.voice_embedding for subject in heard], voice) if heard else None,
        face_embedding=face,
        voice_embedding=voice,
        view_id=best and best.view_id,
        turn_id=longest and longest.turn_id,
    )


def _coherence(vectors: Sequence[Sequence[float]], mean: Sequence[float]) -> float:
    return float((np.array(vectors, np.float64) @ np.array(mean)).min())
