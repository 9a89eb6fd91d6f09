"""What was measured of one clip, and what all clips together say."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from iap_pipelines.evaluation.definitions import METRICS
from iap_pipelines.evaluation.functional import bootstrap_people
from iap_pipelines.evaluation.references import UNNAMED


@dataclass(frozen=True)
class Score:
    """One measured value, or the reason why there is none.

    Args:
        metric: name of a `MetricDefinition`.
        value: ``None`` when it could not be measured.
        subject: whom it is about; ``None``: the clip.
        weight: in means over clips: words for error rates, seconds of speech for binding, else 1.
        reason: why there is no value.
    """

    metric: str
    value: float | None
    subject: str | None = None
    weight: float = 1.0
    reason: str | None = None


@dataclass(frozen=True)
class ClipResult:
    """Everything measured of one clip.

    Args:
        clip_id: as in `ClipReference`.
        video: the file, as it was given.
        scores: in the order of `METRICS`, then of the subjects.
        labels: as in `ClipReference`.
        details: what explains the scores: confusion matrix, offsets with sign, transcript, turns.
        error: why the clip could not be read; then there are no scores.
    """

    clip_id: str
    video: str
    scores: tuple[Score, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        scores = tuple(Score(**score) for score in values["scores"])
        return cls(**{**values, "scores": scores})


@dataclass(frozen=True)
class MetricSummary:
    """One metric over clips.

    Args:
        metric: name of a `MetricDefinition`.
        value: weighted mean over clips, ``None`` when no clip was measured.
        low: lower end of the 95 % bootstrap interval over people.
        high: upper end.
        num_clips: clips that count.
        num_missing: scores, of a clip or of one of its subjects, that could not be measured.
        reason: the most frequent reason why not.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    num_clips: int
    num_missing: int
    reason: str | None = None


def summarize(results: Sequence[ClipResult], *, seed: int) -> list[MetricSummary]:
    """Summarise each metric of a clip or its subjects.

    Each clip counts once, with the mean of its subjects. Intervals are over people: all clips with the same first
    subject are drawn together, since clips of one person are not independent; clips that name nobody, each by itself.

    Args:
        results: of the clips; those with an error have no scores and count as missing everywhere.
        seed: of the bootstrap.
    """
    return [_summarize(metric.name, results, seed) for metric in METRICS if metric.scope != "set"]


def _summarize(metric: str, results: Sequence[ClipResult], seed: int) -> MetricSummary:
    values, reasons = [], []
    for result in results:
        scores = [score for score in result.scores if score.metric == metric]
        measured = [score for score in scores if score.value is not None and score.weight > 0]
        if measured:
            weight = sum(score.weight for score in measured)
            value = sum(score.value * score.weight for score in measured) / weight
            values.append((_grouped_by(result), value, weight / len(measured)))
        reasons += [score.reason for score in scores if score not in measured] if scores else [result.error]
    found = Counter(reason or "no reference asks for it" for reason in reasons).most_common(1)
    interval = bootstrap_people(values, seed=seed) or (None, None, None)
    return MetricSummary(metric, *interval, len(values), len(reasons), found[0][0] if found else None)


def _grouped_by(result: ClipResult) -> str:
    first = next((score.subject for score in result.scores if score.subject), None)
    return result.clip_id if first is None or UNNAMED.fullmatch(first) else first


def label_groups(results: Sequence[ClipResult]) -> dict[str, list[ClipResult]]:
    """The clips with each value of each label, as ``"pairing: cross_pair"``, where a label has several values."""
    groups: dict[str, list[ClipResult]] = {}
    for key in sorted({key for result in results for key in result.labels}):
        values = sorted({result.labels[key] for result in results if key in result.labels})
        if len(values) > 1:
            for value in values:
                groups[f"{key}: {value}"] = [result for result in results if result.labels.get(key) == value]
    return groups
