"""`evaluate.load` finds the metric `binding` here."""

import numpy as np

import iap_pipelines.evaluation.functional as functional
import iap_pipelines.evaluation.metric_module as base


class Binding(base.PerClipMetric):
    description = (
        "Share of speech in which the active face and the voice are the same reference, in [0, 1]; higher is better."
    )
    inputs_description = (
        "faces, voices: per clip, which reference is seen speaking and heard in each cell of a time grid [T], -1 for "
        "nobody; speech: 1 where anybody speaks, else 0 [T]."
    )
    inputs = {"faces": base.INTEGERS, "voices": base.INTEGERS, "speech": base.INTEGERS}

    def score(self, faces: list, voices: list, speech: list) -> tuple[float | None, float]:
        num_references = max([0, *faces, *voices]) + 1
        share, confusion = functional.binding(np.array(faces), np.array(voices), np.array(speech), num_references)
        return share, float(confusion.sum())
