"""Which visible mouth speaks, and whether the voice is really its own. Letters: U voices, K tracks, T steps.

Two questions, asked one after the other. *Who talks* compares mouths with each other: all voices of a clip are given
to its tracks at once (Hungarian), with a column for a speaker who is not seen. *Is it this voice* compares one mouth
with one sound, and is a gate of its own, because a mouth that moves beside somebody else's speech answers the first
question well. Between a clear yes and a clear no the lips alone cannot answer it; then other clips are asked, which
know the voice of this face (`link.find_confirmed`).

Sound alone confuses voices in short sources, so faces correct it first: one voice that two mouths take turns in
speaking is two people, and two like voices that one mouth speaks are one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.optimize import linear_sum_assignment

from iap_pipelines.curation.speech import Turn, Voice, smooth_path
from iap_pipelines.curation.sync import IN_PLACE_SECONDS, Sync, measure_sync, sync_curve
from iap_pipelines.perception.interfaces import SyncScores, TimeSpan
from iap_pipelines.perception.mouth import STEP_SECONDS, MouthSeries


Verdict = Literal["matched", "late", "unconfirmed", "dubbed", "off_screen", "ambiguous"]


@dataclass(frozen=True)
class MatchSettings:
    """Thresholds of both questions. Scores are in the unit of the lip-sync model; defaults are for the linear one.

    Those of scores are what `python -m benchmarks.lip_sync_thresholds` prints, rounded.
    """

    motion_weight: float = 0.4
    """Of the logarithm of a mouth's motion relative to the others', beside the lip-sync score."""
    change_cost: float = 0.6
    """How much better, in score times seconds, another mouth has to fit before one voice becomes two people."""
    same_voice_similarity: float = 0.5
    """Cosine from which two voices that move one mouth are one."""
    min_margin: float = 0.1
    """Loss of all voices together, when one goes elsewhere, below which that one is ambiguous."""
    min_motion: float = 2.0
    """Motion of a mouth that talks, grey levels per 40 ms; a voice whose mouths all move less comes from elsewhere."""
    min_sync_score: float = 0.15
    """Agreement in place from which voice and mouth belong together."""
    min_open_score: float = -0.03
    """Agreement in place below which they do not; between the two, other clips of this face have to know the voice."""
    min_late_score: float = 0.18
    """Agreement elsewhere from which the sound is shifted rather than another one."""
    min_late_gain: float = 0.05
    """How much better it has to be than in place: a late sound may agree a little in place, too."""


@dataclass(frozen=True, eq=False)
class TalkingTrack:
    """What is known of one face's mouth."""

    mouth: MouthSeries
    sync: SyncScores


@dataclass(frozen=True)
class TurnMatch:
    """A turn, or a part of one, and the face that it belongs to.

    Args:
        turn: the turn; one that two mouths share is cut.
        track: index of the face that speaks; ``None`` unless ``verdict`` is ``matched``, ``late`` or ``unconfirmed``.
        verdict: ``matched``; ``late`` (this face's voice, but sound and lips are apart); ``unconfirmed`` (a mouth
            moves, and its lips do not say whether the voice is its own); ``dubbed`` (a mouth moves, with another voice
            than this); ``off_screen`` (no mouth moves); ``ambiguous`` (several may speak).
        candidate: index of the face that fits best, whatever the verdict; ``None`` without faces.
        score: how well it fits; ``None`` without faces.
        margin: by how much all voices together fit worse when this one goes elsewhere; ``None`` with less than two
            faces.
        sync: agreement of the candidate with all speech of this voice in the clip; ``None`` when it cannot be
            measured.
    """

    turn: Turn
    track: int | None
    verdict: Verdict
    candidate: int | None = None
    score: float | None = None
    margin: float | None = None
    sync: Sync | None = None


