"""What the README shows works: its Python runs, its commands parse, the files it links to exist.

A block is left out when an HTML comment says why, right before it: ``<!-- not executed: needs the published weights
-->``.
"""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest


README = Path(__file__).resolve().parent.parent / "README.md"
_NOT_EXECUTED = re.compile(r"<!-- not executed: \S.*-->")

pytestmark = pytest.mark.skipif(not README.is_file(), reason="there is no README.md")


class Block(NamedTuple):
    """A fenced block: its language, its code, and the line of the file where the code starts (from 1)."""

    language: str
    code: str
    line: int


def collect_blocks(text: str) -> list[Block]:
    """Collect the fenced blocks that are not left out by a comment."""
    blocks = []
    before, opened, language, code = "", 0, "", []
    for number, line in enumerate(text.splitlines(), start=1):
        if not opened and line.startswith("```"):
            opened, language, code = number, line[3:].strip(), []
        elif opened and line.startswith("```"):
            if not _NOT_EXECUTED.fullmatch(before):
                blocks.append(Block(language, "\n".join(code), opened + 1))
            opened, before = 0, ""
        elif opened:
            code.append(line)
        elif line.strip():
            before = line.strip()
    assert not opened, f"the block that begins in line {opened} does not end"
    return blocks


def _blocks(language: str) -> list[Block]:
    return [block for block in collect_blocks(README.read_text(encoding="utf-8")) if block.language == language]


def _commands() -> list[list[str]]:
    lines = "\n".join(block.code for block in _blocks("bash")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_python_blocks_run(tmp_path, monkeypatch):
    """One after the other in one namespace, as a reader would paste them."""
    from iap_pipelines.assets import EMBEDDED_CHECKPOINT

    if not Path(EMBEDDED_CHECKPOINT, "model_index.json").is_file():
        pytest.skip("needs the embedded checkpoint")
    monkeypatch.chdir(tmp_path)
    blocks = _blocks("python")
    assert blocks
    namespace = {"__name__": "readme"}
    for block in blocks:
        # Empty lines before the code, so that a traceback names the line of the README.
        exec(compile("\n" * (block.line - 1) + block.code, str(README), "exec"), namespace)


def test_commands_parse():
    from iap_pipelines.cli import build_parser

    commands = [words[1:] for words in _commands() if words[0] == "iap"]
    assert commands
    for words in commands:
        build_parser().parse_args(words)


def test_make_targets_exist(repository):
    makefile = (repository / "Makefile").read_text()
    targets = [words[1] for words in _commands() if words[0] == "make"]
    assert targets
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"make {target}"


def test_links_to_files_lead_somewhere(repository):
    targets = re.findall(r"\]\(([^)#\s]+)", README.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (repository / target).exists()]
    assert not missing


def test_the_collector():
    text = "\n".join(
        ["```python", "a = 1", "```", "text", "", "<!-- not executed: why -->", "", "```python", "b", "```", "```bash"]
        + ["iap x", "```", "<!-- not executed: -->", "```python", "c = 3", "```"]
    )
    assert collect_blocks(text) == [
        Block("python", "a = 1", 2),
        Block("bash", "iap x", 12),
        Block("python", "c = 3", 16),
    ]
