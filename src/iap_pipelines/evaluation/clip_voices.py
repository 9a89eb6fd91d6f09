"""The voices of a clip beside those of its references. Letters: T cells of the time grid."""

from functools import cached_property

import numpy as np

from iap_pipelines.evaluation.functional import voice_similarity
from iap_pipelines.evaluation.functional.binding import NOBODY
from iap_pipelines.evaluation.models import NotMeasured
from iap_pipelines.evaluation.observer import ClipObserver
from iap_pipelines.evaluation.people import CELL_SECONDS, Turn, speech_cells, turns
from iap_pipelines.evaluation.reference_embeddings import ReferenceEmbeddings
from iap_pipelines.evaluation.references import ClipReference
from iap_pipelines.evaluation.settings import BindingThresholds
from iap_pipelines.evaluation.voice_stretches import label_voices
from iap_pipelines.perception.interfaces import TimeSpan


class ClipVoices:
    """Whose voice is heard when in a clip. Subjects are counted from 0.

    Args:
        clip: who should be heard.
        observer: of the clip.
        references: embeddings of its references.
        thresholds: from where on a voice is somebody's.
    """

    def __init__(
        self,
        clip: ClipReference,
        observer: ClipObserver,
        references: ReferenceEmbeddings,
        thresholds: BindingThresholds,
    ) -> None:
        self._clip, self._observer, self._references = clip, observer, references
        self._thresholds = thresholds

    def similarity(self, subject: int) -> float:
        return self._similarity("voice_embedder", subject)

    def second_similarity(self, subject: int) -> float:
        return self._similarity("second_voice_embedder", subject)

    @cached_property
    def spoken(self) -> np.ndarray:
        """Whether anybody speaks in each cell, bool ``[T]``."""
        return speech_cells(self._observer.sound.speech, self._observer.duration_seconds)

    @cached_property
    def recognised(self) -> np.ndarray:
        """The subject that is heard in each cell ``[T]``, if the voice is like theirs; else `NOBODY`.

        Stretches of a stranger's voice can be like somebody's by chance, so what is left to a subject is compared once
        more, all together: the more of a voice is heard, the better it is known.
        """
        labels = self._labels(anybody=False)
        for subject in sorted({*labels.tolist()} - {NOBODY}):
            own = [turn.span for turn in turns(labels, self.spoken) if turn.voice == subject]
            needed = self._thresholds.voice_similarity_at(sum(span.duration for span in own))
            if self._compare("voice_embedder", subject, own) < needed:
                labels[labels == subject] = NOBODY
        return labels

    @cached_property
    def nearest(self) -> np.ndarray:
        """The subject whose voice is most like what is heard in each cell ``[T]``, however unlike."""
        return self._labels(anybody=True)

    @cached_property
    def turns(self) -> list[Turn]:
        """Runs of `recognised`; without any reference voice, runs of speech."""
        try:
            voices = self.recognised
        except NotMeasured:
            voices = np.full(len(self.spoken), NOBODY)
        return turns(voices, self.spoken)

    def words_by_voice(self) -> list[str]:
        """What each voice says: a word belongs to the voice that is nearest at its middle."""
        cells = np.flatnonzero(self.nearest != NOBODY)
        said: dict[int, list[str]] = {}
        for word in self._observer.sound.words:
            middle = (word.start + word.end) / 2 / CELL_SECONDS - 0.5
            said.setdefault(int(self.nearest[cells[np.abs(cells - middle).argmin()]]), []).append(word.text)
        return [" ".join(words) for _, words in sorted(said.items())]

    def _similarity(self, role: str, subject: int) -> float:
        if not self._clip.subjects[subject].voices:
            raise NotMeasured("no reference voice")
        return self._compare(role, subject, self._speech_of(subject))

    def _compare(self, role: str, subject: int, speech: list[TimeSpan]) -> float:
        reference = self._references.voices(role, self._clip.subjects[subject].voices)
        return voice_similarity(self._observer.sound.embed_voice(role, speech), reference)

    def _speech_of(self, subject: int) -> list[TimeSpan]:
        """Everything that is said, or with several voices what sounds most like this one."""
        if len(self._with_voice) == 1:
            return self._observer.sound.speech
        own = [turn.span for turn in turns(self.nearest, self.spoken) if turn.voice == subject]
        if not own:
            raise NotMeasured("nothing in the clip sounds more like this person than like the others")
        return own

    @property
    def _with_voice(self) -> list[int]:
        return [index for index, person in enumerate(self._clip.subjects) if person.voices]

    def _labels(self, *, anybody: bool) -> np.ndarray:
        if not self._with_voice:
            raise NotMeasured("no reference voice")
        voices = [self._clip.subjects[index].voices for index in self._with_voice]
        references = self._references.templates("voice_embedder", voices)
        sound = self._observer.sound
        seconds = np.array([stretch.span.duration for stretch in sound.stretches])
        labels = label_voices(
            sound.stretches,
            sound.stretch_voices @ references.T,
            self._thresholds.voice_similarity_at(seconds),
            self._observer.duration_seconds,
            anybody=anybody,
        )
        return np.where(labels == NOBODY, NOBODY, np.array(self._with_voice)[labels])
