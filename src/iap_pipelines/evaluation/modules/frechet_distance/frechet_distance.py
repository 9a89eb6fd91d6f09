"""`evaluate.load` finds the metric `frechet_distance` here."""

from typing import Any

import datasets
import evaluate
import numpy as np

import iap_pipelines.evaluation.functional as functional
import iap_pipelines.evaluation.metric_module as base


class FrechetDistance(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="FID, FVD or FAD, by the features: squared distance of fitted Gaussians; lower is better.",
            citation=base.CITATION,
            inputs_description=(
                "predictions: features [D] of each generated frame, clip or sound; "
                "references: as many features [D] of real ones, by the same model."
            ),
            features=datasets.Features({"predictions": base.NUMBERS, "references": base.NUMBERS}),
        )

    def _compute(self, predictions: list, references: list, *, seed: int = 0) -> dict[str, Any]:
        """The name gives the distance, `_low` and `_high` its 95 % interval over samples."""
        real, generated = (list(np.array(features, np.float64)[:, None]) for features in (references, predictions))
        names = ("frechet_distance", "frechet_distance_low", "frechet_distance_high")
        return dict(zip(names, functional.bootstrap_frechet(real, generated, seed=seed), strict=True))
