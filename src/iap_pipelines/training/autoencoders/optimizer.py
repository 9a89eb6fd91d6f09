"""Orthogonalised momentum for weights, Adam for the rest.

A blurred reconstruction has large gradients along few directions (flat areas) and small ones along many (detail). Adam
scales single numbers and keeps that imbalance; making the momentum of each weight matrix orthogonal gives every
direction the same step (Muon, https://kellerjordan.github.io/posts/muon). See `training/README.md` for what it gained
here.
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # quintic that drives singular values from (0, 1] towards 1, from the source
_ITERATIONS = 5
_MATCHING_RMS = 0.2  # makes the root mean square of an update that of Adam's (https://arxiv.org/abs/2502.16982)


def orthogonalise(matrix: Tensor) -> Tensor:
    """
    Replace the singular values of a matrix by roughly 1.

    The iteration runs on the small Gram matrix alone: a convolution's weight is much wider than high.

    Args:
        matrix: ``[M, N]``.

    Returns:
        ``[M, N]`` with singular values in about [0.7, 1.2]; zeros stay zeros.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalise(matrix.T).T
    matrix = matrix / torch.linalg.vector_norm(matrix).clamp(min=1e-12)
    gram = matrix @ matrix.T
    first, third, fifth = _COEFFICIENTS
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    transform = identity
    for _ in range(_ITERATIONS):
        step = first * identity + third * gram + fifth * gram @ gram
        transform = step @ transform
        gram = step @ gram @ step  # symmetric: all of these are polynomials of the first Gram matrix
    return transform @ matrix


class Muon(torch.optim.Optimizer):
    """
    Orthogonalised Nesterov momentum for parameters of two or more dimensions, seen as ``[outputs, rest]``; Adam for
    others.

    Args:
        parameters: what to optimise.
        lr: learning rate, on Adam's scale.
        momentum: decay of the momentum of matrices.
        betas: decays of Adam's two moments.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-3,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
    ) -> None:
        super().__init__(list(parameters), {"lr": lr, "momentum": momentum, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                is_matrix = parameter.ndim >= 2 and min(parameter.shape[0], parameter[0].numel()) > 1
                update = self._matrix_update if is_matrix else self._vector_update
                parameter.add_(update(parameter, group), alpha=-group["lr"])
        return loss

    def _matrix_update(self, parameter: Tensor, group: dict) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
        direction = parameter.grad.lerp(state["momentum"], group["momentum"]).flatten(1)
        scale = _MATCHING_RMS * math.sqrt(max(direction.shape))
        return scale * orthogonalise(direction).view_as(parameter)

    def _vector_update(self, parameter: Tensor, group: dict) -> Tensor:
        state = self.state[parameter]
        if not state:
            state |= {
                "step": torch.zeros(()),
                "mean": torch.zeros_like(parameter),
                "square": torch.zeros_like(parameter),
            }
        state["step"] += 1
        decay, square_decay = group["betas"]
        state["mean"].lerp_(parameter.grad, 1 - decay)
        state["square"].lerp_(parameter.grad.square(), 1 - square_decay)
        mean = state["mean"] / (1 - decay ** float(state["step"]))
        square = state["square"] / (1 - square_decay ** float(state["step"]))
        return mean / (square.sqrt() + 1e-8)
