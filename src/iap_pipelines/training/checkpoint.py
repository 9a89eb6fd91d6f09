"""One training run in one file: tensors and a JSON state, written so that a reader never sees half of it.

A checkpoint is a safetensors file whose metadata carries everything that is not a tensor. It is written beside its
final name and renamed, which is atomic on one file system; a run killed at any moment leaves whole checkpoints only.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


_STATE = "state"  # the metadata key of the JSON state
_NAME = re.compile(r"step_(\d{8})\.safetensors")
_SEPARATOR = "/"


@dataclass(frozen=True)
class Checkpoint:
    """What was saved: `tensors` by name, and `state`, anything JSON can hold."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]

    def group(self, prefix: str) -> dict[str, Tensor]:
        """The tensors below `prefix/`, without it."""
        start = f"{prefix}{_SEPARATOR}"
        return {name.removeprefix(start): tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """
    Write a checkpoint atomically and durably.

    Args:
        path: final name; its folder is made if needed.
        tensors: any names and dtypes; tensors that share memory are stored once each.
        state: what JSON can hold.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    detached = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    try:
        save_file(detached, partial, metadata={_STATE: json.dumps(state)})
        with open(partial, "rb") as file:
            os.fsync(file.fileno())  # a rename may reach the disk before the data it names
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> Checkpoint:
    """
    Read what `save_checkpoint` wrote.

    Raises:
        ValueError: if the file is a safetensors file but not a checkpoint of a run.
    """
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if _STATE not in metadata:
            raise ValueError(f"`path` must be a checkpoint of a training run, but {path} holds weights only.")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    return Checkpoint(tensors=tensors, state=json.loads(metadata[_STATE]))


def checkpoint_path(folder: Path, step: int) -> Path:
    """The name of the checkpoint after `step` optimizer steps."""
    return Path(folder) / f"step_{step:08d}.safetensors"


def list_checkpoints(folder: Path) -> list[Path]:
    """All checkpoints in `folder`, oldest first; empty where there is no such folder."""
    folder = Path(folder)
    return sorted(path for path in folder.glob("step_*.safetensors") if _NAME.fullmatch(path.name))


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the most steps, or `None` if there is none."""
    return next(reversed(list_checkpoints(folder)), None)


def prune_checkpoints(folder: Path, keep: int) -> None:
    """Delete all but the `keep` newest checkpoints; `keep` is at least 1."""
    if keep < 1:
        raise ValueError(f"`keep` must be at least 1, but got {keep}.")
    for path in list_checkpoints(folder)[:-keep]:
        path.unlink(missing_ok=True)


def remove_partial_checkpoints(folder: Path) -> None:
    """Delete what a run that was killed while it saved has left in `folder`."""
    for path in Path(folder).glob(".step_*.partial"):
        path.unlink(missing_ok=True)


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name tensors so that `Checkpoint.group(prefix)` finds them."""
    return {f"{prefix}{_SEPARATOR}{name}": tensor for name, tensor in tensors.items()}


def split_optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """
    Split an optimizer's state into tensors and what JSON can hold.

    Returns:
        Tensors named `<parameter index>/<entry>`, and ``{"param_groups": …, "scalars": {index: {entry: number}}}``.
    """
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{index}{_SEPARATOR}{name}"] = value
            else:
                scalars.setdefault(str(index), {})[name] = value
    return tensors, {"param_groups": state["param_groups"], "scalars": scalars}


def load_optimizer_state(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> None:
    """
    Put back the moments that `split_optimizer_state` took. Learning rates, decays and betas stay the optimizer's own.

    Args:
        optimizer: of the same parameters in the same groups.
        tensors: first result of `split_optimizer_state`.
        state: second result of `split_optimizer_state`.

    Raises:
        ValueError: if the groups hold other parameters.
    """
    groups = optimizer.state_dict()["param_groups"]
    if [group["params"] for group in groups] != [group["params"] for group in state["param_groups"]]:
        raise ValueError("`optimizer` must have the groups of the checkpoint, but they hold other parameters.")
    entries: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, entry = name.split(_SEPARATOR, maxsplit=1)
        entries.setdefault(int(index), {})[entry] = tensor
    for index, scalars in state["scalars"].items():
        entries.setdefault(int(index), {}).update(scalars)
    optimizer.load_state_dict({"state": entries, "param_groups": groups})


def random_state(generators: Mapping[str, torch.Generator]) -> dict[str, Tensor]:
    """The states of torch's default generator (as `default`) and of the given ones, as uint8 tensors."""
    states = {"default": torch.get_rng_state()}
    return states | {name: generator.get_state() for name, generator in generators.items()}


def set_random_state(states: Mapping[str, Tensor], generators: Mapping[str, torch.Generator]) -> None:
    """
    Put back what `random_state` took.

    Raises:
        ValueError: if the checkpoint has no state for one of `generators`.
    """
    missing = sorted(generators.keys() - states.keys())
    if missing:
        raise ValueError(f"`generators` must be those of the checkpoint, but it has no state for {missing}.")
    torch.set_rng_state(states["default"])
    for name, generator in generators.items():
        generator.set_state(states[name])
