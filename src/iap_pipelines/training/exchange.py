"""Whose reference is whose: the prediction with everybody's references exchanged must be worse than the true one.

The flow-matching loss teaches it too, but weakly: another voice changes the error by a thirtieth, so a model reads the
words long before it reads who says them. B is the number of samples, R of draws per sample.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from iap_pipelines.models.transformer_iap import IAPIdentityInputs


MARGIN = 0.1
"""
Difference of squared errors beyond which a sample counts as understood. Well above what another voice makes (about
0.03): with a small margin the loss bends so early that ignoring all references is better than mixing them up.
"""


def exchange_references(identity: IAPIdentityInputs) -> IAPIdentityInputs:
    """
    Give every subject of a sample the references of the one before, the first those of the last.

    Args:
        identity: references of B samples; who is alone keeps the own ones.
    """
    count = num_subjects(identity)[:, None].clamp(min=1)
    return identity._replace(
        **{
            name: (subjects + 1) % count
            for name in ("face_subjects", "voice_subjects")
            if (subjects := getattr(identity, name)) is not None
        }
    )


def num_subjects(identity: IAPIdentityInputs) -> Tensor:
    """The largest slot with a reference, counted from 1, per sample `[B]`; 0 for none."""
    kinds = [(identity.face_subjects, identity.face_mask), (identity.voice_subjects, identity.voice_mask)]
    numbers = []
    for subjects, mask in kinds:
        if subjects is not None:
            given = subjects + 1
            numbers.append((given if mask is None else given * _any_element(mask, subjects)).amax(dim=1))
    return torch.stack(numbers).amax(dim=0)


def _any_element(mask: Tensor, subjects: Tensor) -> Tensor:
    """Whether anything of each reference is seen, shaped as `subjects`: voices have a mask per latent, faces one."""
    return mask.reshape(*subjects.shape, -1).any(dim=2)


def exchange_loss(true: Tensor, exchanged: Tensor, has_others: Tensor) -> Tensor:
    """
    Softplus of how much better the exchanged references predict, in units of [`MARGIN`].

    Args:
        true: squared errors with the true references `[B * R]`.
        exchanged: those with exchanged references `[B * R]`.
        has_others: bool `[B]`, whether there was anybody to exchange with.

    Returns:
        The mean over all samples (scalar), with 0 for those without others: parts of a batch add up to it. Falls from
        `MARGIN * log(2)` at chance to 0.
    """
    loss = MARGIN * F.softplus((true - exchanged) / MARGIN)
    return (loss * has_others.repeat_interleave(len(true) // len(has_others))).mean()
