"""The files of a finished run."""

from collections.abc import Sequence
from pathlib import Path

from iap_pipelines.evaluation.references import ClipReference
from iap_pipelines.evaluation.report.document import Document
from iap_pipelines.evaluation.report.markdown import render_markdown
from iap_pipelines.evaluation.report.page import render_page


RESULT_FILES = ("results.json", "results.md", "index.html")


def write_results(document: Document, clips: Sequence[ClipReference], output: Path) -> None:
    """Write the document as JSON, Markdown and a page into ``output``."""
    output.mkdir(parents=True, exist_ok=True)
    contents = (document.to_json(), render_markdown(document), render_page(document, clips, output))
    for name, content in zip(RESULT_FILES, contents, strict=True):
        (output / name).write_text(content, encoding="utf-8")
