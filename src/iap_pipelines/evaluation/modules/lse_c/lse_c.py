"""`evaluate.load` finds the metric `lse_c` here."""

import numpy as np

import iap_pipelines.evaluation.functional as functional
import iap_pipelines.evaluation.metric_module as base


class LseC(base.PerClipMetric):
    description = (
        "LSE-C, lip-sync confidence from SyncNet embeddings: median minus smallest distance; higher is better."
    )
    inputs_description = (
        "predictions: per clip, SyncNet embeddings [F, D] of the mouth; "
        "references: SyncNet embeddings [F, D] of the sound."
    )
    inputs = {"predictions": base.VECTORS, "references": base.VECTORS}

    def score(self, predictions: list, references: list) -> tuple[float | None, float]:
        return functional.syncnet_scores(np.array(predictions), np.array(references)).lse_c, 1.0
