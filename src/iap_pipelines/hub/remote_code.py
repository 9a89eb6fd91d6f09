"""A pipeline repository that carries its own code, for those who have diffusers but not this package.

diffusers copies `pipeline.py`, and of the files beside it those that `pipeline.py` itself imports. So every module
that the pipeline needs becomes one file beside it, called after its place in the package, with its imports of ours
made relative; and `pipeline.py` imports all of them. Components are single files and go into their folders unchanged.
"""

import ast
import importlib.util
import json
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple


REMOTE_CODE_REVISION = "remote-code"
"""Branch of the second form: a `.py` file beside the weights would make the first form ask for trust."""

PACKAGE = "iap_pipelines"
PIPELINE = f"{PACKAGE}.pipelines.pipeline_iap"
COMPONENTS = {"transformer": f"{PACKAGE}.models.transformer_iap"}
"""Components of ours in `model_index.json`, and the single files that their classes live in."""
VALUES = ("Subject", "StructuredCaption", "AudioSamples")
"""What a caller needs besides the pipeline; without the package they are found on it: `pipe.Subject`."""

_HEADER = "# Generated from iap-pipelines ({module}) by `iap publish --remote-code`. Apache-2.0.\n"
_ABSENT = 'raise ImportError("This needs the package: pip install iap-pipelines.")'


class OwnImport(NamedTuple):
    """An import of ours in a source file; lines count from 1, `end` is the last one."""

    module: str
    start: int
    end: int
    names: tuple[str, ...]
    is_deferred: bool


def remote_code_files(files: Mapping[str, Path]) -> dict[str, Path | bytes]:
    """
    Add the code to the files of a pipeline.

    Args:
        files: of a folder that `IAPPipeline.save_pretrained` wrote, by name.

    Returns:
        The same with another `model_index.json`, `pipeline.py`, the files that it imports, one file per component of
        ours, and `requirements.txt`.

    Raises:
        ValueError: it is no pipeline of ours.
    """
    index = json.loads(files["model_index.json"].read_bytes())
    ours = {name: entry for name, entry in index.items() if isinstance(entry, list) and entry[0] == PACKAGE}
    if index["_class_name"] != "IAPPipeline" or ours.keys() - COMPONENTS.keys():
        raise ValueError(
            f"`remote_code` is for an `IAPPipeline` as it was saved, got {index['_class_name']!r}, {ours}."
        )
    index["_class_name"] = ["pipeline", "IAPPipeline"]
    for name, (_, class_name) in ours.items():
        index[name] = [COMPONENTS[name].rpartition(".")[2], class_name]
    code = {"model_index.json": json.dumps(index, indent=2) + "\n", "requirements.txt": requirements()} | code_files()
    return dict(files) | {name: text.encode() for name, text in code.items()}


def code_files() -> dict[str, str]:
    """`pipeline.py`, the files beside it, and those of the components, by name."""
    modules = _needed_modules()
    texts = {_file_name(module): _rewrite(module, modules) for module in modules}
    # diffusers looks for files to copy in `pipeline.py` alone, and only in imports of this form.
    every = "".join(f"from .{_location(module)} import __name__ as _\n" for module in modules if module != PIPELINE)
    imports = f"from .{_location(f'{PACKAGE}.types')} import {', '.join(VALUES)}\n"
    values = "".join(f"IAPPipeline.{name} = {name}\n" for name in VALUES)
    texts["pipeline.py"] += f"\n\n{every}{imports}\n{values}"
    return texts


def requirements() -> str:
    """What the code needs: the dependencies of this package without its extras, one a line."""
    lines = metadata.requires("iap-pipelines") or []
    return "".join(f"{line}\n" for line in lines if "extra ==" not in line)


def _needed_modules() -> list[str]:
    """The pipeline's module and what it imports, directly or not, without what is imported inside functions."""
    found, waiting = [], [PIPELINE]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.append(module)
        waiting += [entry.module for entry in _own_imports(_source(module)) if not entry.is_deferred]
    return found


def _source(module: str) -> str:
    return Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8")


def _location(module: str) -> str:
    """
    Where a module goes, dotted: `iap_pipelines.media.audio` to `iap_media_audio`, a component into its folder.

    All files lie beside each other in diffusers' cache, together with those of other repositories.
    """
    for component, source in COMPONENTS.items():
        if module == source:
            return f"{component}.{module.rpartition('.')[2]}"
    return "pipeline" if module == PIPELINE else f"iap_{module.removeprefix(f'{PACKAGE}.').replace('.', '_')}"


def _file_name(module: str) -> str:
    return f"{_location(module).replace('.', '/')}.py"


def _rewrite(module: str, modules: list[str]) -> str:
    """The source of a module, with its imports of ours made relative."""
    source = _source(module)
    lines = source.splitlines(keepends=True)
    for entry in reversed(list(_own_imports(source))):
        indent = lines[entry.start - 1][: -len(lines[entry.start - 1].lstrip())]
        if entry.module in modules:
            # diffusers follows `from .name` of every file that it fetches, for ever where two files import each
            # other. It does not see `from . name`, which is the same to Python.
            dot = "." if module == PIPELINE else ". "
            text = f"from {dot}{_location(entry.module)} import {', '.join(entry.names)}"
        else:
            text = _ABSENT
        lines[entry.start - 1 : entry.end] = [f"{indent}{text}\n"]
    return _HEADER.format(module=module) + "".join(lines)


def _own_imports(source: str) -> Iterator[OwnImport]:
    """Imports of the package, in the order of the file; all are written `from iap_pipelines.x import y`."""
    tree = ast.parse(source)
    outer = set(map(id, tree.body))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    for node in sorted(nodes, key=lambda node: node.lineno):
        if node.module.split(".")[0] == PACKAGE:
            names = tuple(
                alias.name if alias.asname is None else f"{alias.name} as {alias.asname}" for alias in node.names
            )
            yield OwnImport(node.module, node.lineno, node.end_lineno, names, id(node) not in outer)
