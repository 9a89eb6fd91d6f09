"""Fitting the linear lip-sync model, and testing it on people it was not fitted on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iap_pipelines.perception.interfaces import SyncScores
from iap_pipelines.perception.lip_sync_linear import (
    NUM_COMPONENTS,
    LinearLipSync,
    LinearWeights,
    changing_looks,
    mouth_targets,
    sound_inputs,
    standard_scores,
    step_times,
)
from iap_pipelines.perception.mouth import MouthSeries
from iap_pipelines.types import AudioSamples


RIDGE = 300.0
"""Penalty on squared weights, for inputs and targets that are standard scores."""
IN_PLACE_SECONDS = 0.12


@dataclass(frozen=True, eq=False)
class TalkingExample:
    """A mouth with its own voice.

    Args:
        person: who it is; people are kept apart.
        mouth: measured mouth, whose times are those of the sound.
        audio: the sound, from time 0.
    """

    person: str
    mouth: MouthSeries
    audio: AudioSamples


def fit_weights(examples: Sequence[TalkingExample], ridge: float = RIDGE) -> LinearWeights:
    """Principal components of the looks, then least squares with a penalty."""
    components = _principal_components(examples)
    inputs, targets = [], []
    for example in examples:
        times = step_times(example.mouth)
        heard = sound_inputs(example.audio, times)
        known = np.isfinite(heard).all(axis=1)
        inputs.append(heard[known])
        targets.append(standard_scores(mouth_targets(example.mouth, times, components))[known])
    x, y = np.concatenate(inputs).astype(np.float64), np.concatenate(targets)
    weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)
    return LinearWeights(weights.astype(np.float32), components)


def _principal_components(examples: Sequence[TalkingExample]) -> np.ndarray:
    """The directions ``[6, 192]`` in which looks change most; each example counts alike, however strong its light."""
    covariance = 0.0
    for example in examples:
        looks = changing_looks(example.mouth, step_times(example.mouth)).astype(np.float64)
        covariance = covariance + looks.T @ looks / max(float((looks**2).mean()), 1e-9)
    _, vectors = np.linalg.eigh(covariance)
    return np.ascontiguousarray(vectors[:, : -NUM_COMPONENTS - 1 : -1].T).astype(np.float32)


@dataclass(frozen=True)
class SyncTest:
    """How a model does on people it does not know.

    Args:
        area: chance that a voice fits its own mouth better in place than another person's mouth, in [0, 1].
        within_40_ms: share of examples whose offset is found within 40 ms.
        within_120_ms: within 120 ms.
        own: mean score of own pairs.
        other: mean score of mixed pairs.
    """

    area: float
    within_40_ms: float
    within_120_ms: float
    own: float
    other: float


def leave_one_person_out(examples: Sequence[TalkingExample], ridge: float = RIDGE) -> SyncTest:
    """Fit without each person in turn and test on them."""
    own, other, offsets = [], [], []
    for person in sorted({example.person for example in examples}):
        model = LinearLipSync(fit_weights([example for example in examples if example.person != person], ridge))
        parts = _scores(model, examples, person)
        own, other, offsets = own + parts[0], other + parts[1], offsets + parts[2]
    return _summary(own, other, offsets)


def _scores(
    model: LinearLipSync, examples: Sequence[TalkingExample], person: str
) -> tuple[list[float], list[float], list[float]]:
    """In-place scores of a person's mouths with their own sound and with others' sounds, and measured offsets."""
    own, other, offsets = [], [], []
    for example in (example for example in examples if example.person == person):
        for voice in examples:
            if voice is not example and voice.person == person:
                continue
            scores = model.compare_mouth(example.mouth, voice.audio)
            curve = _curve(scores)
            in_place = float(np.nanmax(curve[np.abs(scores.delays) <= IN_PLACE_SECONDS + 1e-6]))
            (own if voice is example else other).append(in_place)
            if voice is example:
                offsets.append(float(scores.delays[np.nanargmax(curve)]))
    return own, other, offsets


def _curve(scores: SyncScores) -> np.ndarray:
    known = np.isfinite(scores.scores)
    return np.where(known, scores.scores, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)


def _summary(own: list[float], other: list[float], offsets: list[float]) -> SyncTest:
    difference = np.subtract.outer(np.array(own), np.array(other))
    late = np.abs(offsets)
    return SyncTest(
        area=float((difference > 0).mean() + 0.5 * (difference == 0).mean()),
        within_40_ms=float((late <= 0.04 + 1e-6).mean()),
        within_120_ms=float((late <= 0.12 + 1e-6).mean()),
        own=float(np.mean(own)),
        other=float(np.mean(other)),
    )