def match_turns(
    turns: Sequence[Turn],
    tracks: Sequence[TalkingTrack],
    voices: Sequence[Voice] | None = None,
    settings: MatchSettings | None = None,
) -> list[TurnMatch]:
    """Give every turn of a clip to a face, or say why not.

    Args:
        turns: of one clip, in order.
        tracks: the faces that are visible in the clip.
        voices: of the source; turn t is spoken by ``voices[t.speaker]``. ``None``: like voices are not joined.
        settings: thresholds; ``None``: the defaults.

    Returns:
        One match per turn, in order; more where a turn was cut.
    """
    settings = settings or MatchSettings()
    if not tracks:
        return [TurnMatch(turn, None, "off_screen") for turn in turns]
    units = _join_units(_cut_units(turns, tracks, settings), tracks, voices, settings)
    if not units:
        return []
    fits = np.array([_fits(_spans(unit), tracks, settings) for unit in units])
    matches = []
    for unit, row, (candidate, margin) in zip(units, fits, _assign(fits), strict=True):
        matches += _judge(unit, row, candidate, margin, tracks, settings)
    return sorted(matches, key=lambda match: (match.turn.start, match.turn.end))


def _cut_units(
    turns: Sequence[Turn], tracks: Sequence[TalkingTrack], settings: MatchSettings
) -> list[tuple[Turn, ...]]:
    """Turns grouped by who speaks: by voice, and by mouth where two mouths take turns in one voice."""
    units: dict[tuple[int, int], list[Turn]] = {}
    for speaker in sorted({turn.speaker for turn in turns}):
        own = [turn for turn in turns if turn.speaker == speaker]
        if len(tracks) == 1:
            units[speaker, 0] = own
            continue
        times = [np.arange(turn.start, turn.end, STEP_SECONDS) for turn in own]
        evidence = np.concatenate([_evidence(steps, tracks, settings) for steps in times]) * STEP_SECONDS
        paths = np.split(smooth_path(evidence, settings.change_cost), np.cumsum([len(steps) for steps in times])[:-1])
        for turn, path in zip(own, paths, strict=True):
            cuts = np.flatnonzero(np.diff(path)) + 1
            edges = [turn.start, *(turn.start + STEP_SECONDS * cuts), turn.end]
            for track, start, end in zip(path[[0, *cuts]], edges, edges[1:], strict=False):
                units.setdefault((speaker, int(track)), []).append(replace(turn, start=float(start), end=float(end)))
    return [tuple(unit) for unit in units.values()]


def _evidence(times: np.ndarray, tracks: Sequence[TalkingTrack], settings: MatchSettings) -> np.ndarray:
    """How well each mouth fits the sound at each time, ``[T, K]``."""
    motions = np.stack([np.interp(times, *_smooth_motion(track.mouth), left=0, right=0) for track in tracks], axis=1)
    relative = np.log((motions + 0.1) / (motions.mean(axis=1, keepdims=True) + 0.1))
    in_place = [_sync_at(track.sync, times) for track in tracks]
    return np.stack(in_place, axis=1) + settings.motion_weight * relative


def _smooth_motion(mouth: MouthSeries) -> tuple[np.ndarray, np.ndarray]:
    return mouth.times, uniform_filter1d(mouth.motion, 5, mode="nearest")


def _sync_at(scores: SyncScores, times: np.ndarray) -> np.ndarray:
    """Agreement in place at each time, at the one delay that is best over all of them; 0 where it is not known."""
    near = scores.scores[np.abs(scores.delays) <= IN_PLACE_SECONDS + 1e-6]
    values = np.stack([np.interp(times, scores.times, np.nan_to_num(row), left=0, right=0) for row in near])
    return values[values.mean(axis=1).argmax()]


def _join_units(
    units: list[tuple[Turn, ...]],
    tracks: Sequence[TalkingTrack],
    voices: Sequence[Voice] | None,
    settings: MatchSettings,
) -> list[tuple[Turn, ...]]:
    """Join units that prefer one mouth, are in step with it, and sound alike."""
    joined: list[tuple[int, tuple[Turn, ...]]] = []
    for unit in units:
        favourite = int(np.argmax(_fits(_spans(unit), tracks, settings)))
        in_step = _sync_in_place(tracks[favourite].sync, _spans(unit)) >= settings.min_sync_score
        for index, (other, turns) in enumerate(joined):
            speaker, known = unit[0].speaker, turns[0].speaker
            alike = speaker == known or (in_step and _alike(speaker, known, voices, settings))
            if other == favourite and alike:
                joined[index] = other, tuple(sorted(turns + unit, key=lambda turn: turn.start))
                break
        else:
            joined.append((favourite, unit))
    return [unit for _, unit in joined]


