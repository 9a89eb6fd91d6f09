"""Data walks down the rooms and does not turn back: a room imports only rooms above it."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import diffusers.pipelines
import pytest


PACKAGE = "iap_pipelines"
SOURCE = Path(__file__).resolve().parent.parent / "src" / PACKAGE

ROOMS = (
    "version",
    "identity_card",
    "types",
    "shapes",
    "provenance",
    "media",
    "models",
    "pipelines",
    "conversion",
    "synthetic",
    "perception",
    "curation",
    "data",
    "training",
    "evaluation",
    "hub",
    "assets",
    "registration",
    "app",
    "cli",
    "__init__",
    "__main__",
)
"""From the top to the bottom."""

BASE = {
    "accelerate",
    "diffusers",
    "huggingface_hub",
    "jinja2",
    "numpy",
    "peft",
    "PIL",
    "pydantic",
    "safetensors",
    "sentencepiece",
    "tokenizers",
    "torch",
    "torchaudio",
    "tqdm",
    "transformers",
    "yaml",
}
"""What every room may import: the dependencies of generation."""

OWNERS = {
    "av": {"media"},
    "c2pa": {"provenance"},
    "cryptography": {"provenance"},
    "cv2": {"perception", "curation"},
    "datasets": {"data", "evaluation", "hub"},
    "evaluate": {"evaluation"},
    "gradio": {"app"},
    "jiwer": {"evaluation"},
    "onnxruntime": {"synthetic", "perception"},
    "pyarrow": {"curation", "data"},
    "ray": {"curation"},
    "scipy": {"perception", "evaluation", "curation"},
    "skia": {"synthetic"},
    "torchmetrics": {"evaluation"},
}
"""Optional or heavy parts, and the rooms that may import them at the top of a file; others inside a function."""

ONLY_IN_OWNERS = {"av", "c2pa", "cryptography"}
"""Parts that nobody else imports, not even inside a function."""


METHODS_OF_VALUES = {("types", "iap_pipelines.hub.identity")}
"""Where a value offers as its method what a room below does, as in `Subject.from_pretrained`. Only deferred."""


class Import(NamedTuple):
    file: str
    room: str
    module: str
    line: int
    is_deferred: bool

    def __str__(self):
        return f"{self.file}:{self.line} imports {self.module}"


def room_of(module: str) -> str:
    """``iap_pipelines.media.video`` belongs to ``media``, the package itself to ``__init__``."""
    return module.split(".")[1] if "." in module else "__init__"


def imports_of(file: Path, source: Path = SOURCE) -> list[Import]:
    relative = file.relative_to(source)
    room = relative.parts[0].removesuffix(".py")
    package = [PACKAGE, *relative.parent.parts]
    return [
        Import(str(relative), room, module, node.lineno, is_deferred)
        for node, is_deferred in _import_nodes(ast.parse(file.read_text(encoding="utf-8")), False)
        for module in _modules(node, package)
    ]


def _import_nodes(node: ast.AST, is_deferred: bool):
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node, is_deferred
    # What is imported for annotations alone is never loaded, but it couples rooms all the same.
    inside = is_deferred or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _import_nodes(child, inside)


def _modules(node: ast.Import | ast.ImportFrom, package: list[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = [*package[: len(package) - node.level + 1]] if node.level else []
    module = ".".join([*base, *([node.module] if node.module else [])])
    if module == PACKAGE:  # `from iap_pipelines import media` imports the room when there is one
        return [f"{PACKAGE}.{alias.name}" if alias.name in ROOMS else PACKAGE for alias in node.names]
    return [module]


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == PACKAGE


FILES = sorted(SOURCE.rglob("*.py"))
IMPORTS = [found for file in FILES for found in imports_of(file)]
OURS = [found for found in IMPORTS if _is_ours(found.module)]
FOREIGN = [
    found
    for found in IMPORTS
    if not _is_ours(found.module) and found.module.split(".")[0] not in sys.stdlib_module_names
]


def test_every_file_is_in_a_known_room():
    assert {file.relative_to(SOURCE).parts[0].removesuffix(".py") for file in FILES} <= set(ROOMS)


def test_rooms_import_only_rooms_above_them():
    # Doors import the package itself, deferred, as a user does.
    wrong = [
        found
        for found in OURS
        if ROOMS.index(room_of(found.module)) > ROOMS.index(found.room)
        and not (found.room == "cli" and found.is_deferred and found.module == PACKAGE)
        and not (found.is_deferred and (found.room, found.module) in METHODS_OF_VALUES)
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_models_are_single_files():
    # The configuration of a transformers model has a file of its own, which travels beside the model's.
    wrong = [
        found
        for found in OURS
        if found.room == "models" and not found.module.startswith(f"{PACKAGE}.models.configuration_")
    ]
    assert not wrong, "exported verbatim, they may import nothing of ours:\n" + "\n".join(map(str, wrong))


def test_optional_parts_are_imported_by_their_owners_or_where_they_are_used():
    wrong = [
        found
        for found in FOREIGN
        if (name := found.module.split(".")[0]) not in BASE
        and found.room not in OWNERS.get(name, ())
        and (not found.is_deferred or name in ONLY_IN_OWNERS)
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_no_folder_is_called_like_one_of_diffusers_pipelines():
    theirs = {path.name for path in Path(diffusers.pipelines.__path__[0]).iterdir() if path.is_dir()} - {"__pycache__"}
    ours = {part for file in FILES for part in file.relative_to(SOURCE).parts[:-1]}
    assert not ours & theirs, f"diffusers would load its own {sorted(ours & theirs)} for ours"


@pytest.mark.parametrize(
    "module",
    ["skia", "onnxruntime", "cv2", "dlib", "evaluate", "jiwer", "torchmetrics", "ray", "gradio", "c2pa"],
)
def test_importing_the_package_loads_nothing_optional(module):
    assert module not in _modules_after_import()


def test_importing_the_values_does_not_load_torchaudio():
    # One line of the values needs it, and it is the slowest import of all.
    files = [found for found in FOREIGN if found.module.split(".")[0] == "torchaudio" and not found.is_deferred]
    assert not files, "\n".join(map(str, files))


def _modules_after_import(cache: list[set[str]] = []) -> set[str]:  # noqa: B006  (one process for all)
    if not cache:
        command = [sys.executable, "-c", f"import sys, {PACKAGE}; print('\\n'.join(sys.modules))"]
        cache.append(set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()))
    return cache[0]


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ("from . import errors", "iap_pipelines.media"),
        ("from .errors import MediaError", "iap_pipelines.media.errors"),
        ("from ..types import Subject", "iap_pipelines.types"),
        ("from iap_pipelines import media", "iap_pipelines.media"),
        ("from iap_pipelines import Subject", "iap_pipelines"),
        ("import iap_pipelines.media", "iap_pipelines.media"),
    ],
)
def test_this_test_understands_imports(tmp_path, line, module):
    (tmp_path / "media").mkdir()
    file = tmp_path / "media" / "a.py"
    file.write_text(f"{line}\ndef f():\n    import av\n")
    ours, av = imports_of(file, tmp_path)
    assert (ours.room, ours.module, ours.is_deferred) == ("media", module, False)
    assert (av.module, av.is_deferred) == ("av", True)
