"""The result of a run as one JSON document, from which every other form is made."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from iap_pipelines.evaluation.results import ClipResult, MetricSummary, label_groups, summarize


FORMAT = "iap-evaluation-1"


@dataclass(frozen=True)
class Document:
    """A finished run.

    Args:
        title: what was scored.
        summaries: of all clips, in the order of the definitions, metrics over sets last.
        groups: the same for the clips of each label value.
        results: of the clips, in order.
        models: name and revision of the model in each role, ``None`` where it was missing.
        missing: why, for each role that was missing.
        settings: everything else that numbers depend on.
        generated: what made the clips, for a benchmark; ``None`` for clips of another system.
    """

    title: str
    summaries: Sequence[MetricSummary]
    groups: Mapping[str, Sequence[MetricSummary]]
    results: Sequence[ClipResult]
    models: Mapping[str, str | None]
    missing: Mapping[str, str]
    settings: Mapping[str, Any]
    generated: Mapping[str, Any] | None = None

    def to_json(self) -> str:
        """Sorted and without times of the run: two runs give the same text."""
        values = {
            "format": FORMAT,
            "title": self.title,
            "metrics": [asdict(summary) for summary in self.summaries],
            "groups": {name: [asdict(summary) for summary in group] for name, group in self.groups.items()},
            "clips": [result.to_dict() for result in self.results],
            "models": dict(self.models),
            "missing": dict(self.missing),
            "settings": dict(self.settings),
            "generated": None if self.generated is None else dict(self.generated),
        }
        return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> "Document":
        """Read what `to_json` wrote.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: for another kind of file.
        """
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError(f"{path} is no result of `iap evaluate` in the format {FORMAT!r}.")
        return cls(
            title=values["title"],
            summaries=[MetricSummary(**summary) for summary in values["metrics"]],
            groups={name: [MetricSummary(**summary) for summary in group] for name, group in values["groups"].items()},
            results=[ClipResult.from_dict(clip) for clip in values["clips"]],
            models=values["models"],
            missing=values["missing"],
            settings=values["settings"],
            generated=values["generated"],
        )


def grouped_summaries(results: Sequence[ClipResult], *, seed: int) -> dict[str, list[MetricSummary]]:
    """Summaries of the clips with each value of each label."""
    return {name: summarize(group, seed=seed) for name, group in label_groups(results).items()}
