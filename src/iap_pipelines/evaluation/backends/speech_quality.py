"""DNSMOS P.835 (package speechmos, MIT): how a listener would rate speech and background together."""

import numpy as np

from iap_pipelines.perception.packages import SAMPLING_RATE, file_revision, onnx_session, package_file
from iap_pipelines.types import AudioSamples


_WINDOW_SAMPLES = round(9.01 * SAMPLING_RATE)
_HOP_SAMPLES = SAMPLING_RATE
_OVERALL = (-0.06766283, 1.11546468, 0.04602535)
"""Polynomial from the network's third output to the overall rating, as published with the model."""


class Dnsmos:
    """Overall rating; the sound is repeated until it fills the model's 9.01 s."""

    name = "dnsmos"

    def __init__(self) -> None:
        path = package_file("speechmos", "speechmos", "dnsmos_models", "sig_bak_ovr.onnx")
        self.revision = file_revision(path)
        self._session = onnx_session(path, num_threads=1)

    def rate(self, audio: AudioSamples) -> float:
        """Mean opinion score, 1 (bad) to 5 (excellent); the mean over windows that start every second."""
        samples = audio.to_mono().resample(SAMPLING_RATE).samples[0].numpy()
        while len(samples) < _WINDOW_SAMPLES:
            samples = np.concatenate([samples, samples])
        starts = range(0, len(samples) - _WINDOW_SAMPLES + 1, _HOP_SAMPLES)
        windows = [samples[start : start + _WINDOW_SAMPLES] for start in starts]
        raw = [self._session.run(None, {"input_1": window[None].astype(np.float32)})[0][0][2] for window in windows]
        return float(np.mean(np.polyval(_OVERALL, raw)))
