"""Shots to clips of a length that a model can learn from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from iap_pipelines.curation.records import Clip, DiarizedTurn, Shot, content_id
from iap_pipelines.curation.stage import Known, SourceFile, Stage


Span = tuple[float, float]


@dataclass(kw_only=True)
class CutClips(Stage):
    """Cuts shots that are too long at the pauses of the speech.

    Clips cover their source without gaps, so that every second is accounted for: what is too short, a gate rejects.
    """

    name = "clips"
    unit = SourceFile
    reads = (Shot, DiarizedTurn)
    adds = (Clip,)

    max_seconds: float = 10.5
    """Longest clip."""
    target_seconds: float = 6.0
    """A clip ends at the first pause after this, if there is one before `max_seconds`."""

    def setup(self) -> None:
        if not 0 < self.target_seconds <= self.max_seconds:
            limit = f"0 and `max_seconds` ({self.max_seconds})"
            raise ValueError(f"`target_seconds` must lie between {limit}, but got {self.target_seconds}.")

    def process(self, unit: SourceFile, known: Known) -> Iterable[Clip]:
        turns = known.all(DiarizedTurn)
        speech = merge_spans([(turn.start_seconds, turn.end_seconds) for turn in turns])
        for shot in known.all(Shot):
            for start, end in split_at_pauses(
                (shot.start_seconds, shot.end_seconds), speech, self.target_seconds, self.max_seconds
            ):
                heard = [turn for turn in turns if turn.start_seconds < end and turn.end_seconds > start]
                yield Clip(
                    clip_id=content_id(unit.source_id, "clip", start, end),
                    source_id=unit.source_id,
                    shot_id=shot.shot_id,
                    start_seconds=start,
                    end_seconds=end,
                    clip_seconds=end - start,
                    speech_seconds=sum(max(0.0, min(end, last) - max(start, first)) for first, last in speech),
                    num_speakers=len({turn.speaker_id for turn in heard}),
                )


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """Join spans that touch or overlap; in order.

    >>> merge_spans([(3.0, 4.0), (0.0, 1.0), (0.5, 2.0)])
    [(0.0, 2.0), (3.0, 4.0)]
    """
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def split_at_pauses(shot: Span, speech: Sequence[Span], target_seconds: float, max_seconds: float) -> list[Span]:
    """Cut a shot into pieces of ``max_seconds`` at most, in the middle of pauses where there are any.

    Args:
        shot: start and end.
        speech: when somebody speaks; in order, without overlap.
        target_seconds: pieces end at the first pause after this.
        max_seconds: longest piece; speech without a pause is cut there, into halves of what is left where that is
            shorter than two pieces.
    """
    pauses = [(first[1] + second[0]) / 2 for first, second in zip(speech[:-1], speech[1:], strict=True)]
    pieces, (start, end) = [], shot
    while end - start > max_seconds:
        fitting = [pause for pause in pauses if start + target_seconds <= pause <= start + max_seconds]
        earlier = [pause for pause in pauses if start + target_seconds / 2 <= pause <= start + target_seconds]
        if fitting:
            cut = fitting[0]
        elif earlier:
            cut = earlier[-1]
        else:
            cut = start + min(max_seconds, (end - start) / 2)
        pieces.append((start, cut))
        start = cut
    return [*pieces, (start, end)]
