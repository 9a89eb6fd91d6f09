"""The clips that a model makes for a benchmark. What is there already is not made again."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from iap_pipelines.evaluation.benchmark.schema import BenchmarkFolder, BenchmarkItem
from iap_pipelines.evaluation.references import ClipReference
from iap_pipelines.media import export_to_av
from iap_pipelines.pipelines.pipeline_iap import IAPPipeline


logger = logging.getLogger(__name__)

_LIBRARIES = ("torch", "diffusers", "transformers", "av")


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """What the clips depend on, beside the benchmark.

    Args:
        model: folder or Hub repository.
        device: where to compute.
        dtype: name of the weights' type.
        options: arguments of `IAPPipeline.__call__`, like ``{"num_inference_steps": 20}``.
    """

    model: str
    device: str = "cpu"
    dtype: str = "float32"
    options: dict[str, Any]


def generate_clips(
    folder: BenchmarkFolder,
    settings: GenerationSettings,
    output: Path,
    *,
    report: Callable[[str, int, int], None] | None = None,
) -> tuple[list[ClipReference], dict[str, Any]]:
    """Make every clip of a benchmark, each from its own seed.

    Args:
        folder: the benchmark.
        settings: model and options.
        output: the clips go to its folder `generated`.
        report: is told the step, how many clips are finished, and how many there are.

    Returns:
        What to score, in the order of the items; and what made the clips, for the result. A clip that the model
        refuses to make (too many people, a format it cannot) is scored as missing, with the model's reason.
    """
    weights = resolve_model(settings.model)
    target = output / "generated"
    target.mkdir(parents=True, exist_ok=True)
    asked_by = {
        "benchmark": folder.benchmark.name,
        "benchmark_version": folder.benchmark.version,
        "benchmark_revision": folder.revision,
    }
    made_by = {
        "model": settings.model,
        "model_revision": weights.revision,
        "dtype": settings.dtype,
        "device": torch.device(settings.device).type,
        "options": dict(settings.options),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }
    pipeline: IAPPipeline | None = None
    clips = []
    for number, item in enumerate(folder.benchmark.items):
        path, receipt = target / f"{item.id}.mp4", target / f"{item.id}.json"
        key = _key(made_by, folder, item)
        found = _read_receipt(receipt, key)
        if found is None or not (path.is_file() or found["problem"]):
            pipeline = pipeline or _load(weights.path, settings)
            found = {"key": key, "problem": _generate(pipeline, folder, item, path, settings)}
            receipt.write_text(json.dumps(found), encoding="utf-8")
        clips.append(replace(folder.reference(item, path), problem=found["problem"]))
        if report:
            report("generate", number + 1, len(folder.benchmark.items))
    return clips, asked_by | made_by


@dataclass(frozen=True)
class ResolvedModel:
    """A `from_pretrained` folder on this machine, and which weights it holds."""

    path: Path
    revision: str


def resolve_model(model: str) -> ResolvedModel:
    """Find the folder of a model.

    Args:
        model: folder or Hub repository.

    Returns:
        The folder, and its revision: the commit of a repository; for a folder the first 12 digits of the SHA-256 over
        all weights and configurations.

    Raises:
        ValueError: for a folder without a pipeline, or what is neither a folder nor a repository that can be reached.
    """
    path = Path(model)
    if path.is_dir():
        if not (path / "model_index.json").is_file():
            raise ValueError(f"`model` must be the folder of a pipeline, but {path} has no model_index.json.")
        return ResolvedModel(path, _folder_revision(path))
    from huggingface_hub import snapshot_download

    try:
        snapshot = Path(snapshot_download(model))
    except (OSError, ValueError) as error:  # no connection, no such repository, or no name of one
        raise ValueError(f"`model` must be a folder or a repository on the Hub, but got {model!r}: {error}") from error
    return ResolvedModel(snapshot, snapshot.name)


def _folder_revision(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".safetensors", ".json"):
            with open(path, "rb") as file:
                digest.update(path.relative_to(folder).as_posix().encode())
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def _load(path: Path, settings: GenerationSettings) -> IAPPipeline:
    pipeline = IAPPipeline.from_pretrained(path, dtype=getattr(torch, settings.dtype)).to(settings.device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _generate(
    pipeline: IAPPipeline, folder: BenchmarkFolder, item: BenchmarkItem, path: Path, settings: GenerationSettings
) -> str | None:
    """Write the clip; returns why the model refused it, if it did."""
    asked = {name: getattr(item, name) for name in ("height", "width", "num_frames", "frame_rate")}
    options = {name: value for name, value in asked.items() if value is not None} | settings.options
    try:
        output = pipeline(
            item.prompt, folder.subjects(item), generator=torch.Generator().manual_seed(item.seed), **options
        )
    except ValueError as error:
        logger.warning("%s was not generated: %s", item.id, error)
        return f"the model refused: {error}"
    export_to_av(
        output.frames[0],
        output.audio[0],
        path,
        frame_rate=options.get("frame_rate") or pipeline.frame_rate,
        sampling_rate=pipeline.sampling_rate,
        provenance=output.provenance[0],
    )
    return None


def _key(made_by: dict[str, Any], folder: BenchmarkFolder, item: BenchmarkItem) -> str:
    """Everything that a clip depends on: not how it is scored, nor what else the benchmark asks for."""
    given = [hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.given_files(item)]
    text = json.dumps([made_by, item.model_dump(mode="json"), given], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _read_receipt(path: Path, key: str) -> dict[str, Any] | None:
    """What an earlier run wrote about this clip, if it was made from exactly this."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    return found if found.get("key") == key else None
