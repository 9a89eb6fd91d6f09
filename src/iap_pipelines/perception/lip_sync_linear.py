"""Lips and speech by a linear model: from nine steps of MFCCs to how a mouth moves and looks (3 258 numbers).

It predicts nine measurements of the mouth from sound; where prediction and mouth go up and down together, they belong
together. How it was fitted, on what, and what it reaches: `README.md`. It is a rough judge: SyncNet is a better one.
"""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Self

import numpy as np
from safetensors.numpy import load as load_safetensors
from scipy.ndimage import uniform_filter1d

from iap_pipelines.perception.interfaces import FaceClip, SyncScores
from iap_pipelines.perception.mfcc import NUM_COEFFICIENTS, mfcc
from iap_pipelines.perception.mfcc import RATE as MFCC_RATE
from iap_pipelines.perception.mouth import RATE, STEP_SECONDS, MouthSeries, measure_mouth
from iap_pipelines.perception.packages import SAMPLING_RATE
from iap_pipelines.types import AudioSamples


WEIGHTS = "lip_sync_linear.safetensors"
CONTEXT = 4
"""Steps before and after that a prediction hears."""
NUM_INPUTS = 2 * NUM_COEFFICIENTS * (2 * CONTEXT + 1)
NUM_COMPONENTS = 6
"""Principal components of a mouth's look."""
NUM_TARGETS = 3 + NUM_COMPONENTS
MAX_DELAY_STEPS = 15
"""600 ms to either side, as SyncNet looks."""
_HIGH_PASS_STEPS = RATE
_MFCC_CENTER_SECONDS = 0.0125
_QUIET = 1e-4


@dataclass(frozen=True, eq=False)
class LinearWeights:
    """What is fitted.

    Args:
        weights: float32 ``[234, 9]``, from what is heard to the mouth.
        components: float32 ``[6, 192]``, the ways in which mouths' looks change most.
    """

    weights: np.ndarray
    components: np.ndarray

    @classmethod
    def embedded(cls) -> Self:
        return cls(**load_safetensors((files("iap_pipelines.perception") / WEIGHTS).read_bytes()))


class LinearLipSync:
    """Scores are products of standard scores of predicted and measured mouth: their mean is a correlation."""

    name = "linear"

    def __init__(self, fitted: LinearWeights | None = None) -> None:
        """Take what was fitted; ``None``: what the package brings."""
        self._fitted = fitted or LinearWeights.embedded()
        fitted = (self._fitted.weights, self._fitted.components)
        content = b"".join(np.ascontiguousarray(values).tobytes() for values in fitted)
        self.revision = hashlib.sha256(content).hexdigest()[:12]

    def compare(self, face: FaceClip, audio: AudioSamples, audio_start: float = 0.0) -> SyncScores:
        """Compare a mouth with a sound; sound beyond both ends of the face by 0.6 s allows all delays."""
        return self.compare_mouth(measure_mouth(face), audio, audio_start)

    def compare_mouth(self, mouth: MouthSeries, audio: AudioSamples, audio_start: float = 0.0) -> SyncScores:
        """As `compare`, for a mouth that was measured before."""
        times = step_times(mouth)
        delays = np.arange(-MAX_DELAY_STEPS, MAX_DELAY_STEPS + 1) * STEP_SECONDS
        measured = standard_scores(mouth_targets(mouth, times, self._fitted.components))
        heard = np.arange(len(times) + 2 * MAX_DELAY_STEPS) * STEP_SECONDS + times[0] + delays[0]
        inputs = sound_inputs(audio, heard - audio_start)
        known = np.isfinite(inputs).all(axis=1)
        predicted = np.full((len(heard), NUM_TARGETS), np.nan, np.float32)
        if known.any():
            predicted[known] = standard_scores(inputs[known] @ self._fitted.weights)
        shifted = np.lib.stride_tricks.sliding_window_view(predicted, len(times), axis=0)  # [L, targets, T]
        return SyncScores(times, delays, (shifted * measured.T[None]).mean(axis=1).astype(np.float32))


