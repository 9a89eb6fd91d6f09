"""Scores all clips of a run, one after the other; what is finished is not done again after an interruption."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from iap_pipelines.evaluation.models import EvaluationModels
from iap_pipelines.evaluation.observer import ClipObserver
from iap_pipelines.evaluation.reference_embeddings import ReferenceEmbeddings
from iap_pipelines.evaluation.references import ClipReference
from iap_pipelines.evaluation.report.document import Document, grouped_summaries
from iap_pipelines.evaluation.results import ClipResult, summarize
from iap_pipelines.evaluation.scoring import ClipScorer
from iap_pipelines.evaluation.set_features import Features, extract_features, summarize_sets
from iap_pipelines.evaluation.settings import EvaluationSettings
from iap_pipelines.media import MediaError, read_video


logger = logging.getLogger(__name__)

Report = Callable[[str, int, int], None]
"""Is told the step, how many clips are finished, and how many there are."""

DEFINITIONS = 4
"""Version of the definitions: a change of any number is another version, and finished clips are scored again."""


def evaluate_clips(
    clips: Sequence[ClipReference],
    output: Path,
    models: EvaluationModels,
    settings: EvaluationSettings,
    *,
    title: str,
    generated: Mapping[str, Any] | None = None,
    report: Report | None = None,
) -> Document:
    """Score clips.

    Each finished clip is a file in ``output/scores``; a later run takes it when the clip, its references, the models
    and the settings are the same, byte for byte.

    Args:
        clips: with different ids.
        output: folder of the run.
        models: who looks and listens.
        settings: thresholds and seed.
        title: of the report.
        generated: what made the clips.
        report: progress.

    Raises:
        ValueError: for no clips, or two with the same id.
    """
    if not clips or len({clip.clip_id for clip in clips}) < len(clips):
        raise ValueError("`clips` must be at least one, with different ids.")
    scores = output / "scores"
    scores.mkdir(parents=True, exist_ok=True)
    references = ReferenceEmbeddings(models)
    digests = _Digests()
    results, ours, theirs = [], [], []
    for number, clip in enumerate(clips):
        key = _key(clip, models, settings, digests)
        stem = scores / f"{number:05d}-{key[:12]}"
        result, features = _read(stem, key) or _write(stem, key, *_score(clip, models, settings, references))
        results.append(result)
        ours += [{role.removeprefix("generated."): x for role, x in features.items() if role.startswith("generated.")}]
        theirs += [{role.removeprefix("target."): x for role, x in features.items() if role.startswith("target.")}]
        if report:
            report("score", number + 1, len(clips))
    return Document(
        title=title,
        summaries=[*summarize(results, seed=settings.seed), *summarize_sets(ours, theirs, models, seed=settings.seed)],
        groups=grouped_summaries(results, seed=settings.seed),
        results=results,
        models=models.revisions(),
        missing=models.missing,
        settings=settings.model_dump(mode="json") | {"definitions": DEFINITIONS},
        generated=generated,
    )


def _score(
    clip: ClipReference, models: EvaluationModels, settings: EvaluationSettings, references: ReferenceEmbeddings
) -> tuple[ClipResult, dict[str, np.ndarray]]:
    if clip.problem:
        return ClipResult(clip.clip_id, clip.video.name, labels=clip.labels, error=clip.problem), {}
    try:
        video, audio = read_video(clip.video)
    except MediaError as error:
        return ClipResult(clip.clip_id, clip.video.name, labels=clip.labels, error=error.reason), {}
    scorer = ClipScorer(clip, ClipObserver(video, audio, models), references, settings.thresholds)
    result = ClipResult(clip.clip_id, clip.video.name, scorer.scores(), clip.labels, scorer.details())
    return result, _features(clip, video, audio, models)


def _features(clip: ClipReference, video: Any, audio: Any, models: EvaluationModels) -> dict[str, np.ndarray]:
    if clip.target is None:
        return {}
    try:
        pairs = {"generated": (video, audio), "target": read_video(clip.target)}
    except MediaError as error:
        logger.warning("%s does not count for FID, FVD and FAD: %s", clip.clip_id, error)
        return {}
    return {
        f"{side}.{role}": features
        for side, media in pairs.items()
        for role, features in extract_features(*media, models).items()
    }


class _Digests:
    """SHA-256 of files, each read once."""

    def __init__(self) -> None:
        self._found: dict[Path, str | None] = {}

    def of(self, path: Path) -> str | None:
        if path not in self._found:
            try:
                with open(path, "rb") as file:
                    self._found[path] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError:
                self._found[path] = None
        return self._found[path]


def _key(clip: ClipReference, models: EvaluationModels, settings: EvaluationSettings, digests: _Digests) -> str:
    """Everything that the scores of a clip depend on."""
    values = asdict(clip)
    paths = [clip.video, *([clip.target] if clip.target else [])]
    for subject in clip.subjects:
        paths += [*subject.faces, *subject.other_faces, *subject.voices]
    parts = [
        DEFINITIONS,
        json.dumps(values, sort_keys=True, default=lambda path: path.name),
        [digests.of(path) for path in paths],
        models.revisions(),
        dict(models.missing),
        settings.model_dump(mode="json", exclude={"seed"}),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _read(stem: Path, key: str) -> tuple[ClipResult, Features] | None:
    """What an earlier run found for exactly this clip."""
    try:
        values = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
        features = load_file(stem.with_suffix(".safetensors")) if values["has_features"] else {}
    except (OSError, json.JSONDecodeError):
        return None
    return (ClipResult.from_dict(values["result"]), features) if values["key"] == key else None


def _write(stem: Path, key: str, result: ClipResult, features: Features) -> tuple[ClipResult, Features]:
    if features:
        save_file(dict(features), stem.with_suffix(".safetensors"))
    values = {"key": key, "has_features": bool(features), "result": result.to_dict()}
    temporary = stem.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    temporary.replace(stem.with_suffix(".json"))
    return result, features
