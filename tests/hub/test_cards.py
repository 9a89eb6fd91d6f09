"""Cards: what is published is rendered from templates and facts, and says what a reader of it would ask for."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard

from iap_pipelines import Consent
from iap_pipelines.assets import example_subjects
from iap_pipelines.hub.card_check import check_card
from iap_pipelines.hub.cards import TEMPLATES, CardFacts, render_card
from tests.hub.model_folder import CARD


CARDS = Path(__file__).resolve().parents[2] / "model_cards"
FACTS = sorted((CARDS / "facts").glob("*.yaml"))


@pytest.fixture(params=FACTS, ids=lambda path: path.stem)
def facts(request):
    card = CardFacts.load(request.param)
    return card, (request.param.parent / card.output).resolve()


def test_there_is_a_card_for_everything_that_is_published():
    assert {path.stem for path in FACTS} == {"published_weights", "iap_tiny", "lora", "identity", "drawn_world"}
    assert {path.stem for path in TEMPLATES.glob("*.md")} == {"model", "lora", "identity", "dataset", "scores", "use"}


def test_cards_are_what_templates_and_facts_render_to(facts):
    card, output = facts
    assert output.read_text(encoding="utf-8") == card.render(), "edit model_cards/facts and run `make cards`"


def test_cards_can_be_published(facts, tmp_path):
    card, output = facts
    folder = tmp_path / "repository"
    folder.mkdir()
    for path in (*output.parent.glob("*.md"), *output.parent.glob("*.png")):
        shutil.copyfile(path, folder / path.name)
    if card.repo_type == "dataset":
        from iap_pipelines.cli import main

        arguments = ["--identities", "2", "--clips-per-identity", "1", "--voices", "formant", "--height", "48"]
        assert main(["synthesize", str(folder), *arguments]) == 0
    assert check_card(folder / "README.md", card.repo_type) == []


def test_the_hub_reads_the_metadata(facts):
    card, output = facts
    read = (DatasetCard if card.repo_type == "dataset" else ModelCard).load(output).data.to_dict()
    assert {key: read[key] for key in card.metadata} == card.metadata
    if card.repo_type == "model":
        assert read["library_name"] == "diffusers" and read["pipeline_tag"] == "text-to-video"


def test_the_card_of_a_person_is_what_saving_writes(tmp_path):
    facts = CardFacts.load(CARDS / "facts" / "identity.yaml").facts
    consent = Consent.model_validate(facts["consent"])
    example_subjects()[0].save_pretrained(tmp_path / "ada", description=facts["description"], consent=consent)
    for name in ("README.md", "LICENSE.md"):
        assert (tmp_path / "ada" / name).read_text() == (CARDS / "ada" / name).read_text()


def test_every_number_comes_with_its_command():
    for path in FACTS:
        for score in CardFacts.load(path).facts.get("scores", ()):
            assert {"name", "value", "interval", "better", "on", "command"} <= score.keys()
            assert score["command"].split()[0] in ("iap", "python", "make"), score


def test_scores_are_rendered_with_interval_and_command():
    facts = CardFacts.load(CARDS / "facts" / "iap_tiny.yaml")
    score = {"name": "face similarity", "value": 0.5, "interval": "[0.4, 0.6]", "better": "higher", "on": "10 clips"}
    changes = {"scores": [score | {"command": "iap evaluate x"}], "not_measured": "Nothing was measured."}
    text = render_card("model", facts.metadata, facts.facts | changes)
    assert "| face similarity | 0.5 | [0.4, 0.6] | higher | 10 clips |" in text and "\niap evaluate x\n" in text
    assert "Nothing was measured." not in text
    text = render_card("model", facts.metadata, facts.facts | changes | {"scores": []})
    assert "Nothing was measured." in text and "iap evaluate x" not in text


def test_scores_come_from_the_file_of_a_benchmark_when_there_is_one(tmp_path):
    facts = yaml.safe_load((CARDS / "facts" / "lora.yaml").read_text())
    path = tmp_path / "lora.yaml"
    path.write_text(yaml.safe_dump(facts | {"results": "scores.json"}))
    assert "Not measured." in CardFacts.load(path).render()
    score = {"name": "face", "value": "90 %", "interval": "80 to 95", "better": "higher", "on": "20 clips"}
    (tmp_path / "scores.json").write_text(json.dumps([score | {"command": "python -m benchmarks.x"}]))
    text = CardFacts.load(path).render()
    assert "| face | 90 % | 80 to 95 | higher | 20 clips |" in text and "Not measured." not in text
    path.write_text(yaml.safe_dump(facts | {"results": "scores.json", "facts": facts["facts"] | {"scores": []}}))
    with pytest.raises(ValueError, match="`results` and `scores` exclude each other"):
        CardFacts.load(path)


def test_a_missing_fact_is_named():
    with pytest.raises(ValueError, match="The card 'lora' needs a fact that was not given: 'title' is undefined"):
        render_card("lora", {}, {})


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (CARD, "# No metadata", "It does not begin with metadata"),
        ("license: apache-2.0", "license: [", "Its metadata is no YAML"),
        ("license: apache-2.0\n", "", "Its metadata lacks `license`."),
        ("license: apache-2.0", "license: other", "`license: other` needs `license_name` and `license_link`."),
        ("library_name: diffusers", "library_name: keras", "`library_name` must be diffusers"),
        ("text-to-video", "text-to-cinema", "`pipeline_tag` 'text-to-cinema' is not among"),
        ("tags: [tests]", "tags: [tests]\nbase_model: org/iap", "`base_model` and `base_model_relation` belong"),
        (
            "tags: [tests]",
            "tags: [tests]\nbase_model: org/iap\nbase_model_relation: cousin",
            "`base_model_relation` 'cousin' is not among adapter",
        ),
        ("## Prohibited use", "## Fun", "It has no section about prohibited use."),
        ("Random weights.", "[More Information Needed]", "It still contains the placeholder"),
        ("Random weights.", "{{ summary }}", "It still contains the placeholder '{{'."),
        ("Random weights.", "TODO", "It still contains the placeholder 'TODO'."),
        ("Random weights.", "See [notes](notes.md).", "It names notes.md, which is not beside it."),
        (
            "tags: [tests]",
            "tags: [tests]\nwidget: [{text: hi, output: {url: a.mp4}}]",
            "It names a.mp4, which is not beside it.",
        ),
    ],
)
def test_what_is_wrong_with_a_card_is_said(tmp_path, old, new, problem):
    path = tmp_path / "README.md"
    path.write_text(CARD)
    assert check_card(path) == []
    assert old in CARD
    path.write_text(CARD.replace(old, new))
    assert any(problem in found for found in check_card(path)), check_card(path)


def test_a_heading_in_code_is_no_section(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(CARD.replace("## Limits\nIt makes noise.", "```\n## Limits\n```"))
    assert check_card(path) == ["It has no section about limits."]


def test_facts_are_strict(tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({"template": "lora", "output": "x", "metadata": {}, "fact": {}}))
    with pytest.raises(ValueError, match="fact"):
        CardFacts.load(tmp_path / "a.yaml")
