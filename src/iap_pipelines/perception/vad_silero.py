"""Voice activity with Silero VAD (package silero-vad, MIT), in onnxruntime."""

import os

import torch

from iap_pipelines.perception.interfaces import TimeSpan
from iap_pipelines.perception.packages import (
    SAMPLING_RATE,
    file_revision,
    import_package,
    model_file,
    package_revision,
)
from iap_pipelines.types import AudioSamples


class SileroDetector:
    """Finds speech in pieces of 32 ms.

    Args:
        path: an ONNX file of Silero VAD. ``None``: the one in the package.
        threshold: probability above which a piece is speech.
        min_speech_seconds: shorter speech is left out.
        min_silence_seconds: shorter pauses do not end a span.
    """

    name = "silero"

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        threshold: float = 0.5,
        min_speech_seconds: float = 0.25,
        min_silence_seconds: float = 0.2,
    ) -> None:
        import_package("onnxruntime", "onnxruntime")
        num_threads = torch.get_num_threads()
        self._package = import_package("silero_vad", "silero-vad")
        torch.set_num_threads(num_threads)  # importing the package sets it to 1 for the whole process
        if path is None:
            self._model, self.revision = self._package.load_silero_vad(onnx=True), package_revision("silero-vad")
        else:
            path = model_file("path", path)
            wrapper = import_package("silero_vad.utils_vad", "silero-vad").OnnxWrapper
            self._model, self.revision = wrapper(str(path), force_onnx_cpu=True), file_revision(path)
        self._settings = {
            "threshold": threshold,
            "min_speech_duration_ms": round(1000 * min_speech_seconds),
            "min_silence_duration_ms": round(1000 * min_silence_seconds),
        }

    def find_speech(self, audio: AudioSamples) -> list[TimeSpan]:
        """Find where somebody speaks, in seconds from the first sample."""
        samples = audio.to_mono().resample(SAMPLING_RATE).samples[0]
        found = self._package.get_speech_timestamps(
            samples, self._model, sampling_rate=SAMPLING_RATE, **self._settings
        )
        return [TimeSpan(span["start"] / SAMPLING_RATE, span["end"] / SAMPLING_RATE) for span in found]
