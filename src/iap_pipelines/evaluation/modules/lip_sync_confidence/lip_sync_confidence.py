"""`evaluate.load` finds the metric `lip_sync_confidence` here."""

import numpy as np

import iap_pipelines.evaluation.functional as functional
import iap_pipelines.evaluation.metric_module as base


class LipSyncConfidence(base.PerClipMetric):
    description = (
        "How much better lips and sound agree at their best lag than at the median one, in units of the agreement; "
        "higher is better."
    )
    inputs_description = (
        "predictions: per clip, agreement of lips and sound [L] over lags, higher is better; "
        "references: the lags in milliseconds [L], positive where the sound is late."
    )
    inputs = {"predictions": base.NUMBERS, "references": base.NUMBERS}

    def score(self, predictions: list, references: list) -> tuple[float | None, float]:
        return functional.lip_sync(np.array(predictions), np.array(references)).confidence, 1.0
