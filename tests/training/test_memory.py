import torch
from torch import nn

from iap_pipelines.training.memory import MemoryNeed, peak_memory


def test_the_need_counts_what_learns_apart_from_what_is_frozen():
    learning, frozen = nn.Parameter(torch.zeros(10)), nn.Parameter(torch.zeros(7, dtype=torch.bfloat16), False)
    need = MemoryNeed.of([learning, frozen])
    assert (need.weights, need.gradients, need.moments, need.averages) == (54, 40, 80, 40)
    assert need.total == 214


def test_an_adapter_needs_little_besides_the_weights():
    base = [nn.Parameter(torch.zeros(1000, 1000), False)]
    adapter = [nn.Parameter(torch.zeros(8, 1000))]
    assert MemoryNeed.of(base + adapter).total < 1.05 * MemoryNeed.of(base).total


def test_the_peak_is_at_least_what_is_held():
    held = torch.ones(5_000_000)
    megabytes = float(peak_memory(torch.device("cpu")).split(" MB")[0].replace(",", ""))
    assert megabytes > held.nbytes / 1e6