def _alike(first: int, second: int, voices: Sequence[Voice] | None, settings: MatchSettings) -> bool:
    if voices is None:
        return False
    return float(voices[first].embedding @ voices[second].embedding) >= settings.same_voice_similarity


def _spans(unit: Sequence[Turn]) -> list[TimeSpan]:
    return [TimeSpan(turn.start, turn.end) for turn in unit]


def _fits(spans: Sequence[TimeSpan], tracks: Sequence[TalkingTrack], settings: MatchSettings) -> list[float]:
    """How well each track fits one voice: lip sync in place, and its mouth's motion compared with the others'."""
    motions = np.array([mouth_motion(track.mouth, spans) for track in tracks])
    relative = np.log((motions + 0.1) / (motions.mean() + 0.1))
    return [
        _sync_in_place(track.sync, spans) + settings.motion_weight * float(share)
        for track, share in zip(tracks, relative, strict=True)
    ]


def _sync_in_place(scores: SyncScores, spans: Sequence[TimeSpan]) -> float:
    curve, _ = sync_curve(scores, spans)
    near = curve[np.abs(scores.delays) <= IN_PLACE_SECONDS + 1e-6]
    return float(np.nanmax(near)) if np.isfinite(near).any() else -1.0


def mouth_motion(mouth: MouthSeries, spans: Sequence[TimeSpan]) -> float:
    """Mean motion of a mouth during speech, grey levels per 40 ms; 0 when it is not seen then."""
    inside = np.zeros(len(mouth.times), bool)
    for span in spans:
        inside |= (mouth.times >= span.start) & (mouth.times < span.end)
    return float(mouth.motion[inside].mean()) if inside.any() else 0.0


def _assign(fits: np.ndarray) -> list[tuple[int | None, float | None]]:
    """The track of each voice so that the sum is largest and no track has two voices; ``None``: no track is left.

    With it comes the margin: by how much the best sum is better than the best without this pair. ``None`` when there
    is one track, which nothing can be compared with.
    """
    num_voices, num_tracks = fits.shape
    unseen = np.full((num_voices, num_voices), fits.min() - 1.0)
    worth = np.concatenate([fits, unseen], axis=1)
    rows, columns = linear_sum_assignment(-worth)
    best = worth[rows, columns].sum()
    result: list[tuple[int | None, float | None]] = []
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if column >= num_tracks:
            result.append((None, None))
        elif num_tracks == 1:
            result.append((column, None))
        else:
            other = worth.copy()
            other[row, column] = -1e6
            other_rows, other_columns = linear_sum_assignment(-other)
            result.append((column, float(best - other[other_rows, other_columns].sum())))
    return result


def _judge(
    unit: tuple[Turn, ...],
    fits: np.ndarray,
    assigned: int | None,
    margin: float | None,
    tracks: Sequence[TalkingTrack],
    settings: MatchSettings,
) -> list[TurnMatch]:
    """Ask whether the voice of a unit belongs to the mouth that it was given to."""
    spans = _spans(unit)
    candidate = int(fits.argmax()) if assigned is None else assigned
    sync = measure_sync(tracks[candidate].sync, spans)
    if assigned is None or mouth_motion(tracks[candidate].mouth, spans) < settings.min_motion:
        verdict = "off_screen"
    elif sync is None or (margin is not None and margin < settings.min_margin):
        verdict = "ambiguous"
    elif sync.score >= settings.min_late_score and sync.score - sync.score_in_place >= settings.min_late_gain:
        verdict = "late"
    elif sync.score_in_place >= settings.min_sync_score:
        verdict = "matched"
    elif sync.score_in_place >= settings.min_open_score:
        verdict = "unconfirmed"
    else:
        verdict = "dubbed"
    track = candidate if verdict in ("matched", "late", "unconfirmed") else None
    return [TurnMatch(turn, track, verdict, candidate, float(fits[candidate]), margin, sync) for turn in unit]
