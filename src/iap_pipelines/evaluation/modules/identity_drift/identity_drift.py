"""`evaluate.load` finds the metric `identity_drift` here."""

import numpy as np

import iap_pipelines.evaluation.functional as functional
import iap_pipelines.evaluation.metric_module as base


class IdentityDrift(base.PerClipMetric):
    description = "Loss of cosine similarity to the reference face per second; lower is better."
    inputs_description = (
        "predictions: per clip, face embeddings [F, D] of frames; references: embeddings [K, D]; "
        "times: of the frames, seconds [F]."
    )
    inputs = {"predictions": base.VECTORS, "references": base.VECTORS, "times": base.NUMBERS}

    def score(self, predictions: list, references: list, times: list) -> tuple[float | None, float]:
        return functional.identity_drift(np.array(predictions), np.array(references), np.array(times)), 1.0
