"""Whose reference is whose: the prediction with somebody else's references must be worse than the true one.

The flow-matching loss teaches it too, but weakly: another voice changes the error by a thirtieth, so a model reads the
words long before it reads who says them. B is the number of samples, R of draws per sample.
"""

import torch.nn.functional as F
from torch import Tensor


MARGIN = 0.1
"""
Difference of squared errors beyond which a sample counts as understood. Well above what another voice makes (about
0.03): with a small margin the loss bends so early that ignoring all references is better than mixing them up.
"""


def exchange_loss(true: Tensor, exchanged: Tensor, has_exchanged: Tensor) -> Tensor:
    """
    Softplus of how much better the exchanged references predict, in units of [`MARGIN`].

    Args:
        true: squared errors with the true references `[B * R]`.
        exchanged: those with exchanged references `[B * R]`.
        has_exchanged: bool `[B]`, whether there were references to exchange.

    Returns:
        The mean over all samples (scalar), with 0 for those without: parts of a batch add up to it. Falls from
        `MARGIN * log(2)` at chance to 0.
    """
    loss = MARGIN * F.softplus((true - exchanged) / MARGIN)
    return (loss * has_exchanged.repeat_interleave(len(true) // len(has_exchanged))).mean()
