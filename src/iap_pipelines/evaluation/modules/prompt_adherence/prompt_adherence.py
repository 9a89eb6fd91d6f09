"""`evaluate.load` finds the metric `prompt_adherence` here."""

import numpy as np

import iap_pipelines.evaluation.functional as functional
import iap_pipelines.evaluation.metric_module as base


class PromptAdherence(base.PerClipMetric):
    description = "Mean cosine of frames (CLIP) or sound (CLAP) with the caption, in [-1, 1]; higher is better."
    inputs_description = (
        "predictions: per clip, embeddings [F, D] of frames or pieces of sound; "
        "references: per clip, embedding [D] of the caption, by the same model."
    )
    inputs = {"predictions": base.VECTORS, "references": base.NUMBERS}

    def score(self, predictions: list, references: list) -> tuple[float | None, float]:
        return functional.prompt_adherence(np.array(predictions), np.array(references)), 1.0
