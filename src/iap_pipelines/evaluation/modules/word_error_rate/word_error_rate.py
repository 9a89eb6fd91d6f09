"""`evaluate.load` finds the metric `word_error_rate` here."""

import iap_pipelines.evaluation.functional as functional
import iap_pipelines.evaluation.metric_module as base


class WordErrorRate(base.PerClipMetric):
    description = "Word errors per word that should have been said, over all clips; lower is better."
    inputs_description = "predictions: per clip, what was heard; references: per clip, what should have been said."
    inputs = {"predictions": base.TEXT, "references": base.TEXT}

    def score(self, predictions: str, references: str) -> tuple[float | None, float]:
        errors = functional.word_errors(references, predictions)
        return errors.rate, float(errors.num_words)
