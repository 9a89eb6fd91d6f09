"""Voice activity, voice embedding and transcription with models of the Hub, through transformers.

``model`` is a Hub id or a folder, ``revision`` a branch, tag or commit of the Hub; a folder has none.
"""

import numpy as np
import torch

from iap_pipelines.perception.interfaces import TimedWord, TimeSpan
from iap_pipelines.perception.packages import SAMPLING_RATE
from iap_pipelines.types import AudioSamples


_CHUNK_SECONDS = 30
_MIN_SAMPLES = 400
"""What the first convolutions of these models see at once."""
_MIN_VOICE_SAMPLES = SAMPLING_RATE // 2


class TransformersVoiceActivityDetector:
    """A frame classifier with one output per speaker, ``microsoft/wavlm-base-plus-sd`` for instance.

    Speech is where any speaker's probability is above ``threshold``.
    """

    name = "transformers"

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        threshold: float = 0.5,
        min_speech_seconds: float = 0.25,
        min_silence_seconds: float = 0.2,
    ) -> None:
        from transformers import AutoFeatureExtractor, AutoModelForAudioFrameClassification

        self.revision = _revision(model, revision)
        self._extractor = AutoFeatureExtractor.from_pretrained(model, revision=revision)
        self._model = AutoModelForAudioFrameClassification.from_pretrained(model, revision=revision).eval()
        self._threshold = threshold
        self._min_speech, self._min_silence = min_speech_seconds, min_silence_seconds

    @torch.inference_mode()
    def find_speech(self, audio: AudioSamples) -> list[TimeSpan]:
        """Find where somebody speaks, in seconds from the first sample."""
        samples = audio.to_mono().resample(SAMPLING_RATE).samples[0].numpy()
        spans = []
        for start in range(0, len(samples), _CHUNK_SECONDS * SAMPLING_RATE):
            chunk = samples[start : start + _CHUNK_SECONDS * SAMPLING_RATE]
            chunk = np.pad(chunk, (0, max(0, _MIN_SAMPLES - len(chunk))))
            inputs = self._extractor(chunk, sampling_rate=SAMPLING_RATE, return_tensors="pt")
            active = self._model(**inputs).logits[0].sigmoid().amax(dim=-1) > self._threshold
            frame_seconds = len(chunk) / SAMPLING_RATE / len(active)
            spans += _runs(active.numpy(), frame_seconds, start / SAMPLING_RATE)
        joined = _join(spans, self._min_silence)
        return [span for span in joined if span.duration >= self._min_speech]


class TransformersVoiceEmbedder:
    """An x-vector model such as ``microsoft/wavlm-base-plus-sv`` (`WavLMForXVector`)."""

    name = "transformers"

    def __init__(self, model: str, revision: str | None = None) -> None:
        from transformers import AutoFeatureExtractor, AutoModelForAudioXVector

        self.revision = _revision(model, revision)
        self._extractor = AutoFeatureExtractor.from_pretrained(model, revision=revision)
        self._model = AutoModelForAudioXVector.from_pretrained(model, revision=revision).eval()

    @torch.inference_mode()
    def embed(self, audio: AudioSamples) -> np.ndarray:
        """Embed a voice; unit vector ``[D]``. Less than half a second is repeated until it is that long."""
        samples = audio.to_mono().resample(SAMPLING_RATE).samples[0].numpy()
        samples = np.resize(samples, max(len(samples), _MIN_VOICE_SAMPLES))
        inputs = self._extractor(samples, sampling_rate=SAMPLING_RATE, return_tensors="pt")
        embedding = self._model(**inputs).embeddings[0].numpy()
        return embedding / np.linalg.norm(embedding)


class TransformersTranscriber:
    """Whisper, ``openai/whisper-large-v3-turbo`` for instance, with the times of its words.

    Args:
        model: Hub id or folder.
        revision: of the Hub.
        language: code of the language (``"en"``). ``None``: detected.
    """

    name = "transformers"

    def __init__(self, model: str, revision: str | None = None, language: str | None = None) -> None:
        from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor, pipeline

        self.revision = _revision(model, revision)
        processor = AutoProcessor.from_pretrained(model, revision=revision)
        self._pipeline = pipeline(
            "automatic-speech-recognition",
            model=AutoModelForSpeechSeq2Seq.from_pretrained(model, revision=revision).eval(),
            tokenizer=processor.tokenizer,
            feature_extractor=processor.feature_extractor,
            device="cpu",
        )
        # Greedy: with beams, as the pipeline has it, word times of an empty transcript raise in transformers 5.24.
        self._generate = {"num_beams": 1} | ({} if language is None else {"language": language})

    def transcribe(self, audio: AudioSamples) -> list[TimedWord]:
        """Transcribe; times in seconds from the first sample."""
        samples = audio.to_mono().resample(SAMPLING_RATE)
        result = self._pipeline(
            {"raw": samples.samples[0].numpy(), "sampling_rate": SAMPLING_RATE},
            return_timestamps="word",
            generate_kwargs=self._generate,
        )
        words = []
        for chunk in result["chunks"]:
            start, end = chunk["timestamp"]
            end = samples.duration_seconds if end is None else end  # a word that the end cuts
            if chunk["text"].strip():
                words.append(TimedWord(chunk["text"].strip(), float(start), float(end)))
        return words


def _revision(model: str, revision: str | None) -> str:
    return f"{model}@{revision}" if revision else model


def _runs(active: np.ndarray, frame_seconds: float, start_seconds: float) -> list[TimeSpan]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(np.int8), [0]])))
    return [
        TimeSpan(start_seconds + first * frame_seconds, start_seconds + last * frame_seconds)
        for first, last in edges.reshape(-1, 2).tolist()
    ]


def _join(spans: list[TimeSpan], min_silence: float) -> list[TimeSpan]:
    joined: list[TimeSpan] = []
    for span in spans:
        if joined and span.start - joined[-1].end < min_silence:
            span = TimeSpan(joined.pop().start, span.end)
        joined.append(span)
    return joined
