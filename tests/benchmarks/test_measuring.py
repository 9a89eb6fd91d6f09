import pytest
import torch
from torch.nn import functional as F

from benchmarks.measuring import (
    count_flops,
    markdown_table,
    measure_interleaved,
    median_ratio,
    peak_matmul,
)


def test_candidates_take_turns():
    calls = []
    seconds = measure_interleaved({name: lambda name=name: calls.append(name) for name in "ab"}, repeats=3)
    assert calls == list("ab") * 3
    assert all(len(rounds) == 3 for rounds in seconds.values())


def test_median_ratio_compares_within_a_round():
    assert median_ratio([2.0, 20.0, 200.0], [1.0, 10.0, 50.0]) == 2.0


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_flops_by_hand(device):
    query, key = torch.ones(2, 3, 4, 8, device=device), torch.ones(2, 3, 5, 8, device=device)
    attention = count_flops(lambda: F.scaled_dot_product_attention(query, key, key))
    assert attention[1] == (0, 2 * (2 * 3 * 4 * 5) * (8 + 8))
    linear = count_flops(lambda: F.linear(query, torch.ones(7, 8, device=device)))
    assert linear[0].shape == (2, 3, 4, 7)
    assert linear[1] == (2 * (2 * 3 * 4) * 8 * 7, 0)
    assert count_flops(lambda: "nothing")[1].total == 0


def test_peak_matmul_multiplies_squares():
    assert count_flops(peak_matmul(16))[1].linear == 2 * 16**3


def test_markdown_table():
    assert markdown_table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
