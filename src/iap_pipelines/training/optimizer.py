"""Orthogonalised momentum for the matrices of the towers, Adam for everything else.

Tried on the towers of iap-tiny and not used: `training/README.md` has what it gained and cost.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from iap_pipelines.training.autoencoders.optimizer import orthogonalise


_MATCHING_RMS = 0.2
"""
Makes the root mean square of an orthogonal update that of Adam's (arXiv 2502.16982), so both share a learning rate.
"""


class MuonWithAdam(torch.optim.Optimizer):
    """
    Muon (https://kellerjordan.github.io/posts/muon) for groups with `orthogonal: True`, AdamW for the others.

    Args:
        parameter_groups: each with `params`, `lr`, `weight_decay` and `orthogonal`; orthogonal ones hold matrices or
            kernels, seen as `[outputs, rest]`.
        betas: decays of Adam's two moments.
        momentum: decay of the momentum of orthogonal groups.
    """

    def __init__(
        self, parameter_groups: Iterable[dict[str, Any]], betas: tuple[float, float], momentum: float = 0.95
    ) -> None:
        super().__init__(parameter_groups, {"betas": betas, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            update = self._orthogonal_update if group["orthogonal"] else self._adam_update
            for parameter in group["params"]:
                if parameter.grad is not None:
                    change = update(parameter, group)
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(change, alpha=-group["lr"])
        return loss

    def _orthogonal_update(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
        direction = parameter.grad.lerp(state["momentum"], group["momentum"]).flatten(1)
        return _MATCHING_RMS * math.sqrt(max(direction.shape)) * orthogonalise(direction).view_as(parameter)

    def _adam_update(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        decay, square_decay = group["betas"]
        state["mean"].lerp_(parameter.grad, 1 - decay)
        state["square"].lerp_(parameter.grad.square(), 1 - square_decay)
        steps = float(state["step"])
        mean = state["mean"] / (1 - decay**steps)
        return mean / ((state["square"] / (1 - square_decay**steps)).sqrt() + 1e-8)
