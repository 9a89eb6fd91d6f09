"""What the `evaluate.Metric` modules in `modules/` share: mean and interval over clips around one pure function.

A module says `import iap_pipelines.evaluation.metric_module as base`: `evaluate` takes the first metric class that it
finds in the names of a script, so the class here must not be one of them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import evaluate
import numpy as np

from iap_pipelines.evaluation.functional import bootstrap_mean


NUMBERS = datasets.List(datasets.Value("float32"))
VECTORS = datasets.List(NUMBERS)
INTEGERS = datasets.List(datasets.Value("int64"))
TEXT = datasets.Value("string")
TEXTS = datasets.List(TEXT)

CITATION = "@software{iap_pipelines, title={iap-pipelines}, note={evaluation metrics; definitions in its README}}"


def metric_path(name: str) -> str:
    """Path of a metric for `evaluate.load`, for example of ``"binding"``.

    Raises:
        ValueError: for a name that is no metric; lists them.
    """
    folder = Path(__file__).parent / "modules"
    known = sorted(path.name for path in folder.iterdir() if (path / f"{path.name}.py").is_file())
    if name not in known:
        raise ValueError(f"`name` must be one of {', '.join(known)}, but got {name!r}.")
    return str(folder / name)


class PerClipMetric(evaluate.Metric):
    """A metric that is a weighted mean over clips."""

    inputs: Mapping[str, Any]
    """Features of one clip, by the name of the argument of `compute`."""
    description: str
    inputs_description: str

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.description,
            citation=CITATION,
            inputs_description=self.inputs_description,
            features=datasets.Features(dict(self.inputs)),
        )

    def score(self, **clip: Any) -> tuple[float | None, float]:
        """Value and weight of one clip; ``None`` when it cannot be measured."""
        raise NotImplementedError

    def _compute(self, *, seed: int = 0, **columns: list[Any]) -> dict[str, Any]:
        """The name gives the mean over clips, `_low` and `_high` its 95 % interval, `_per_clip` the values."""
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        scores = [self.score(**row) for row in rows]
        measured = [(value, weight) for value, weight in scores if value is not None and weight > 0]
        interval = bootstrap_mean(*np.array(measured).T, seed=seed) if measured else (None, None, None)
        names = (self.name, f"{self.name}_low", f"{self.name}_high")
        return {**dict(zip(names, interval, strict=True)), f"{self.name}_per_clip": [value for value, _ in scores]}
