"""Exponential moving average of weights."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """
    Averages of named parameters, on their devices and in float32.

    Args:
        parameters: names and parameters to follow, as `named_parameters()` gives them.
    """

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
        self._parameters = dict(parameters)
        self.averages = {
            name: parameter.detach().clone().to(torch.float32) for name, parameter in self._parameters.items()
        }

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Move every average towards its parameter: `average = decay * average + (1 - decay) * parameter`."""
        for name, parameter in self._parameters.items():
            self.averages[name].lerp_(parameter.detach().to(torch.float32), 1 - decay)

    @torch.no_grad()
    def load(self, averages: Mapping[str, Tensor]) -> None:
        """Replace all averages.

        Raises:
            ValueError: if names differ.
        """
        if averages.keys() != self.averages.keys():
            differing = sorted(averages.keys() ^ self.averages.keys())
            raise ValueError(f"`averages` must be of the same parameters, but differ in {differing[:3]}.")
        for name, average in averages.items():
            self.averages[name].copy_(average)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the parameters hold their averages; afterwards they are what they were, to the bit."""
        kept = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        try:
            self._assign(self.averages)
            yield
        finally:
            self._assign(kept)

    @torch.no_grad()
    def _assign(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(values[name])
