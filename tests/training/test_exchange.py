"""What the loss says of references that were exchanged."""

import math

import pytest
import torch

from iap_pipelines.training.exchange import exchange_loss


PURE_NOISE = torch.ones(2)
MARGIN = 0.1
BOTH = torch.tensor([True, True])


def test_loss_is_the_margin_where_exchanged_references_predict_as_well():
    error = torch.tensor([0.5, 0.5])
    assert exchange_loss(error, error, PURE_NOISE, MARGIN, BOTH) == pytest.approx(MARGIN)
    assert exchange_loss(error, error, 0.5 * PURE_NOISE, MARGIN, BOTH) == pytest.approx(MARGIN / 4)
    assert exchange_loss(error, error - 1, PURE_NOISE, MARGIN, BOTH) == pytest.approx(1 + MARGIN)


def test_nothing_is_asked_for_beyond_the_margin():
    """Otherwise predicting badly on purpose would pay; see the module."""
    true = torch.tensor([0.5, 0.5], requires_grad=True)
    exchanged = torch.tensor([0.61, 0.7], requires_grad=True)
    loss = exchange_loss(true, exchanged, PURE_NOISE, MARGIN, BOTH)
    loss.backward()
    assert loss == 0
    assert not exchanged.grad.any()


def test_without_an_end_more_is_always_asked_for():
    error = torch.tensor([0.5, 0.5])
    loss = [
        exchange_loss(error, error + worse, PURE_NOISE, MARGIN, BOTH, ends=False) for worse in (0.0, 0.1, 0.2, 0.4)
    ]
    assert loss[0] == pytest.approx(MARGIN * math.log(2))
    assert loss[0] > loss[1] > loss[2] > loss[3] > 0


def test_samples_without_exchanged_references_do_not_count():
    true, exchanged = torch.tensor([0.5, 0.5, 0.9, 0.9]), torch.tensor([0.5, 0.5, 0.1, 0.1])
    loss = exchange_loss(true, exchanged, torch.ones(4), MARGIN, torch.tensor([True, False]))
    assert loss == pytest.approx(MARGIN / 2)
    assert exchange_loss(true, exchanged, torch.ones(4), MARGIN, torch.tensor([False, False])) == 0


def test_parts_of_a_batch_add_up_to_it():
    generator = torch.Generator().manual_seed(0)
    true, exchanged, sigma = torch.rand(3, 8, generator=generator)
    has_exchanged = torch.tensor([True, False, True, True])
    parts = [
        exchange_loss(true[part], exchanged[part], sigma[part], MARGIN, has_exchanged[h])
        for part, h in ((slice(0, 4), slice(0, 2)), (slice(4, 8), slice(2, 4)))
    ]
    assert sum(parts) / 2 == pytest.approx(exchange_loss(true, exchanged, sigma, MARGIN, has_exchanged))
