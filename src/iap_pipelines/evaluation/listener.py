"""Listens to the sound of one clip, each thing once and only when a metric asks for it.

Letters: W stretches of speech, D channels of an embedding.
"""

from functools import cached_property

import numpy as np
import torch

from iap_pipelines.evaluation.models import EvaluationModels, NotMeasured
from iap_pipelines.evaluation.voice_stretches import Stretch, cut_speech, stretches_of
from iap_pipelines.perception.interfaces import TimedWord, TimeSpan
from iap_pipelines.types import AudioSamples


class Listener:
    """What can be heard in a clip.

    Every property raises `NotMeasured` when a model or the sound is missing, or nobody speaks.

    Args:
        audio: sound that starts with the first picture, or ``None``.
        duration_seconds: of the pictures; what is heard after them does not count.
        models: who listens.
    """

    def __init__(self, audio: AudioSamples | None, duration_seconds: float, models: EvaluationModels) -> None:
        self._audio, self._duration_seconds, self._models = audio, duration_seconds, models

    @property
    def audio(self) -> AudioSamples:
        if self._audio is None:
            raise NotMeasured("the clip has no sound")
        return self._audio

    @cached_property
    def speech(self) -> list[TimeSpan]:
        """Where somebody speaks while pictures are shown; at least once."""
        detector = self._models.require("voice_activity")
        spans = [
            TimeSpan(span.start, min(span.end, self._duration_seconds)) for span in detector.find_speech(self.audio)
        ]
        spans = [span for span in spans if span.duration > 0]
        if not spans:
            raise NotMeasured("no speech was found in the clip")
        return spans

    @cached_property
    def stretches(self) -> list[Stretch]:
        """Everything that may be one person's turn, or a part of it."""
        return stretches_of(cut_speech(self.audio, self.speech))

    @cached_property
    def stretch_voices(self) -> np.ndarray:
        """Voice embeddings ``[W, D]`` of `stretches`."""
        return np.stack([self.embed_voice("voice_embedder", [stretch.span]) for stretch in self.stretches])

    def embed_voice(self, role: str, spans: list[TimeSpan]) -> np.ndarray:
        """Embedding ``[D]`` of the sound of all spans, one after the other.

        Args:
            role: ``"voice_embedder"`` or ``"second_voice_embedder"``.
            spans: at least one.
        """
        return self._models.require(role).embed(cut_audio(self.audio, spans))

    @cached_property
    def words(self) -> list[TimedWord]:
        return self._models.require("transcriber").transcribe(self.audio)

    def rate_speech(self) -> float:
        """What a listener would say of the sound, 1 (bad) to 5 (excellent)."""
        return self._models.require("speech_quality").rate(self.audio)

    def compare_with(self, caption: str) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings of the sound ``[1, D]`` and of a caption ``[D]`` in one space."""
        model = self._models.require("sound_text")
        return model.embed_sound(self.audio), model.embed_text(caption)


def cut_audio(audio: AudioSamples, spans: list[TimeSpan]) -> AudioSamples:
    """The sound of all spans, one after the other."""
    rate = audio.sampling_rate
    pieces = [
        audio.samples[:, int(span.start * rate) : max(int(span.end * rate), int(span.start * rate) + 1)]
        for span in spans
    ]
    return AudioSamples(torch.cat(pieces, dim=1), rate)
