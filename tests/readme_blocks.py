"""The fenced blocks of a README, and the commands in them."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple


README = Path(__file__).resolve().parent.parent / "README.md"
_NOT_EXECUTED = re.compile(r"<!-- not executed: \S.*-->")


class Block(NamedTuple):
    """A fenced block: its section, its language, its code, and the line of the file where the code starts (from 1)."""

    section: str
    language: str
    code: str
    line: int

    @property
    def commands(self) -> list[list[str]]:
        """The words of every command of a bash block."""
        lines = self.code.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def collect_blocks(text: str) -> list[Block]:
    """Collect the fenced blocks that are not left out by a comment."""
    blocks = []
    section, before, opened, language, code = "", "", 0, "", []
    for number, line in enumerate(text.splitlines(), start=1):
        if not opened and line.startswith("```"):
            opened, language, code = number, line[3:].strip(), []
        elif opened and line.startswith("```"):
            if not _NOT_EXECUTED.fullmatch(before):
                blocks.append(Block(section, language, "\n".join(code), opened + 1))
            opened, before = 0, ""
        elif opened:
            code.append(line)
        elif line.strip():
            before = line.strip()
            section = line.lstrip("# ") if line.startswith("#") else section
    assert not opened, f"the block that begins in line {opened} does not end"
    return blocks


def readme_blocks(language: str) -> list[Block]:
    """The blocks of our README in one language."""
    return [block for block in collect_blocks(README.read_text(encoding="utf-8")) if block.language == language]


def run_python(blocks: list[Block], namespace: dict) -> None:
    """Run blocks one after the other in one namespace, as a reader would paste them."""
    for block in blocks:
        # Empty lines before the code, so that a traceback names the line of the README.
        exec(compile("\n" * (block.line - 1) + block.code, str(README), "exec"), namespace)
