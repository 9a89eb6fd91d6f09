"""`evaluate.load` finds the metric `lip_sync` here."""

import numpy as np

import iap_pipelines.evaluation.functional as functional
import iap_pipelines.evaluation.metric_module as base


class LipSync(base.PerClipMetric):
    description = "How many milliseconds sound and lips are apart (absolute); 0 is best."
    inputs_description = (
        "predictions: per clip, agreement of lips and sound [L] over lags, higher is better; "
        "references: the lags in milliseconds [L], positive where the sound is late."
    )
    inputs = {"predictions": base.NUMBERS, "references": base.NUMBERS}

    def score(self, predictions: list, references: list) -> tuple[float | None, float]:
        return abs(functional.lip_sync(np.array(predictions), np.array(references)).offset_ms), 1.0
