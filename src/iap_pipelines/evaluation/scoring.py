"""One clip to its scores: what the observer saw and heard, compared with the references."""

from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any

import numpy as np

from iap_pipelines.curation.sync import sync_curve
from iap_pipelines.evaluation.clip_faces import ClipFaces
from iap_pipelines.evaluation.clip_voices import ClipVoices
from iap_pipelines.evaluation.functional import (
    Binding,
    LipSync,
    binding,
    lip_sync,
    prompt_adherence,
    speaker_word_errors,
    word_errors,
)
from iap_pipelines.evaluation.functional.binding import NOBODY
from iap_pipelines.evaluation.functional.words import normalize_text
from iap_pipelines.evaluation.models import NotMeasured
from iap_pipelines.evaluation.observer import ClipObserver
from iap_pipelines.evaluation.people import CELL_SECONDS
from iap_pipelines.evaluation.reference_embeddings import ReferenceEmbeddings
from iap_pipelines.evaluation.references import ClipReference, SubjectReference
from iap_pipelines.evaluation.results import Score
from iap_pipelines.evaluation.settings import BindingThresholds
from iap_pipelines.evaluation.speaking import SpeakingFaces, find_speaking_faces
from iap_pipelines.perception.interfaces import TimeSpan
from iap_pipelines.types import StructuredCaption


