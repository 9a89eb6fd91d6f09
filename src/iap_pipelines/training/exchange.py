"""Whose reference is whose: the prediction with somebody else's references must be worse than the true one.

The flow-matching loss teaches it too, but weakly: another voice changes the error by a thirtieth, so a model reads the
words long before it reads who says them. B is the number of samples, R of draws per sample.

The margin ends what is asked for, and in the end it has to. Noisy targets show whose they are, the more the less noise
there is, and a model can notice that references do not belong to them and predict badly on purpose. That widens the
difference at no cost in training, but clips in the making never quite fit their references either. Pure noise shows
nobody, so there the difference is honest; with less noise less is asked for. First runs may go without an end: who
knows nothing yet learns sooner to follow references (training/TRIALS.md).
"""

import torch.nn.functional as F
from torch import Tensor


def exchange_loss(
    true: Tensor, exchanged: Tensor, sigma: Tensor, margin: float, has_exchanged: Tensor, *, ends: bool = True
) -> Tensor:
    """
    By how much the exchanged references fail to predict worse by `margin` times the squared noise level.

    Without an end it is a softplus of how much better they predict, in units of `margin`.

    Args:
        true: squared errors with the true references `[B * R]`.
        exchanged: those with exchanged references `[B * R]`.
        sigma: noise levels `[B * R]`.
        margin: difference that is asked for at pure noise, positive.
        has_exchanged: bool `[B]`, whether there were references to exchange.
        ends: whether the loss ends at the margin.

    Returns:
        The mean over all samples (scalar), with 0 for those without: parts of a batch add up to it.
    """
    if ends:
        loss = F.relu(true - exchanged + margin * sigma.square())
    else:
        loss = margin * F.softplus((true - exchanged) / margin)
    return (loss * has_exchanged.repeat_interleave(len(true) // len(has_exchanged))).mean()
