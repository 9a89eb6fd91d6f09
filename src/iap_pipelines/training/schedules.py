"""Learning rate and averaging as pure functions of the step, so that resuming needs no state of them."""

import math


def learning_rate_factor(step: int, num_steps: int, warmup_steps: int, schedule: str, final_fraction: float) -> float:
    """
    Fraction of the learning rate that step `step` (from 0) uses.

    Args:
        step: optimizer steps done.
        num_steps: optimizer steps of the whole run.
        warmup_steps: steps of the linear rise.
        schedule: `constant` or `cosine`, after the rise.
        final_fraction: where the cosine ends.

    >>> [round(learning_rate_factor(step, 4, 2, "constant", 0.0), 2) for step in range(4)]
    [0.5, 1.0, 1.0, 1.0]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "constant":
        return 1.0
    progress = min(1.0, (step - warmup_steps) / max(1, num_steps - warmup_steps))
    return final_fraction + (1 - final_fraction) * 0.5 * (1 + math.cos(math.pi * progress))


def ema_decay_at(step: int, decay: float) -> float:
    """Decay of the averaged weights after step `step` (from 0): short memory first, `decay` in the long run."""
    return min(decay, (1 + step) / (10 + step))
