"""Mouths and sync scores that a test makes up: what a face says is known to the step."""

import numpy as np

from iap_pipelines.curation.matching import TalkingTrack
from iap_pipelines.perception.interfaces import SyncScores
from iap_pipelines.perception.mouth import STEP_SECONDS, MouthSeries


DELAYS = np.arange(-15, 16) * STEP_SECONDS
SECONDS = 10.0


def times():
    return np.arange(0, SECONDS, STEP_SECONDS)


def talking(*spans, delay=0.0, strength=0.5, moves=None, seed=0, noise=0.5):
    """A face whose lips follow the sound during ``spans`` at ``delay``, and move then, or during ``moves``."""
    generator = np.random.default_rng(seed)
    steps = times()
    scores = generator.normal(0, noise, (len(DELAYS), len(steps)))
    inside = _inside(steps, spans)
    peak = np.exp(-0.5 * ((DELAYS - delay) / 0.06) ** 2)
    scores[:, inside] += strength * peak[:, None]
    motion = np.where(_inside(steps, spans if moves is None else moves), 6.0, 0.6) * generator.uniform(
        0.7, 1.3, len(steps)
    )
    mouth = MouthSeries(steps, np.full(len(steps), 0.05, np.float32), motion.astype(np.float32))
    return TalkingTrack(mouth, SyncScores(steps, DELAYS, scores.astype(np.float32)))


def _inside(steps, spans):
    inside = np.zeros(len(steps), bool)
    for start, end in spans:
        inside |= (steps >= start) & (steps < end)
    return inside
