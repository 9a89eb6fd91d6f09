"""`evaluate.load` finds the metric `speaker_word_error_rate` here."""

import iap_pipelines.evaluation.functional as functional
import iap_pipelines.evaluation.metric_module as base


class SpeakerWordErrorRate(base.PerClipMetric):
    description = (
        "cpWER: word errors per word after the best assignment of heard to reference speakers; lower is better."
    )
    inputs_description = (
        "predictions: per clip, the words of each heard speaker; "
        "references: per clip, the words of each speaker that should be heard."
    )
    inputs = {"predictions": base.TEXTS, "references": base.TEXTS}

    def score(self, predictions: list[str], references: list[str]) -> tuple[float | None, float]:
        errors = functional.speaker_word_errors(references, predictions)
        return errors.rate, float(errors.num_words)
