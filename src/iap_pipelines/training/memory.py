"""How much memory a run takes."""

import resource
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.distributed.tensor import DTensor


@dataclass(frozen=True)
class MemoryNeed:
    """
    What one process of a run holds from its first step to its last, in bytes. Activations come on top.

    Args:
        weights: of the whole model.
        gradients: of what learns.
        moments: of the optimizer, two per value in float32 (AdamW).
        averages: of what learns, in float32.
    """

    weights: int
    gradients: int
    moments: int
    averages: int

    @classmethod
    def of(cls, parameters: Iterable[nn.Parameter]) -> "MemoryNeed":
        """The need of a model on one process, of which the parameters with `requires_grad` learn."""
        parameters = [(p.to_local() if isinstance(p, DTensor) else p, p.requires_grad) for p in parameters]
        learning = [parameter for parameter, learns in parameters if learns]
        averages = 4 * sum(parameter.numel() for parameter in learning)
        return cls(
            weights=sum(parameter.nbytes for parameter, _ in parameters),
            gradients=sum(parameter.nbytes for parameter in learning),
            moments=2 * averages,
            averages=averages,
        )

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.moments + self.averages

    def __str__(self) -> str:
        return (
            f"{_megabytes(self.total)} and activations: weights {_megabytes(self.weights)}, gradients "
            f"{_megabytes(self.gradients)}, moments {_megabytes(self.moments)}, averages {_megabytes(self.averages)}"
        )


def peak_memory(device: torch.device) -> str:
    """The most that this process has held so far, where it computes."""
    if device.type == "cuda":
        return f"{_megabytes(torch.cuda.max_memory_allocated(device))} on {device}"
    unit = 1 if sys.platform == "darwin" else 1024  # of `ru_maxrss`
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return f"{_megabytes(peak)}, libraries included"


def _megabytes(num_bytes: float) -> str:
    return f"{num_bytes / 1e6:,.1f} MB"
