"""`evaluate.load` finds the metric `face_share` here."""

import numpy as np

import iap_pipelines.evaluation.functional as functional
import iap_pipelines.evaluation.metric_module as base


class FaceShare(base.PerClipMetric):
    description = "Share of the frames in which the person's face was found, in [0, 1]; higher is better."
    inputs_description = (
        "predictions: per clip, face embeddings [F, D] of frames, NaN where no face was found; "
        "references: per clip, embeddings [K, D] of the reference pictures, by the same model."
    )
    inputs = {"predictions": base.VECTORS, "references": base.VECTORS}

    def score(self, predictions: list, references: list) -> tuple[float | None, float]:
        return functional.face_similarity(np.array(predictions), np.array(references)).share_with_face, 1.0
