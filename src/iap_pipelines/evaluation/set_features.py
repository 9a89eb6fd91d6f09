"""Features of clips for FID, FVD and FAD, and the distances themselves."""

from collections.abc import Mapping, Sequence

import numpy as np

from iap_pipelines.evaluation.functional.distributions import MIN_SAMPLES, bootstrap_frechet
from iap_pipelines.evaluation.models import EvaluationModels
from iap_pipelines.evaluation.results import MetricSummary
from iap_pipelines.types import AudioSamples, VideoFrames


ROLES = {"fid": "picture_features", "fvd": "video_features", "fad": "sound_features"}
"""Metric to the role whose features it compares."""

Features = Mapping[str, np.ndarray]
"""Role to features ``[N, D]`` of one clip."""


def extract_features(
    video: VideoFrames, audio: AudioSamples | None, models: EvaluationModels
) -> dict[str, np.ndarray]:
    """Features of one clip by every extractor that is there.

    Args:
        video: pictures.
        audio: sound, ``None`` without.
        models: the extractors.
    """
    found = {
        role: models.find(role).extract(video) for role in ("picture_features", "video_features") if models.find(role)
    }
    sound = models.find("sound_features")
    if sound is not None and audio is not None:
        found["sound_features"] = sound.embed_sound(audio)
    return {role: np.asarray(features, np.float32) for role, features in found.items()}


def summarize_sets(
    generated: Sequence[Features], real: Sequence[Features], models: EvaluationModels, *, seed: int
) -> list[MetricSummary]:
    """FID, FVD and FAD of all clips together.

    Args:
        generated: features of the clips that were scored.
        real: features of their `target` clips.
        models: says why an extractor is missing.
        seed: of the intervals.
    """
    return [_summarize(metric, role, generated, real, models, seed) for metric, role in ROLES.items()]


def _summarize(
    metric: str,
    role: str,
    generated: Sequence[Features],
    real: Sequence[Features],
    models: EvaluationModels,
    seed: int,
) -> MetricSummary:
    ours = [features[role] for features in generated if role in features]
    theirs = [features[role] for features in real if role in features]
    if models.find(role) is None:
        return MetricSummary(metric, None, None, None, 0, 0, f"{role}: {models.missing.get(role, 'not chosen')}")
    num_ours, num_theirs = sum(map(len, ours)), sum(map(len, theirs))
    if min(num_ours, num_theirs) < MIN_SAMPLES:
        reason = (
            f"needs {MIN_SAMPLES} samples of each side, but has {num_ours} generated and {num_theirs} real (`target`)"
        )
        return MetricSummary(metric, None, None, None, 0, 0, reason)
    distance = bootstrap_frechet(theirs, ours, seed=seed)
    return MetricSummary(metric, *(end if end is None else round(end, 6) for end in distance), len(ours), 0)
