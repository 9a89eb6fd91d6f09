"""Tables, cards and pages from one document."""

from dataclasses import replace

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results

from iap_pipelines.evaluation.definitions import METRICS, METRICS_BY_NAME
from iap_pipelines.evaluation.references import ClipReference
from iap_pipelines.evaluation.report.card_rows import write_card_rows
from iap_pipelines.evaluation.report.document import Document
from iap_pipelines.evaluation.report.markdown import render_markdown, render_table
from iap_pipelines.evaluation.report.page import render_page
from iap_pipelines.evaluation.results import ClipResult, Score, label_groups, summarize


def _result(name, scores, **labels):
    return ClipResult(name, f"{name}.mp4", tuple(scores), labels)


RESULTS = [
    _result(
        "a",
        [
            Score("face_similarity", 0.8, "ada"),
            Score("face_similarity", 0.4, "ben"),
            Score("word_error_rate", 0.5, weight=2),
        ],
        kind="x",
    ),
    _result("b", [Score("face_similarity", 0.2, "cat"), Score("word_error_rate", 0.0, weight=8)], kind="y"),
    _result("c", [Score("face_similarity", None, "ada", reason="no | face")], kind="y"),
    ClipResult("d", "d.mp4", error="damaged"),
]


@pytest.fixture
def document():
    return Document(
        title="toys",
        summaries=summarize(RESULTS, seed=0),
        groups={name: summarize(group, seed=0) for name, group in label_groups(RESULTS).items()},
        results=RESULTS,
        models={"face_embedder": "dlib (1)", "lip_sync": None},
        missing={"lip_sync": "no weights"},
        settings={"seed": 0},
    )


def _summary(metric, results=RESULTS):
    return next(summary for summary in summarize(results, seed=0) if summary.metric == metric)


def test_a_clip_counts_once_however_many_people(document):
    face = _summary("face_similarity")
    assert face.value == pytest.approx((0.6 + 0.2) / 2)
    assert (face.num_clips, face.num_missing) == (2, 2)


def test_who_is_not_measured_is_counted_beside_who_is():
    scores = [Score("voice_similarity", 0.9, "ada"), Score("voice_similarity", None, "ben", reason="never heard")]
    voice = _summary("voice_similarity", [_result("a", scores)])
    assert (voice.value, voice.num_clips, voice.num_missing, voice.reason) == (0.9, 1, 1, "never heard")


def test_intervals_are_over_people_and_nameless_clips_stand_for_themselves():
    def of(names):
        return [
            _result(str(n), [Score("binding", 0.1 * (n % 2)), Score("face_share", 1.0, name)])
            for n, name in enumerate(names)
        ]

    once, often = _summary("binding", of("ab")), _summary("binding", of("ab" * 20))
    assert (once.value, once.low, once.high) == pytest.approx((often.value, often.low, often.high))
    nameless = _summary("binding", of(["S1"] * 40))
    assert nameless.high - nameless.low < often.high - often.low
    assert _summary("face_share", of("abc")).low is None


def test_error_rates_are_weighted_by_words():
    assert _summary("word_error_rate").value == pytest.approx(1 / 10)


def test_the_most_frequent_reason_is_told():
    assert _summary("voice_similarity").reason == "no reference asks for it"
    assert _summary("face_similarity").reason in ("no | face", "damaged")


def test_labels_with_several_values_are_groups():
    assert {name: [r.clip_id for r in group] for name, group in label_groups(RESULTS).items()} == {
        "kind: x": ["a"],
        "kind: y": ["b", "c"],
    }


def test_the_table_keeps_what_is_missing(document):
    table = render_table(document.summaries)
    assert "| Face similarity ↑ (cosine) | 0.400 | 0.200 to 0.600 | 2 | 2 not measured:" in table
    assert "| Voice similarity ↑ (cosine) | null |" in table
    assert "no \\| face" in render_markdown(document) or "damaged" in render_markdown(document)
    assert all(row.count(" | ") == 4 for row in table.replace("\\|", "").splitlines())


def test_tables_and_page_pin_what_made_the_clips(document, tmp_path):
    made_by = {
        "model": "us/tiny",
        "model_revision": "abc123",
        "benchmark": "drawn",
        "benchmark_version": "1",
        "benchmark_revision": "def456",
    }
    pinned = replace(document, generated=made_by)
    clips = [ClipReference(result.clip_id, tmp_path / result.video) for result in RESULTS]
    for text in (render_markdown(pinned), render_page(pinned, clips, tmp_path)):
        assert "us/tiny (abc123)" in text
        assert "drawn 1 (def456)" in text
    assert "generated with" not in render_markdown(document)


def test_the_document_reads_back(document, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(document.to_json())
    assert Document.read(path).to_json() == document.to_json()
    path.write_text("{}")
    with pytest.raises(ValueError, match="iap evaluate"):
        Document.read(path)


def test_card_rows_are_what_the_hub_reads(document, tmp_path):
    write_card_rows(document, tmp_path, model_name="tiny", dataset_id="org/toys", dataset_name="Toys")
    index = yaml.safe_load((tmp_path / "model-index.yaml").read_text())
    name, rows = model_index_to_eval_results(index["model-index"])
    assert name == "tiny"
    assert {row.metric_type: row.metric_value for row in rows} == pytest.approx(
        {"face_similarity": 0.4, "word_error_rate": 0.1}
    )
    entries = parse_eval_result_entries(yaml.safe_load((tmp_path / ".eval_results/toys.yaml").read_text()))
    assert {(entry.dataset_id, entry.task_id) for entry in entries} == {
        ("org/toys", "face_similarity"),
        ("org/toys", "word_error_rate"),
    }
    assert all("dlib (1)" in entry.notes and "95 %" in entry.notes for entry in entries)


def test_metrics_have_names_directions_and_roles():
    assert len(METRICS_BY_NAME) == len(METRICS)
    assert {metric.better for metric in METRICS} == {"higher", "lower"}
    assert all(metric.roles for metric in METRICS)


def test_the_readme_of_the_room_defines_every_metric(repository):
    text = (repository / "src/iap_pipelines/evaluation/README.md").read_text(encoding="utf-8")
    assert [metric.name for metric in METRICS if f"`{metric.name}`" not in text] == []
