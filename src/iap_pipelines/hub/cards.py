"""Cards from templates: the texts that belong to every repository of a kind, and the facts that belong to one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml
from pydantic import BaseModel, ConfigDict


TEMPLATES = Path(__file__).parent / "templates"


class CardFacts(BaseModel):
    """A file of `model_cards/facts/`: what one card says beyond the texts of its kind."""

    model_config = ConfigDict(extra="forbid")

    template: str
    """name of a file in `templates/`, without `.md`"""
    output: Path
    """where the card goes, relative to the folder of the facts"""
    repo_type: str = "model"
    metadata: dict[str, Any]
    """what the Hub reads, in this order"""
    facts: dict[str, Any]
    """what the template asks for"""
    results: Path | None = None
    """JSON file of scores that a benchmark wrote, relative to the folder of the facts; the card has no scores before
    that file is there, and says what `not_measured` says"""

    @classmethod
    def load(cls, path: Path) -> "CardFacts":
        """
        Read a YAML file, and the scores of its `results`.

        Raises:
            ValueError: unknown or missing entries, or scores in both places.
        """
        card = cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        if card.results is not None:
            if "scores" in card.facts:
                raise ValueError(f"{path}: `results` and `scores` exclude each other. Leave out one of them.")
            results = path.parent / card.results
            card.facts["scores"] = json.loads(results.read_text(encoding="utf-8")) if results.is_file() else []
        return card

    def render(self) -> str:
        """The card; see [`render_card`]."""
        return render_card(self.template, self.metadata, self.facts)


def render_all(folder: Path) -> list[Path]:
    """Write the cards of all facts in a folder; returns what was written."""
    written = []
    for path in sorted(folder.glob("*.yaml")):
        card = CardFacts.load(path)
        output = (folder / card.output).resolve()
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(card.render(), encoding="utf-8")
        written.append(output)
    return written


def render_card(template: str, metadata: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """
    Render a README.md.

    Args:
        template: name of a file in `templates/`, without `.md`.
        metadata: what the Hub reads, in this order.
        facts: what the template asks for.

    Raises:
        ValueError: a fact that the template asks for is missing.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown
    )
    try:
        body = environment.get_template(f"{template}.md").render(facts)
    except jinja2.UndefinedError as error:
        raise ValueError(f"The card {template!r} needs a fact that was not given: {error.message}.") from error
    front_matter = yaml.safe_dump(dict(metadata), sort_keys=False, allow_unicode=True, width=119)
    return f"---\n{front_matter}---\n\n{body}"