class ClipScorer:
    """Scores of one clip; each is measured when it is asked for.

    Args:
        clip: who should be seen and heard.
        observer: of the clip.
        references: embeddings of its references.
        thresholds: of `binding`; they depend on the models.
    """

    def __init__(
        self,
        clip: ClipReference,
        observer: ClipObserver,
        references: ReferenceEmbeddings,
        thresholds: BindingThresholds,
    ) -> None:
        self._clip, self._observer = clip, observer
        self._faces = ClipFaces(clip, observer, references)
        self._voices = ClipVoices(clip, observer, references, thresholds)
        self._thresholds = thresholds

    def scores(self, only: Collection[str] | None = None) -> tuple[Score, ...]:
        """Scores of the subjects and of the clip; without a value where it cannot be measured.

        Args:
            only: names of the metrics; ``None``: all.
        """
        of_subjects = {
            "face_similarity": self._faces.similarity,
            "face_share": self._faces.share,
            "second_face_similarity": self._faces.second_similarity,
            "copy_paste": self._faces.copy_paste,
            "identity_drift": self._faces.drift,
            "voice_similarity": self._voices.similarity,
            "second_voice_similarity": self._voices.second_similarity,
        }
        of_clip = {
            "binding": self._binding,
            "lip_sync_offset": lambda: abs(self._lip_sync.offset_ms),
            "lip_sync_confidence": lambda: self._lip_sync.confidence,
            "lse_c": lambda: lip_sync(*self._syncnet_curve()).confidence,
            "lse_d": lambda: -float(self._syncnet_curve()[0].max()),
            "word_error_rate": self._word_error_rate,
            "speaker_word_error_rate": self._speaker_word_error_rate,
            "picture_prompt_adherence": self._picture_prompt_adherence,
            "sound_prompt_adherence": self._sound_prompt_adherence,
            "speech_quality": self._observer.sound.rate_speech,
        }
        found = [
            _score(name, lambda measure=measure, index=index: measure(index), subject.name)
            for name, measure in of_subjects.items()
            if only is None or name in only
            for index, subject in enumerate(self._clip.subjects)
        ]
        found += [_score(name, measure) for name, measure in of_clip.items() if only is None or name in only]
        return tuple(found)

    def details(self) -> dict[str, Any]:
        """What explains the scores, for the result file; ``None`` for what could not be measured."""
        parts: dict[str, Callable[[], Any]] = {
            "transcript": lambda: " ".join(word.text for word in self._observer.sound.words),
            "signed_lip_sync_offset_ms": lambda: self._lip_sync.offset_ms,
            "binding_confusion_seconds": lambda: (self._bound.confusion * CELL_SECONDS).round(3).tolist(),
            "turns": self._describe_turns,
        }
        found = {}
        for name, make in parts.items():
            try:
                found[name] = make()
            except NotMeasured:
                found[name] = None
        return found

    # --- Who speaks ------------------------------------------------------------------------------------------------

    @cached_property
    def _speaking(self) -> SpeakingFaces | None:
        return find_speaking_faces(self._observer.sync_scores, self._voices.turns)

    @cached_property
    def _lip_sync(self) -> LipSync:
        if self._speaking is None:
            raise NotMeasured("no mouth is seen while somebody speaks")
        return lip_sync(self._speaking.curve, 1000 * self._speaking.delays)

    def _syncnet_curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Minus the mean distance at each delay over the whole clip, and the delays in milliseconds."""
        scores = self._observer.syncnet_scores
        curve, _ = sync_curve(scores, [TimeSpan(0, self._observer.duration_seconds)])
        known = np.isfinite(curve)
        if known.sum() < 3:
            raise NotMeasured("the clip is too short for SyncNet")
        return curve[known], 1000 * scores.delays[known]

    @cached_property
    def _active_subjects(self) -> list[int]:
        """For each turn, the subject whose mouth makes the sound, or `NOBODY`."""
        recognised = self._faces.recognised(self._thresholds.face_similarity)
        if self._speaking is None:
            return [NOBODY] * len(self._voices.turns)
        return [
            recognised[face] if face is not None and agreement > self._thresholds.lip_agreement else NOBODY
            for face, agreement in zip(self._speaking.faces, self._speaking.agreements, strict=True)
        ]

    @cached_property
    def _bound(self) -> Binding:
        subjects = self._clip.subjects
        if not subjects or not all(subject.faces and subject.voices for subject in subjects):
            raise NotMeasured("binding needs a reference face and a reference voice of every person")
        voices, spoken = self._voices.recognised, self._voices.spoken
        if not spoken.any():
            raise NotMeasured("no speech was found in the clip")
        active = np.full(len(spoken), NOBODY)
        if self._observer.has_faces:
            for turn, subject in zip(self._voices.turns, self._active_subjects, strict=True):
                active[round(turn.span.start / CELL_SECONDS) : round(turn.span.end / CELL_SECONDS)] = subject
        return binding(active, voices, spoken, len(subjects))

    def _binding(self) -> tuple[float | None, float]:
        return self._bound.share, float(self._bound.confusion.sum()) * CELL_SECONDS

    def _describe_turns(self) -> list[dict[str, Any]]:
        names = [*(subject.name for subject in self._clip.subjects), None]  # NOBODY is the last
        return [
            {
                "start": round(turn.span.start, 3),
                "end": round(turn.span.end, 3),
                "voice": names[turn.voice],
                "face": names[face],
            }
            for turn, face in zip(self._voices.turns, self._active_subjects, strict=True)
        ]

    # --- Words -----------------------------------------------------------------------------------------------------

    def _word_error_rate(self) -> tuple[float, float]:
        errors = word_errors(self._expected_text(), " ".join(word.text for word in self._observer.sound.words))
        return errors.rate, errors.num_words

    def _expected_text(self) -> str:
        """All words in the order in which they should be said."""
        speakers = self._speakers()
        if len(speakers) == 1:
            return speakers[0].text
        try:
            lines = StructuredCaption.parse(self._clip.prompt or "").lines
        except ValueError:
            raise NotMeasured("the order in which several people speak is not known; see cpWER") from None
        expected = " ".join(line.text for line in lines)
        if not normalize_text(expected):
            raise NotMeasured("no line of the caption says what should be said (`prompt`)")
        return expected

    def _speaker_word_error_rate(self) -> tuple[float, float]:
        speakers = self._speakers()
        words = [word.text for word in self._observer.sound.words]
        heard = [" ".join(words)] if len(speakers) == 1 or not words else self._voices.words_by_voice()
        errors = speaker_word_errors([subject.text for subject in speakers], heard)
        return errors.rate, errors.num_words

    # --- Caption ---------------------------------------------------------------------------------------------------

    def _picture_prompt_adherence(self) -> float:
        frames, caption = self._observer.compare_frames_with(self._prompt())
        return prompt_adherence(frames, caption)

    def _sound_prompt_adherence(self) -> float:
        sound, caption = self._observer.sound.compare_with(self._prompt())
        return prompt_adherence(sound, caption)

    def _prompt(self) -> str:
        if not self._clip.prompt:
            raise NotMeasured("no caption to compare with (`prompt`)")
        return self._clip.prompt

    def _speakers(self) -> list[SubjectReference]:
        speakers = [subject for subject in self._clip.subjects if normalize_text(subject.text or "")]
        if not speakers:
            raise NotMeasured("no reference says what should be said (`text`)")
        return speakers


def _score(name: str, measure: Callable[[], Any], subject: str | None = None) -> Score:
    try:
        result = measure()
    except NotMeasured as reason:
        return Score(name, None, subject, reason=" ".join(str(reason).split()))
    value, weight = result if isinstance(result, tuple) else (result, 1.0)
    return Score(name, round(float(value), 6), subject, round(float(weight), 6))
