"""`evaluate.load` finds the metric `speech_quality` here."""

import logging
from typing import Any

import numpy as np
import torch

import iap_pipelines.evaluation.backends.speech_quality as backend
import iap_pipelines.evaluation.metric_module as base
import iap_pipelines.perception.packages as packages
import iap_pipelines.types as types


logger = logging.getLogger(__name__)


class SpeechQuality(base.PerClipMetric):
    description = "How a listener would rate the sound (DNSMOS P.835, overall), 1 (bad) to 5; higher is better."
    inputs_description = "predictions: per clip, mono sound [N] in [-1, 1] at 16 kHz."
    inputs = {"predictions": base.NUMBERS}

    def _download_and_prepare(self, dl_manager: Any) -> None:
        """Nothing is downloaded: the weights come in a package; without it every value is None."""
        try:
            self._model = backend.Dnsmos()
        except (ImportError, OSError) as error:
            logger.warning("speech_quality has no value: %s", error)
            self._model = None

    def score(self, predictions: list) -> tuple[float | None, float]:
        if self._model is None:
            return None, 0.0
        samples = torch.from_numpy(np.array(predictions, np.float32))[None]
        return self._model.rate(types.AudioSamples(samples, packages.SAMPLING_RATE)), 1.0
