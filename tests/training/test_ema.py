import pytest
import torch
from torch import nn

from iap_pipelines.training.ema import WeightAverage
from iap_pipelines.training.schedules import ema_decay_at, learning_rate_factor


@pytest.fixture
def model():
    return nn.Linear(3, 2)


def test_the_average_of_constant_weights_is_constant(model):
    average = WeightAverage(model.named_parameters())
    for _ in range(5):
        average.update(0.9)
    for name, parameter in model.named_parameters():
        assert torch.equal(average.averages[name], parameter)


def test_it_follows_the_weights(model):
    average = WeightAverage(model.named_parameters())
    start = model.weight.detach().clone()
    model.weight.data += 1
    average.update(0.75)
    torch.testing.assert_close(average.averages["weight"], start + 0.25)


def test_weights_come_back_to_the_bit(model):
    average = WeightAverage(model.named_parameters())
    model.weight.data.normal_()
    before = model.weight.detach().clone()
    with average.applied():
        assert torch.equal(model.weight, average.averages["weight"])
    assert torch.equal(model.weight, before)


def test_averages_of_other_parameters_are_refused(model):
    with pytest.raises(ValueError, match="same parameters"):
        WeightAverage(model.named_parameters()).load({"weight": model.weight})


def test_memory_grows_to_the_decay():
    decays = [ema_decay_at(step, 0.999) for step in range(20_000)]
    assert decays == sorted(decays)
    assert decays[0] == 0.1
    assert decays[-1] == 0.999


def test_a_cosine_rises_and_falls():
    factors = [learning_rate_factor(step, 100, 10, "cosine", 0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert factors[9:] == sorted(factors[9:], reverse=True)
    assert factors[-1] == pytest.approx(0.1, abs=1e-3)
