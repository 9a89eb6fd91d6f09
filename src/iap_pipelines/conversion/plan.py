"""What will be done to one official checkpoint, worked out and checked before a single tensor is read.

A plan is a list of steps. Run on meta tensors they tell every name, shape and dtype that will come out; run on the
file's tensors, one after another, they are the conversion. So a dry run is the conversion itself, and a file that does
not fit is refused at once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from iap_pipelines.conversion.errors import ConversionError
from iap_pipelines.conversion.key_map import summarise_keys


FLOATING_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


class Source(Protocol):
    """Where official tensors come from: a [`Checkpoint`], or a state dict in memory."""

    path: Path
    files: tuple[Path, ...]
    layout: Mapping[str, Tensor]

    def read(self, key: str) -> Tensor: ...


class Step(NamedTuple):
    """Official tensors that are converted together, and how. The conversion must work on meta tensors too."""

    official_keys: tuple[str, ...]
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class ComponentPlan:
    """
    How one component of the pipeline is made from its official checkpoint.

    Args:
        name: the component's name in the pipeline, which is also its folder and the argument that named the file.
        source: the official tensors.
        reference: how `model_index.json` names the class.
        expected: our names to tensors of the shapes that the class has.
        steps: the conversion.
        unknown_keys: official keys that no step takes and that are not known to be dead.
        dead_keys: official keys that are left behind because nothing reads them.
        initialised_keys: our names that are filled from other parameters because the file has none for them.
        official_name: official name for one of ours, for messages.
        weights_name: file name of the weights, without suffix.
        save_config: writes the configuration into the component's folder, given the dtype of the weights.
        precise_modules: parts of our names whose parameters never lose precision.
        advice: what to do if keys are missing.
    """

    name: str
    source: Source
    reference: tuple[str, str]
    expected: Mapping[str, Tensor]
    steps: tuple[Step, ...]
    unknown_keys: tuple[str, ...]
    dead_keys: tuple[str, ...] = ()
    initialised_keys: tuple[str, ...] = ()
    official_name: Callable[[str], str] = field(default=str)
    weights_name: str = "diffusion_pytorch_model"
    save_config: Callable[[Path, torch.dtype], None]
    precise_modules: tuple[str, ...] = ()
    advice: str = ""

    @cached_property
    def layout(self) -> dict[str, Tensor]:
        """Our names to meta tensors as they come out of the steps, in that order."""
        layout: dict[str, Tensor] = {}
        for step in self.steps:
            converted = step.convert({key: self.source.layout[key] for key in step.official_keys})
            for name, tensor in converted.items():
                if name in layout:
                    raise ConversionError(
                        f"`{self.name}` {self.source.path}: several keys give `{self.official_name(name)}`, one of "
                        f"them is "
                        f"`{step.official_keys[0]}`."
                    )
                layout[name] = tensor.to("meta")
        return layout

    def check(self) -> None:
        """
        Raise [`ConversionError`] unless the steps give exactly what the class needs, from ordinary float tensors.
        """
        self._check_dtypes()
        problems = []
        missing = [self.official_name(key) for key in self.expected if key not in self.layout]
        for heading, keys in (
            ("unknown keys", self.unknown_keys),
            ("missing keys", missing),
            (
                "keys that the class does not have",
                [self.official_name(key) for key in self.layout if key not in self.expected],
            ),
            ("shapes that do not fit", self._wrong_shapes()),
        ):
            if keys:
                problems += [f"{len(keys)} {heading}:", *(f"  {line}" for line in summarise_keys(keys))]
        if problems:
            listing = "\n  ".join([*problems, self.advice] if missing and self.advice else problems)
            raise ConversionError(f"`{self.name}` {self.source.path} is not a {self.reference[1]}:\n  {listing}")

    def _wrong_shapes(self) -> list[str]:
        return [
            f"{self.official_name(name)} gives {list(tensor.shape)} instead of {list(self.expected[name].shape)}"
            for name, tensor in self.layout.items()
            if name in self.expected and tensor.shape != self.expected[name].shape
        ]

    def _check_dtypes(self) -> None:
        unusable = [key for step in self.steps for key in step.official_keys if not self._is_floating(key)]
        if unusable:
            raise ConversionError(
                f"`{self.name}` {self.source.path} holds {_dtype_name(self.source.layout[unusable[0]].dtype)} "
                f"weights, such as "
                f"`{unusable[0]}`. Quantised checkpoints cannot be converted; take the one in bfloat16 or float32."
            )

    def _is_floating(self, official_key: str) -> bool:
        return self.source.layout[official_key].dtype in FLOATING_DTYPES

    def stored_layout(self, dtype: torch.dtype | None) -> dict[str, Tensor]:
        """
        Our names to meta tensors of the dtypes that will be written.

        Args:
            dtype: of all parameters but the precise ones. `None` keeps the precision of the file, which is its widest
                dtype if it mixes several. Nothing is stored in more than float32.
        """
        widest = widest_dtype(self.layout.values())
        precise = [tensor for name, tensor in self.layout.items() if self._is_precise(name)]
        widest_precise = widest_dtype([*precise, torch.empty(0, dtype=dtype or widest, device="meta")])
        return {
            name: tensor.to(widest_precise if self._is_precise(name) else dtype or widest)
            for name, tensor in self.layout.items()
        }

    def _is_precise(self, name: str) -> bool:
        return any(part in self.precise_modules for part in name.split("."))

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Carry out the steps: our names and tensors, read and converted one step at a time."""
        for step in self.steps:
            yield from step.convert({key: self.source.read(key) for key in step.official_keys}).items()


def widest_dtype(tensors: Iterable[Tensor]) -> torch.dtype:
    """The narrowest dtype up to float32 that holds all of `tensors` without loss (float64 becomes float32)."""
    dtypes = {tensor.dtype if tensor.dtype != torch.float64 else torch.float32 for tensor in tensors}
    return reduce(torch.promote_types, dtypes)


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
