"""Scores that benchmarks wrote, in the facts of a card."""

import json
import shutil

import pytest
import yaml
from huggingface_hub import ModelCard

from benchmarks import ablation
from benchmarks.card_scores import FIGURE, replace_entry, write_scores
from benchmarks.identity_table import weights_digest
from iap_pipelines.assets import EMBEDDED_CHECKPOINT
from iap_pipelines.evaluation.benchmark.generate import resolve_model
from iap_pipelines.evaluation.report.document import Document
from iap_pipelines.evaluation.results import MetricSummary
from iap_pipelines.hub.card_check import check_card
from iap_pipelines.hub.cards import CardFacts


TEXT = """\
template: model
metadata:
  license: apache-2.0
  tags: [a, b]
facts:
  # Kept.
  scores:
    - name: old
      value: 1

    - name: older
  limits: |-
    None.

    Really.
"""


def test_one_entry_changes_and_every_other_line_stays():
    changed = replace_entry(TEXT, "facts", "scores", [{"name": "new", "on": "7 clips"}])
    assert "old" not in changed
    assert changed.startswith(TEXT[: TEXT.index("    - name: old")])
    assert changed.endswith(TEXT[TEXT.index("  limits") :])
    assert yaml.safe_load(changed)["facts"]["scores"] == [{"name": "new", "on": "7 clips"}]
    assert replace_entry(changed, "facts", "scores", [{"name": "new", "on": "7 clips"}]) == changed


def test_an_entry_comes_and_goes():
    with_index = replace_entry(TEXT, "metadata", "model-index", [{"name": "x"}])
    assert yaml.safe_load(with_index)["metadata"]["model-index"] == [{"name": "x"}]
    assert replace_entry(with_index, "metadata", "model-index", None) == TEXT


@pytest.fixture
def facts(repository, tmp_path):
    folder = tmp_path / "cards" / "facts"
    folder.mkdir(parents=True)
    text = (repository / "model_cards/facts/iap_tiny.yaml").read_text(encoding="utf-8")
    output = next(line for line in text.splitlines() if line.startswith("output:"))
    path = folder / "iap_tiny.yaml"
    path.write_text(text.replace(output, "output: ../README.md"), encoding="utf-8")
    return path


def _evaluation(folder, revision):
    folder.mkdir()
    summaries = [
        MetricSummary("face_similarity", 0.5, 0.25, 0.75, 30, 0),
        MetricSummary("lip_sync_offset", 80.0, None, None, 1, 29, "no mouth is seen while somebody speaks"),
        MetricSummary("fid", None, None, None, 0, 0, "no model is chosen"),
    ]
    made_by = {
        "benchmark": "drawn-world",
        "benchmark_version": "1",
        "model_revision": revision,
        "options": {"num_inference_steps": 8},
    }
    content = Document("title", summaries, {}, [], {"face_embedder": "a (1)"}, {}, {}, made_by).to_json()
    (folder / "results.json").write_text(content)
    return folder


def _entry(row, value, **changes):
    return {"row": row, "column": "generated", "value": value, "low": 0.2, "high": 1.0, "num_clips": 4} | changes


def _table(folder, digest, entries):
    folder.mkdir(parents=True)
    content = {"settings": {"model_weights": digest, "steps": 20}, "command": "python -m x", "results": entries}
    (folder / "table.json").write_text(json.dumps(content))
    return folder


def test_scores_of_all_benchmarks_stand_in_the_card(facts, tmp_path):
    evaluation = _evaluation(tmp_path / "evaluation", resolve_model(str(EMBEDDED_CHECKPOINT)).revision)
    entries = [
        _entry("face: top-1 among 32", 0.75),
        _entry("  the same with the sound of another clip", 0.25),
        _entry("given both: face of two takes, cosine", 0.84, column="real", low=None, high=None),
    ]
    table = _table(tmp_path / "table", weights_digest(EMBEDDED_CHECKPOINT), entries)
    for run, value in (("complete", 0.75), ("no_slots", 0.5)):
        _table(tmp_path / "ablation" / run / "table", run, [_entry(row, value) for row in ablation.COLUMNS])
    before = CardFacts.load(facts)
    write_scores(facts, evaluation, table, tmp_path / "ablation")

    card = CardFacts.load(facts)
    assert {key: value for key, value in card.facts.items() if key not in ("scores", "ablation")} == {
        key: value for key, value in before.facts.items() if key not in ("scores", "ablation")
    }
    text = card.render()
    for row in (
        "| face: top-1 among 32 | 75 % | 20 to 100 % | higher | generated of held-out people (4 clips, chance 3 %,",
        "| lip sync with the sound of another clip | 25 % | 20 to 100 % | lower |",
        "| given both: face of two takes, cosine | 0.84 |  | higher | real clips of held-out people (4 clips) |",
        "| Face similarity | 0.500 cosine | 0.250 to 0.750 | higher | benchmark drawn-world 1 (30 clips) |",
        "| Lip-sync offset | 80 ms |  | lower | benchmark drawn-world 1 (1 clips) |",
        "| without identity embedding | 50 % [20, 100] |",
        f"]({FIGURE})",
        "iap evaluate --benchmark drawn-world --steps 8\n",
    ):
        assert row in text
    assert "FID" not in text
    readme = facts.parent.parent / "README.md"
    readme.write_text(text, encoding="utf-8")
    assert check_card(readme) == []
    assert ModelCard.load(readme).data.to_dict()["model-index"] == card.metadata["model-index"]
    assert [result.metric_value for result in ModelCard.load(readme).data.eval_results] == [0.5, 80.0]

    shutil.rmtree(tmp_path / "ablation" / "no_slots")
    write_scores(facts, ablation=tmp_path / "ablation")
    alone = CardFacts.load(facts)
    assert (alone.metadata, alone.facts["scores"]) == (card.metadata, card.facts["scores"])
    assert "without identity embedding" not in alone.facts["ablation"]["table"]
    write_scores(facts, identity_table=table)
    without = CardFacts.load(facts)
    assert without.facts["ablation"] == alone.facts["ablation"]
    assert "model-index" not in without.metadata
    assert without.facts["scores"] == [score for score in card.facts["scores"] if "benchmark" not in score["on"]]


def test_scores_of_other_weights_are_refused(facts, tmp_path):
    before = facts.read_text()
    with pytest.raises(ValueError, match="0123456789ab, but the embedded checkpoint is"):
        write_scores(facts, evaluation=_evaluation(tmp_path / "evaluation", "0123456789ab"))
    with pytest.raises(ValueError, match="0123456789ab, but the embedded checkpoint is"):
        write_scores(facts, identity_table=_table(tmp_path / "table", "0123456789ab", []))
    assert facts.read_text() == before
