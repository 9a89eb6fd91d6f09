"""`evaluate.load` finds the metric `face_similarity` here."""

import numpy as np

import iap_pipelines.evaluation.functional as functional
import iap_pipelines.evaluation.metric_module as base


class FaceSimilarity(base.PerClipMetric):
    description = "Mean cosine between the faces of a clip and the reference faces, in [-1, 1]; higher is better."
    inputs_description = (
        "predictions: per clip, face embeddings [F, D] of frames, NaN where no face was found; "
        "references: per clip, embeddings [K, D] of the reference pictures, by the same model."
    )
    inputs = {"predictions": base.VECTORS, "references": base.VECTORS}

    def score(self, predictions: list, references: list) -> tuple[float | None, float]:
        return functional.face_similarity(np.array(predictions), np.array(references)).similarity, 1.0
