"""`evaluate.load` finds the metric `copy_paste` here."""

import numpy as np

import iap_pipelines.evaluation.functional as functional
import iap_pipelines.evaluation.metric_module as base


class CopyPaste(base.PerClipMetric):
    description = (
        "How much closer a clip is to the given picture than another picture of the person is; 0 or less is best."
    )
    inputs_description = (
        "predictions: per clip, face embeddings [F, D] of frames; given: embedding [D] of the given picture; "
        "others: embeddings [K, D] of pictures of the same person that were not given."
    )
    inputs = {"predictions": base.VECTORS, "given": base.NUMBERS, "others": base.VECTORS}

    def score(self, predictions: list, given: list, others: list) -> tuple[float | None, float]:
        return functional.copy_paste(np.array(predictions), np.array(given), np.array(others)), 1.0
