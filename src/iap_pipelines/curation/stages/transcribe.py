"""The words of each turn."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from iap_pipelines.curation.records import Clip, ClipTurn, Transcript, TurnText, Word
from iap_pipelines.curation.stage import Known, Stage
from iap_pipelines.media import read_sound
from iap_pipelines.perception.backends import load_transcriber
from iap_pipelines.perception.config import FasterWhisperSettings, TranscriberSettings


@dataclass(kw_only=True)
class Transcribe(Stage):
    """Writes down what is said in a clip, and gives each word to the turn in which its middle lies.

    Clips in which nobody speaks are not listened to: transcribers invent words there.
    """

    name = "transcribe"
    reads = (ClipTurn,)
    adds = (TurnText, Transcript)

    transcriber: TranscriberSettings = field(default_factory=FasterWhisperSettings)
    """Name, Hub id, or settings of the model."""
    max_distance_seconds: float = 0.4
    """A word between turns belongs to the nearest one if it is not farther away than this."""

    def setup(self) -> None:
        self._transcriber = load_transcriber(self.transcriber)

    @property
    def models(self) -> dict[str, str]:
        return {"transcriber": f"{self._transcriber.name} {self._transcriber.revision}"}

    def process(self, unit: Clip, known: Known) -> Iterable[TurnText | Transcript]:
        turns = sorted(known.all(ClipTurn, clip_id=unit.clip_id), key=lambda turn: (turn.start_seconds, turn.turn_id))
        words = self._listen(unit, known) if turns else []
        owners = [owner_of(word, turns, self.max_distance_seconds) for word in words]
        for index, turn in enumerate(turns):
            own = tuple(word for word, owner in zip(words, owners, strict=True) if owner == index)
            yield TurnText(turn_id=turn.turn_id, clip_id=unit.clip_id, text=join_words(own), words=own)
        speech = sum(turn.end_seconds - turn.start_seconds for turn in turns)
        known_odds = [word.probability for word in words if word.probability is not None]
        yield Transcript(
            clip_id=unit.clip_id,
            transcript=join_words(words),
            num_words=len(words),
            word_probability=float(np.mean(known_odds)) if known_odds else None,
            words_per_second=len(words) / speech if speech else None,
            unassigned_share=owners.count(None) / len(words) if words else None,
        )

    def _listen(self, clip: Clip, known: Known) -> list[Word]:
        sound = read_sound(known.file, start_seconds=clip.start_seconds, max_seconds=clip.clip_seconds)
        if sound is None:
            return []
        return [
            Word(
                text=word.text.strip(),
                start_seconds=clip.start_seconds + word.start,
                end_seconds=clip.start_seconds + word.end,
                probability=word.probability,
            )
            for word in self._transcriber.transcribe(sound)
        ]


def owner_of(word: Word, turns: Sequence[ClipTurn], max_distance_seconds: float) -> int | None:
    """Index of the turn in which the middle of a word lies, or of the nearest one; ``None`` when all are too far."""
    middle = (word.start_seconds + word.end_seconds) / 2
    distances = [max(turn.start_seconds - middle, middle - turn.end_seconds, 0.0) for turn in turns]
    nearest = min(range(len(turns)), key=lambda index: (distances[index], index), default=None)
    return nearest if nearest is not None and distances[nearest] <= max_distance_seconds else None


def join_words(words: Iterable[Word]) -> str:
    """Words as a text; pieces that are no words of their own (``'s``, ``,``) stick to the one before."""
    text = ""
    for word in words:
        text += word.text if not text or word.text[:1] in "'’,.;:!?" else f" {word.text}"
    return text
