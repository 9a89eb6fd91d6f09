"""Speech of a whole source: where it is, and whose."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from iap_pipelines.curation.records import DiarizedTurn, Shot, Speaker, content_id
from iap_pipelines.curation.speech import SAME_VOICE_SIMILARITY, diarize
from iap_pipelines.curation.stage import Known, SourceFile, Stage
from iap_pipelines.media import read_sound
from iap_pipelines.perception.backends import load_voice_activity_detector, load_voice_embedder
from iap_pipelines.perception.config import (
    CAMPPlusSettings,
    SileroSettings,
    VoiceActivitySettings,
    VoiceEmbedderSettings,
)
from iap_pipelines.perception.interfaces import TimeSpan
from iap_pipelines.types import AudioSamples


SAMPLING_RATE = 16_000
"""Hertz; what speech models hear."""
_PIECE_SECONDS = 300
_MARGIN_SECONDS = 1
"""Beyond both ends of a piece, for the filter of the resampling. Whole seconds, so that samples of all pieces fall
between samples of the file alike."""


@dataclass(kw_only=True)
class FindSpeech(Stage):
    """Finds who speaks when in the whole source: voices cannot be told apart in a few seconds.

    A turn ends at a cut, for another shot may be another moment.
    """

    name = "speech"
    version = 2
    unit = SourceFile
    reads = (Shot,)
    adds = (Speaker, DiarizedTurn)

    activity: VoiceActivitySettings = field(default_factory=SileroSettings)
    """Name, Hub id, or settings of the model that finds speech."""
    embedder: VoiceEmbedderSettings = field(default_factory=CAMPPlusSettings)
    """Name, Hub id, or settings of the model that tells voices apart."""
    min_same_voice: float = SAME_VOICE_SIMILARITY
    """Mean similarity of two groups of pieces of speech from which they are one voice; belongs to the embedder."""

    def setup(self) -> None:
        self._activity = load_voice_activity_detector(self.activity)
        self._embedder = load_voice_embedder(self.embedder)

    @property
    def models(self) -> dict[str, str]:
        used = {"activity": self._activity, "embedder": self._embedder}
        return {role: f"{model.name} {model.revision}" for role, model in used.items()}

    def process(self, unit: SourceFile, known: Known) -> Iterable[Speaker | DiarizedTurn]:
        shots = known.all(Shot)
        sound = read_speech(known.file, max(shot.end_seconds for shot in shots))
        if sound is None:
            return
        cuts = [shot.start_seconds for shot in shots][1:]
        spans = split_at_cuts(self._activity.find_speech(sound), cuts)
        found = diarize(sound, spans, self._embedder, self.min_same_voice)
        names = [content_id(unit.source_id, "speaker", number) for number in range(len(found.voices))]
        for name, voice in zip(names, found.voices, strict=True):
            yield Speaker(
                speaker_id=name,
                source_id=unit.source_id,
                seconds=voice.seconds,
                purity=voice.purity,
                embedding=tuple(voice.embedding.tolist()),
            )
        for turn in found.turns:
            yield DiarizedTurn(
                turn_id=content_id(unit.source_id, "turn", turn.start, turn.end),
                source_id=unit.source_id,
                speaker_id=names[turn.speaker],
                start_seconds=turn.start,
                end_seconds=turn.end,
            )


def read_speech(file: Path, seconds: float, piece_seconds: int = _PIECE_SECONDS) -> AudioSamples | None:
    """Read a whole sound as speech models hear it, mono at 16 kHz; sample 0 is at the first picture.

    It is read in pieces: an hour of stereo at the rate of the file takes 1.4 GB, and a multiple of that on the way.

    Args:
        file: the source.
        seconds: where the pictures end. Sound goes on to the end of the piece that this lies in.
        piece_seconds: length of a piece.

    Returns:
        Samples ``[1, N]``, or ``None`` without sound.

    Raises:
        MediaError: for a sound that is damaged.
    """
    if seconds <= piece_seconds:
        sound = read_sound(file)
        return sound and sound.to_mono().resample(SAMPLING_RATE)
    margin, length = _MARGIN_SECONDS * SAMPLING_RATE, piece_seconds * SAMPLING_RATE
    starts = range(0, int(seconds) + 1, piece_seconds)
    joined, end = torch.zeros(1, length * len(starts)), 0
    for index, start in enumerate(starts):
        sound = read_sound(
            file, start_seconds=start - _MARGIN_SECONDS, max_seconds=piece_seconds + 2 * _MARGIN_SECONDS
        )
        samples = torch.zeros(1, 0) if sound is None else sound.to_mono().resample(SAMPLING_RATE).samples
        piece = samples[:, margin : margin + length]
        first = length * index
        end = first + piece.shape[1] if piece.shape[1] else end
        joined[:, first : first + piece.shape[1]] = piece
    return AudioSamples(joined[:, :end], SAMPLING_RATE) if end else None


def split_at_cuts(spans: Iterable[TimeSpan], cuts: Iterable[float]) -> list[TimeSpan]:
    """Cut spans where they cross one of the times.

    >>> split_at_cuts([TimeSpan(1.0, 3.0)], [2.0, 5.0])
    [TimeSpan(start=1.0, end=2.0), TimeSpan(start=2.0, end=3.0)]
    """
    cuts = sorted(cuts)
    parts = []
    for span in spans:
        edges = [span.start, *(cut for cut in cuts if span.start < cut < span.end), span.end]
        parts += [TimeSpan(start, end) for start, end in zip(edges[:-1], edges[1:], strict=True)]
    return parts
