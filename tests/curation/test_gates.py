"""Gates judge columns that exist, name value and threshold, and agree with the packaged file."""

import pytest

from iap_pipelines.curation.gates import DERIVED_COLUMNS, GATES, Thresholds, judge_clip
from iap_pipelines.curation.records import CLIP_MEASUREMENTS, Clip, Source
from iap_pipelines.curation.schema import column_fields


def test_every_gate_judges_a_column_and_has_a_threshold():
    columns = {item.name for kind in (Source, Clip, *CLIP_MEASUREMENTS) for item in column_fields(kind)}
    assert {gate.measurement for gate in GATES} <= columns | set(DERIVED_COLUMNS)
    assert sorted(gate.threshold for gate in GATES) == sorted(Thresholds.model_fields)
    assert len({gate.reason for gate in GATES}) == len(GATES)


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.reason)
def test_each_gate_divides_at_its_threshold(gate):
    thresholds = Thresholds()
    limit = getattr(thresholds, gate.threshold)
    if limit is None:  # open by default
        limit = 0.5
        thresholds = Thresholds(**{gate.threshold: limit})
    inside, outside = (1e-6, -1e-6) if gate.side == "at_least" else (-1e-6, 1e-6)
    assert judge_clip({gate.measurement: limit}, thresholds) == ()
    only_this = {name: None for name in Thresholds.model_fields if name != gate.threshold}
    thresholds = Thresholds(**{**only_this, gate.threshold: limit})
    assert judge_clip({gate.measurement: limit + inside}, thresholds) == ()
    (verdict,) = judge_clip({gate.measurement: limit + outside}, thresholds)
    assert (verdict.reason, verdict.value, verdict.threshold) == (gate.reason, limit + outside, limit)
    assert judge_clip({}, thresholds) == (), "what has not been measured is not judged"
    missing = judge_clip({gate.measurement: None}, thresholds)
    assert len(missing) == (0 if gate.may_be_missing else 1)


def test_null_opens_a_gate():
    assert judge_clip({"luma": 0.0}, Thresholds(min_luma=None, max_luma=None)) == ()


def test_a_caption_with_a_problem_is_rejected():
    (verdict,) = judge_clip({"caption_problem": "two people"}, Thresholds())
    assert verdict.reason == "caption_inconsistent"


def test_the_readme_explains_every_reason(repository):
    text = (repository / "src/iap_pipelines/curation/README.md").read_text(encoding="utf-8")
    for gate in GATES:
        assert f"`{gate.reason}`" in text
