"""The run around an objective: steps, schedule, running average, log, validation, checkpoints, resume.

An objective yields its losses in turns, one optimizer step each: a codec with a critic and one without are one path.
"""

import copy
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from iap_pipelines.training.autoencoders.config import Phase, RunConfig
from iap_pipelines.training.autoencoders.optimizer import Muon
from iap_pipelines.training.checkpoint import (
    checkpoint_path,
    latest_checkpoint,
    load_checkpoint,
    load_optimizer_state,
    prune_checkpoints,
    random_state,
    save_checkpoint,
    set_random_state,
    split_optimizer_state,
    with_prefix,
)
from iap_pipelines.training.metrics_log import drop_lines


logger = logging.getLogger(__name__)

MODEL = "model"
"""Name of the module that is averaged, validated and exported."""


class Turn(NamedTuple):
    """One optimizer step: minimise `loss` over the parameters of the module called `module`."""

    module: str
    loss: Tensor
    metrics: dict[str, Tensor]


class Objective(Protocol):
    """What a codec brings to its run."""

    modules: Mapping[str, nn.Module]
    """Trained modules, each with an optimizer of its own; `MODEL` is one of them."""

    def learning_rate_factor(self, module: str) -> float:
        """Learning rate of a module relative to the schedule's."""
        ...

    def turns(self, phase: Phase, generator: torch.Generator) -> Iterator[Turn]:
        """Draw a batch and yield the losses of one step."""
        ...

    def after_step(self) -> None:
        """Restore what must hold of the weights after each step."""
        ...

    def validate(self, model: nn.Module, pictures: Path) -> dict[str, float]:
        """Measure a model on clips it was not trained on, and draw what it does."""
        ...

    def export(self, model: nn.Module, folder: Path) -> None:
        """Finish a model (statistics, folding) and write it with `save_pretrained`."""
        ...


def scheduled_learning_rate(phase: Phase, step_in_phase: int) -> float:
    """
    Linear warm-up, then half a cosine.

    Args:
        phase: the schedule.
        step_in_phase: from 0.
    """
    if step_in_phase < phase.warmup_steps:
        return phase.learning_rate * (step_in_phase + 1) / phase.warmup_steps
    progress = (step_in_phase - phase.warmup_steps) / (phase.steps - phase.warmup_steps)
    span = phase.learning_rate - phase.final_learning_rate
    return phase.final_learning_rate + span * 0.5 * (1 + math.cos(math.pi * progress))


def locate_step(phases: tuple[Phase, ...], step: int) -> tuple[int, int]:
    """The index of the phase that `step` (from 0) belongs to, and its position there."""
    for index, phase in enumerate(phases):
        if step < phase.steps:
            return index, step
        step -= phase.steps
    raise ValueError(f"`step` must be less than the steps of all phases, but is {step} too many.")


