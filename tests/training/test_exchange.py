"""What the loss says of references that were exchanged."""

import math

import pytest
import torch

from iap_pipelines.training.exchange import MARGIN, exchange_loss


def test_loss_is_high_where_exchanged_references_predict_as_well():
    error = torch.tensor([0.5, 0.5])
    two = torch.tensor([True, True])
    assert exchange_loss(error, error, two) == pytest.approx(MARGIN * math.log(2))
    assert exchange_loss(error, error + 1, two) < 1e-4
    assert exchange_loss(error, error - 1, two) == pytest.approx(1, rel=1e-3)


def test_samples_without_exchanged_references_do_not_count():
    true, exchanged = torch.tensor([0.5, 0.5, 0.9, 0.9]), torch.tensor([0.5, 0.5, 0.1, 0.1])
    loss = exchange_loss(true, exchanged, torch.tensor([True, False]))
    assert loss == pytest.approx(MARGIN * math.log(2) / 2)
    assert exchange_loss(true, exchanged, torch.tensor([False, False])) == 0


def test_parts_of_a_batch_add_up_to_it():
    generator = torch.Generator().manual_seed(0)
    true, exchanged = torch.rand(2, 8, generator=generator)
    has_exchanged = torch.tensor([True, False, True, True])
    parts = [
        exchange_loss(true[part], exchanged[part], has_exchanged[h])
        for part, h in ((slice(0, 4), slice(0, 2)), (slice(4, 8), slice(2, 4)))
    ]
    assert sum(parts) / 2 == pytest.approx(exchange_loss(true, exchanged, has_exchanged))
