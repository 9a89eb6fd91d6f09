"""Exchanged references: who gets whose, and what the loss says of it."""

import math

import pytest
import torch

from iap_pipelines.models.transformer_iap import IAPIdentityInputs
from iap_pipelines.training.exchange import MARGIN, exchange_loss, exchange_references, num_subjects


def references(*, seen: list[list[bool]]) -> IAPIdentityInputs:
    """Two voices per sample, of slots 0 and 1, and a face of slot 2 in the second sample only."""
    return IAPIdentityInputs(
        face_latents=torch.zeros(2, 1, 4, 2, 2),
        face_subjects=torch.tensor([[0], [2]]),
        face_mask=torch.tensor([[False], [True]]),
        voice_latents=torch.zeros(2, 2, 3, 6),
        voice_subjects=torch.tensor([[0, 1], [0, 1]]),
        voice_mask=torch.tensor(seen)[..., None].expand(2, 2, 3),
    )


def test_everybody_gets_the_references_of_somebody_else():
    identity = references(seen=[[True, True], [True, True]])
    assert num_subjects(identity).tolist() == [2, 3]
    exchanged = exchange_references(identity)
    assert exchanged.voice_subjects.tolist() == [[1, 0], [1, 2]]
    assert exchanged.face_subjects[1].tolist() == [0]
    assert exchanged.voice_latents is identity.voice_latents


def test_who_is_alone_keeps_the_own_references():
    identity = references(seen=[[True, False], [True, True]])
    assert num_subjects(identity).tolist() == [1, 3]
    assert exchange_references(identity).voice_subjects[0, 0] == 0


def test_loss_is_high_where_exchanged_references_predict_as_well():
    error = torch.tensor([0.5, 0.5])
    two = torch.tensor([True, True])
    assert exchange_loss(error, error, two) == pytest.approx(MARGIN * math.log(2))
    assert exchange_loss(error, error + 1, two) < 1e-4
    assert exchange_loss(error, error - 1, two) == pytest.approx(1, rel=1e-3)


def test_samples_without_others_do_not_count():
    true, exchanged = torch.tensor([0.5, 0.5, 0.9, 0.9]), torch.tensor([0.5, 0.5, 0.1, 0.1])
    loss = exchange_loss(true, exchanged, torch.tensor([True, False]))
    assert loss == pytest.approx(MARGIN * math.log(2) / 2)
    assert exchange_loss(true, exchanged, torch.tensor([False, False])) == 0


def test_parts_of_a_batch_add_up_to_it():
    generator = torch.Generator().manual_seed(0)
    true, exchanged = torch.rand(2, 8, generator=generator)
    has_others = torch.tensor([True, False, True, True])
    parts = [
        exchange_loss(true[part], exchanged[part], has_others[h])
        for part, h in ((slice(0, 4), slice(0, 2)), (slice(4, 8), slice(2, 4)))
    ]
    assert sum(parts) / 2 == pytest.approx(exchange_loss(true, exchanged, has_others))
