"""How the benchmarks measure: interleaved times, counted operations, Markdown tables."""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode


Result = TypeVar("Result")

GIGA = 1e9
PEAK_MATMUL_SIDE = 2048
"""Side of the square matrices whose product defines the machine's peak; larger ones were not faster."""


class FlopCount(NamedTuple):
    """Floating point operations of one call, two per multiply-add."""

    linear: int
    """projections and convolutions"""
    attention: int
    """scores and weighted sums of attention"""

    @property
    def total(self) -> int:
        return self.linear + self.attention


def add_measuring_arguments(parser: argparse.ArgumentParser, *, repeats: int) -> None:
    """Arguments that every timed benchmark shares."""
    parser.add_argument(
        "--repeats", type=int, default=repeats, help="rounds; each measures everything once (%(default)s)"
    )
    parser.add_argument("--threads", type=int, help="threads of torch; its own choice if not given")


def set_threads(threads: int | None) -> None:
    """Let torch use `threads` threads; `None` leaves it at its own choice."""
    if threads is not None:
        torch.set_num_threads(threads)


def measure_interleaved(candidates: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """
    Time the candidates in turn, `repeats` times, so that whatever else the machine does meets all of them alike.

    With one thread the clock is that thread's own processor time, which other programs do not lengthen; with more it
    is wall time.

    Args:
        candidates: what to call, by name. Call them once before where the first call is slower.
        repeats: number of rounds.

    Returns:
        Seconds of every round, by name.
    """
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    seconds = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, call in candidates.items():
            start = clock()
            call()
            seconds[name].append(clock() - start)
    return seconds


def median_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Median over the rounds of the ratio within a round."""
    return statistics.median(above / below for above, below in zip(numerator, denominator, strict=True))


def peak_matmul(side: int = PEAK_MATMUL_SIDE) -> Callable[[], torch.Tensor]:
    """A candidate that multiplies two float32 matrices: `2 * side**3` operations."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(side, side, generator=generator) for _ in range(2))
    return lambda: left @ right


def count_flops(call: Callable[[], Result]) -> tuple[Result, FlopCount]:
    """The result of `call` and what it computes; works on real and on meta tensors."""
    with FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter:
        result = call()
    attention = linear = 0
    for operator, count in counter.get_flop_counts().get("Global", {}).items():
        # On meta tensors attention is two batched products. Nothing else in these models is one.
        if "attention" in str(operator) or "bmm" in str(operator):
            attention += count
        else:
            linear += count
    return result, FlopCount(linear, attention)


def _attention_flops(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    batch_size, heads, num_queries, head_dim = query
    return 2 * batch_size * heads * num_queries * key[2] * (head_dim + value[3])


# The flop counter of torch knows the fused attention of GPUs, not the one of CPUs.
_CPU_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}


def describe_measurement(repeats: int) -> str:
    """One line that says how the numbers of a table came about."""
    threads = torch.get_num_threads()
    clock = "processor time" if threads == 1 else "wall time"
    return (
        f"torch {torch.__version__}, CPU, float32, {threads} thread{'s' if threads > 1 else ''}, {clock}, "
        f"medians of {repeats} interleaved rounds."
    )


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; columns after the first are aligned to the right."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))
