"""Which face speaks each turn, and whether the voice is really its own."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from iap_pipelines.curation.matching import MatchSettings, TalkingTrack, TurnMatch, match_turns
from iap_pipelines.curation.records import (
    Clip,
    ClipMatch,
    ClipTurn,
    DiarizedTurn,
    Lips,
    Speaker,
    TrackSync,
    content_id,
)
from iap_pipelines.curation.speech import Turn, Voice
from iap_pipelines.curation.stage import Known, Stage
from iap_pipelines.curation.sync import Sync
from iap_pipelines.media import read_sound
from iap_pipelines.perception.backends import load_voice_embedder
from iap_pipelines.perception.config import CAMPPlusSettings, VoiceEmbedderSettings
from iap_pipelines.perception.interfaces import SyncScores
from iap_pipelines.perception.mouth import MouthSeries
from iap_pipelines.types import AudioSamples


_MIN_TURN_SECONDS = 0.1


@dataclass(kw_only=True)
class MatchVoices(Stage):
    """Gives all voices of a clip to its faces at once, and embeds each turn.

    Turns of the diarisation are cut where two mouths share one of them, so these turns are the more exact ones.
    """

    name = "match"
    reads = (Speaker, DiarizedTurn, Lips)
    adds = (ClipTurn, TrackSync, ClipMatch)

    thresholds: MatchSettings = field(default_factory=MatchSettings)
    """When a voice belongs to a face; in the unit of the lip-sync model."""
    embedder: VoiceEmbedderSettings = field(default_factory=CAMPPlusSettings)
    """Name, Hub id, or settings of the model that voices are linked across clips by."""
    min_embedded_seconds: float = 0.6
    """Shorter turns get no embedding."""

    def setup(self) -> None:
        self._embedder = load_voice_embedder(self.embedder)

    @property
    def models(self) -> dict[str, str]:
        return {"embedder": f"{self._embedder.name} {self._embedder.revision}"}

    def process(self, unit: Clip, known: Known) -> Iterable[ClipTurn | TrackSync | ClipMatch]:
        lips = known.all(Lips, clip_id=unit.clip_id)
        speakers = known.all(Speaker)
        numbers = {speaker.speaker_id: number for number, speaker in enumerate(speakers)}
        turns = [
            Turn(start, end, numbers[turn.speaker_id])
            for turn, start, end in turns_within(unit, known.all(DiarizedTurn))
        ]
        voices = [Voice(np.array(one.embedding, np.float32), one.seconds, one.purity) for one in speakers]
        matches = match_turns(turns, [talking_track(one) for one in lips], voices, self.thresholds)
        sound = read_sound(known.file, start_seconds=unit.start_seconds, max_seconds=unit.clip_seconds)
        for match in matches:
            turn = match.turn
            yield ClipTurn(
                turn_id=content_id(unit.clip_id, "turn", turn.speaker, turn.start, turn.end),
                clip_id=unit.clip_id,
                speaker_id=speakers[turn.speaker].speaker_id,
                track_id=None if match.track is None else lips[match.track].track_id,
                match=match.verdict,
                start_seconds=turn.start,
                end_seconds=turn.end,
                match_score=match.score,
                match_margin=match.margin,
                embedding=self._embed(sound, turn.start - unit.start_seconds, turn.end - unit.start_seconds),
            )
        measured = best_sync(matches)
        for index, sync in sorted(measured.items()):
            yield TrackSync(
                track_id=lips[index].track_id,
                clip_id=unit.clip_id,
                sync_score=sync.score,
                sync_score_in_place=sync.score_in_place,
                sync_offset_seconds=sync.offset,
                sync_confidence=sync.confidence,
                sync_seconds=sync.seconds,
            )
        yield clip_match(unit.clip_id, matches, list(measured.values()))

    def _embed(self, sound: AudioSamples | None, start: float, end: float) -> tuple[float, ...] | None:
        if sound is None:
            return None
        first, last = (max(0, round(seconds * sound.sampling_rate)) for seconds in (start, end))
        piece = sound.samples[:, first:last]
        if piece.shape[1] < self.min_embedded_seconds * sound.sampling_rate:
            return None
        return tuple(self._embedder.embed(AudioSamples(piece, sound.sampling_rate)).tolist())


def turns_within(clip: Clip, turns: Iterable[DiarizedTurn]) -> list[tuple[DiarizedTurn, float, float]]:
    """The turns that are heard in a clip, in order, each with the start and end of what of it lies there."""
    inside = []
    for turn in sorted(turns, key=lambda turn: (turn.start_seconds, turn.end_seconds, turn.turn_id)):
        start, end = max(turn.start_seconds, clip.start_seconds), min(turn.end_seconds, clip.end_seconds)
        if end - start >= _MIN_TURN_SECONDS:
            inside.append((turn, start, end))
    return inside


def talking_track(lips: Lips) -> TalkingTrack:
    """The measurements of a track as they were made."""
    times, delays = np.array(lips.step_times), np.array(lips.delays)
    mouth = MouthSeries(
        np.array(lips.mouth_times), np.array(lips.mouth_opening, np.float32), np.array(lips.mouth_motion, np.float32)
    )
    scores = np.array(lips.fit, np.float32).reshape(len(delays), len(times))
    return TalkingTrack(mouth, SyncScores(times, delays, scores))


def best_sync(matches: Sequence[TurnMatch]) -> dict[int, Sync]:
    """Lip sync of each face that is the best candidate for some voice: that over most speech."""
    found: dict[int, Sync] = {}
    for match in matches:
        if match.candidate is None or match.sync is None:
            continue
        if match.candidate not in found or match.sync.seconds > found[match.candidate].seconds:
            found[match.candidate] = match.sync
    return found


def clip_match(clip_id: str, matches: Sequence[TurnMatch], measured: Sequence[Sync]) -> ClipMatch:
    """Who speaks in a clip, in numbers."""
    total = sum(match.turn.duration for match in matches)

    def share(verdict: str) -> float | None:
        seconds = sum(match.turn.duration for match in matches if match.verdict == verdict)
        return seconds / total if total else None

    return ClipMatch(
        clip_id=clip_id,
        num_speaking=len({match.track for match in matches if match.track is not None}),
        matched_share=share("matched"),
        offscreen_share=share("off_screen"),
        dubbed_share=share("dubbed"),
        unconfirmed_share=share("unconfirmed"),
        late_share=share("late"),
        ambiguous_share=share("ambiguous"),
        sync_score=min((sync.score for sync in measured), default=None),
        sync_score_in_place=min((sync.score_in_place for sync in measured), default=None),
        sync_offset_seconds=max((sync.offset for sync in measured), key=abs, default=None),
    )
