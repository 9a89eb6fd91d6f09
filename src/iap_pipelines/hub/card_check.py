"""A card is read before it is published: offline, and by rules that a reader of the card would ask for."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml


MODEL_TASKS = (
    "any-to-any",
    "audio-to-audio",
    "feature-extraction",
    "image-feature-extraction",
    "image-to-video",
    "text-to-audio",
    "text-to-speech",
    "text-to-video",
)
"""Those of the Hub's tasks (huggingface.js, packages/tasks/src/pipelines.ts) that a repository of ours can have."""
DATASET_TASKS = (*MODEL_TASKS, "automatic-speech-recognition", "audio-classification", "video-classification", "other")
RELATIONS = ("adapter", "finetune", "merge", "quantized")
"""How a model can come from its `base_model`, as the Hub shows it."""

MODEL_KEYS = ("license", "library_name", "pipeline_tag", "tags")
DATASET_KEYS = ("license", "pretty_name", "task_categories", "configs")
MODEL_SECTIONS = ("intended use", "prohibited use", "training data", "scores", "limits", "licen[cs]e")
DATASET_SECTIONS = ("intended use", "prohibited use", "consent", "limits", "licen[cs]e")

_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n(.*)\Z", re.DOTALL)
_PLACEHOLDER = re.compile(
    r"\[?More Information Needed\]?|\bTODO\b|\bTBD\b|\bFIXME\b|\bXXX\b|\{\{|\}\}|\{%|\?\?\?", re.I
)
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)")


def check_card(path: Path, repo_type: str = "model") -> list[str]:
    """
    List what is wrong with a README.md; links and files are looked for beside it.

    Args:
        path: the card.
        repo_type: `"model"` or `"dataset"`.

    Returns:
        One sentence per problem; empty if it can be published.
    """
    if not path.is_file():
        return ["There is no card: write one."]
    parts = _FRONT_MATTER.match(path.read_text(encoding="utf-8"))
    if parts is None:
        return ["It does not begin with metadata between two lines of `---`."]
    try:
        metadata = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        return [f"Its metadata is no YAML: {' '.join(str(error).split())}."]
    if not isinstance(metadata, dict):
        return ["Its metadata must be names with values."]
    is_model = repo_type == "model"
    return [
        *_check_metadata(metadata, is_model),
        *_check_sections(parts[2], MODEL_SECTIONS if is_model else DATASET_SECTIONS),
        *_check_placeholders(path.read_text(encoding="utf-8")),
        *_check_files(metadata, parts[2], path.parent),
    ]


def _check_metadata(metadata: dict[str, Any], is_model: bool) -> Iterator[str]:
    for key in MODEL_KEYS if is_model else DATASET_KEYS:
        if not metadata.get(key):
            yield f"Its metadata lacks `{key}`."
    if metadata.get("license") == "other" and not (metadata.get("license_name") and metadata.get("license_link")):
        yield "`license: other` needs `license_name` and `license_link`."
    if is_model:
        yield from _check_model_metadata(metadata)
        return
    unknown = sorted(set(metadata.get("task_categories") or ()) - set(DATASET_TASKS))
    if unknown:
        yield f"`task_categories` {unknown} are not among {', '.join(DATASET_TASKS)}."


def _check_model_metadata(metadata: dict[str, Any]) -> Iterator[str]:
    if metadata.get("library_name", "diffusers") != "diffusers":
        yield f"`library_name` must be diffusers, which loads it, but is {metadata['library_name']!r}."
    if metadata.get("pipeline_tag", MODEL_TASKS[0]) not in MODEL_TASKS:
        yield f"`pipeline_tag` {metadata['pipeline_tag']!r} is not among {', '.join(MODEL_TASKS)}."
    relation = metadata.get("base_model_relation")
    if relation is not None and relation not in RELATIONS:
        yield f"`base_model_relation` {relation!r} is not among {', '.join(RELATIONS)}."
    if (relation is None) != (metadata.get("base_model") is None):
        yield "`base_model` and `base_model_relation` belong together."


def _check_sections(body: str, sections: tuple[str, ...]) -> Iterator[str]:
    headings = [line.lstrip("#").strip() for line in _CODE.sub("", body).splitlines() if line.startswith("#")]
    for section in sections:
        if not any(re.search(section, heading, re.IGNORECASE) for heading in headings):
            yield f"It has no section about {section.replace('[cs]', 'c')}."


def _check_placeholders(text: str) -> Iterator[str]:
    for found in sorted({match.group() for match in _PLACEHOLDER.finditer(text)}):
        yield f"It still contains the placeholder {found!r}."


def _check_files(metadata: dict[str, Any], body: str, folder: Path) -> Iterator[str]:
    named = [target for target in _LINK.findall(_CODE.sub("", body)) if "://" not in target]
    named += [entry["output"]["url"] for entry in metadata.get("widget") or () if "output" in entry]
    if str(metadata.get("license_link", "")).startswith("LICENSE"):
        named.append(metadata["license_link"])
    for name in named:
        if "://" not in name and not (folder / name).exists():
            yield f"It names {name}, which is not beside it."
    for pattern in _data_files(metadata):
        if next(folder.glob(pattern), None) is None:
            yield f"Its `configs` name {pattern}, which matches no file."


def _data_files(metadata: dict[str, Any]) -> Iterator[str]:
    for config in metadata.get("configs") or ():
        files = config.get("data_files") or ()
        for entry in [files] if isinstance(files, str) else files:
            paths = entry["path"] if isinstance(entry, dict) else entry
            yield from [paths] if isinstance(paths, str) else paths