def step_times(mouth: MouthSeries) -> np.ndarray:
    """Steps of 40 ms from the first picture of a mouth to the last."""
    count = int((mouth.times[-1] - mouth.times[0]) / STEP_SECONDS + 1e-6) + 1
    return mouth.times[0] + STEP_SECONDS * np.arange(count)


def mouth_targets(mouth: MouthSeries, times: np.ndarray, components: np.ndarray) -> np.ndarray:
    """What is predicted, float32 ``[T, 9]``: opening, motion, speed of opening and closing, components of the look.

    Opening and look are taken without their slow part, which the head and the light make.
    """
    opening = np.interp(times, mouth.times, mouth.opening)
    motion = np.interp(times, mouth.times, np.sqrt(mouth.motion))
    speed = np.sqrt(np.abs(np.gradient(opening))) if len(opening) > 1 else np.zeros_like(opening)
    looks = changing_looks(mouth, times) @ components.T
    return np.column_stack([high_pass(opening), motion, speed, looks]).astype(np.float32)


def changing_looks(mouth: MouthSeries, times: np.ndarray) -> np.ndarray:
    """The look of a mouth without its slow part, float32 ``[T, 192]``.

    Raises:
        ValueError: for a mouth without ``looks``.
    """
    if mouth.looks is None:
        raise ValueError("`mouth` has no `looks`, but it is compared with sound: measure it with `measure_mouth`.")
    later = np.searchsorted(mouth.times, times).clip(1, len(mouth.times) - 1)
    before, after = mouth.times[later - 1], mouth.times[later]
    share = ((times - before) / (after - before)).clip(0, 1)[:, None]
    looks = (1 - share) * mouth.looks[later - 1] + share * mouth.looks[later]
    return high_pass(looks).astype(np.float32)


def high_pass(values: np.ndarray) -> np.ndarray:
    """Values ``[T, ...]`` minus their mean over the second around them."""
    return values - uniform_filter1d(values, _HIGH_PASS_STEPS, axis=0, mode="nearest")


def sound_inputs(audio: AudioSamples, times: np.ndarray) -> np.ndarray:
    """What a prediction hears at each time (seconds from the first sample), float32 ``[T, 234]``; NaN outside the
    sound.

    13 MFCCs and their slopes, as standard scores over the sound, from 160 ms before to 160 ms after.
    """
    samples = audio.to_mono().resample(SAMPLING_RATE).samples[0].numpy()
    coefficients = uniform_filter1d(mfcc(samples), MFCC_RATE // RATE, axis=0, mode="nearest")
    clock = np.arange(len(coefficients)) / MFCC_RATE + _MFCC_CENTER_SECONDS
    steps = np.arange(0, clock[-1] + STEP_SECONDS / 2, STEP_SECONDS) + (times[0] % STEP_SECONDS)
    values = np.stack([np.interp(steps, clock, column) for column in coefficients.T], axis=1)
    slopes = np.gradient(values, axis=0) if len(values) > 1 else np.zeros_like(values)
    values = standard_scores(np.concatenate([values, slopes], axis=1).astype(np.float32))
    padded = np.pad(values, ((CONTEXT, CONTEXT), (0, 0)), mode="edge")
    stacked = np.lib.stride_tricks.sliding_window_view(padded, 2 * CONTEXT + 1, axis=0).reshape(len(values), -1)
    index = np.round((times - steps[0]) / STEP_SECONDS).astype(int)
    inside = (index >= 0) & (index < len(stacked))
    result = np.full((len(times), NUM_INPUTS), np.nan, np.float32)
    result[inside] = stacked[index[inside]]
    return result


def standard_scores(values: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and deviation 1; a column that stands still becomes 0."""
    spread = values.std(axis=0)
    return np.where(spread > _QUIET, (values - values.mean(axis=0)) / np.maximum(spread, _QUIET), 0).astype(np.float32)