class CodecTrainer:
    """
    Trains one codec, resuming from the newest checkpoint of its folder.

    Args:
        config: the run.
        phases: the run's phases, in order.
        objective: the codec.
    """

    def __init__(self, config: RunConfig, phases: tuple[Phase, ...], objective: Objective) -> None:
        self.config, self.phases, self.objective = config, phases, objective
        self.step = 0
        self.num_steps = sum(phase.steps for phase in phases)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.average = copy.deepcopy(objective.modules[MODEL]).requires_grad_(False)
        self.optimizers = {name: self._build_optimizer(name, module) for name, module in objective.modules.items()}

    def _build_optimizer(self, name: str, module: nn.Module) -> torch.optim.Optimizer:
        if name == MODEL and self.config.optimizer == "muon":
            return Muon(module.parameters())
        return torch.optim.AdamW(module.parameters(), betas=(0.9, 0.99), weight_decay=0.0)

    @property
    def checkpoints(self) -> Path:
        return self.config.output / "checkpoints"

    def run(self, stop_at: int | None = None) -> None:
        """
        Train to the end, or to `stop_at` steps, then export.

        Args:
            stop_at: total number of steps after which to save and return; `None` trains all phases.
        """
        self.config.output.mkdir(parents=True, exist_ok=True)
        self._resume()
        last = self.num_steps if stop_at is None else min(stop_at, self.num_steps)
        log = RunLog(self.config.output / "log.jsonl", self.step, self.config.log_every)
        while self.step < last:
            log.add(self._train_step())
            self.step += 1
            log.write_if_due(self.step)
            if self.step % self.config.validate_every == 0 or self.step == self.num_steps:
                self._validate(log)
            if self.step % self.config.save_every == 0 or self.step == last:
                self._save()
        self.objective.export(copy.deepcopy(self.average), self.config.output / "export")

    def _train_step(self) -> dict[str, float]:
        index, step_in_phase = locate_step(self.phases, self.step)
        phase = self.phases[index]
        learning_rate = scheduled_learning_rate(phase, step_in_phase)
        logged: dict[str, float] = {"phase": index, "learning_rate": learning_rate}
        for turn in self.objective.turns(phase, self.generator):
            gradient_norm = self._optimize(turn, learning_rate)
            logged[f"{turn.module}/loss"] = float(turn.loss.detach())
            logged[f"{turn.module}/gradient_norm"] = float(gradient_norm)
            logged |= {name: float(value.detach()) for name, value in turn.metrics.items()}
        self.objective.after_step()
        self._update_average()
        return logged

    def _optimize(self, turn: Turn, learning_rate: float) -> Tensor:
        optimizer = self.optimizers[turn.module]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * self.objective.learning_rate_factor(turn.module)
        optimizer.zero_grad(set_to_none=True)
        turn.loss.backward()
        parameters = self.objective.modules[turn.module].parameters()
        gradient_norm = nn.utils.clip_grad_norm_(parameters, self.config.max_grad_norm, error_if_nonfinite=True)
        optimizer.step()
        return gradient_norm

    @torch.no_grad()
    def _update_average(self) -> None:
        # Early on, a plain mean of the steps so far: a long memory of random weights would spoil short runs.
        decay = min(self.config.average_decay, (self.step + 1) / (self.step + 10))
        model = self.objective.modules[MODEL]
        for averaged, parameter in zip(self.average.parameters(), model.parameters(), strict=True):
            averaged.lerp_(parameter, 1 - decay)
        for averaged, buffer in zip(self.average.buffers(), model.buffers(), strict=True):
            averaged.copy_(buffer)

    def _validate(self, log: "RunLog") -> None:
        with torch.no_grad():
            metrics = self.objective.validate(self.average, self.config.output / "pictures" / f"step_{self.step:08d}")
        log.write({"step": self.step} | {f"validation/{name}": value for name, value in metrics.items()})

    def _save(self) -> None:
        tensors = with_prefix("average", self.average.state_dict())
        tensors |= with_prefix("random", random_state({"run": self.generator}))
        optimizer_states = {}
        for name, module in self.objective.modules.items():
            tensors |= with_prefix(f"modules/{name}", module.state_dict())
            optimizer_tensors, optimizer_states[name] = split_optimizer_state(self.optimizers[name])
            tensors |= with_prefix(f"optimizers/{name}", optimizer_tensors)
        save_checkpoint(
            checkpoint_path(self.checkpoints, self.step), tensors, {"step": self.step, "optimizers": optimizer_states}
        )
        prune_checkpoints(self.checkpoints, self.config.keep_checkpoints)

    def _resume(self) -> None:
        path = latest_checkpoint(self.checkpoints)
        if path is None:
            return
        checkpoint = load_checkpoint(path)
        self.step = checkpoint.state["step"]
        self.average.load_state_dict(checkpoint.group("average"))
        set_random_state(checkpoint.group("random"), {"run": self.generator})
        for name, module in self.objective.modules.items():
            module.load_state_dict(checkpoint.group(f"modules/{name}"))
            tensors = checkpoint.group(f"optimizers/{name}")
            load_optimizer_state(self.optimizers[name], tensors, checkpoint.state["optimizers"][name])
        logger.info("resumed from %s", path)


class RunLog:
    """
    JSON lines of a run: means over `every` steps, and whatever else is written.

    Args:
        path: the file; lines after `step`, left by a run that was killed, are dropped.
        step: steps done so far.
        every: steps per line of means.
    """

    def __init__(self, path: Path, step: int, every: int) -> None:
        self.path, self.every = path, every
        self._sums: dict[str, float] = {}
        self._count = 0
        self._since = time.monotonic()
        drop_lines(path, step + 1)

    def add(self, values: Mapping[str, float]) -> None:
        """Take in the values of one step; a value that a step lacks counts as 0."""
        self._count += 1
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def write_if_due(self, step: int) -> None:
        """Write the means once `every` steps are full."""
        if step % self.every:
            return
        means = {name: total / self._count for name, total in self._sums.items()}
        now = time.monotonic()
        self.write({"step": step, "seconds_per_step": (now - self._since) / self._count} | means)
        self._sums, self._count, self._since = {}, 0, now

    def write(self, values: Mapping[str, float]) -> None:
        """Append one line."""
        rounded = {name: float(f"{value:.5g}") for name, value in values.items()} | {"step": int(values["step"])}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(rounded) + "\n")
