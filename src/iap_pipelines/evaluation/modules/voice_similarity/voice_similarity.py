"""`evaluate.load` finds the metric `voice_similarity` here."""

import numpy as np

import iap_pipelines.evaluation.functional as functional
import iap_pipelines.evaluation.metric_module as base


class VoiceSimilarity(base.PerClipMetric):
    description = "Cosine between the voice of a clip and the reference recordings, in [-1, 1]; higher is better."
    inputs_description = (
        "predictions: per clip, embedding [D] of the voice; "
        "references: per clip, embeddings [K, D] of the reference recordings, by the same model."
    )
    inputs = {"predictions": base.NUMBERS, "references": base.VECTORS}

    def score(self, predictions: list, references: list) -> tuple[float | None, float]:
        return functional.voice_similarity(np.array(predictions), np.array(references)), 1.0
