"""What a conversion did, or would do."""

from dataclasses import dataclass
from pathlib import Path

import torch

from iap_pipelines.conversion.key_map import summarise_keys


@dataclass(frozen=True, kw_only=True)
class ComponentReport:
    """One component. Sizes are bytes of tensors, without file headers."""

    name: str
    class_name: str
    source_files: tuple[Path, ...]
    source_dtypes: tuple[torch.dtype, ...]
    num_source_keys: int
    num_source_bytes: int
    dead_keys: tuple[str, ...]
    num_dead_bytes: int
    initialised_keys: tuple[str, ...]
    dtypes: tuple[torch.dtype, ...]
    num_tensors: int
    num_parameters: int
    num_bytes: int
    shard_bytes: tuple[int, ...]

    def render(self) -> list[str]:
        lines = [
            f"{self.name} ({self.class_name})",
            f"  from: {_plural(self.num_source_keys, 'key')}, {_size(self.num_source_bytes)}, "
            f"{_names(self.source_dtypes)}",
            *(f"    {path}" for path in self.source_files),
            f"  to:   {_plural(self.num_tensors, 'tensor')}, {self.num_parameters:,} parameters, "
            f"{_size(self.num_bytes)}, {_names(self.dtypes)}, in {_plural(len(self.shard_bytes), 'file')}",
        ]
        if self.dead_keys:
            lines.append(
                f"  left behind, never read: {_plural(len(self.dead_keys), 'key')}, {_size(self.num_dead_bytes)}"
            )
            lines += [f"    {line}" for line in summarise_keys(self.dead_keys, max_groups=200)]
        if self.initialised_keys:
            lines.append(f"  not in the file, copied from their base: {_plural(len(self.initialised_keys), 'tensor')}")
            lines += [f"    {line}" for line in summarise_keys(self.initialised_keys, max_groups=200)]
        return lines


@dataclass(frozen=True, kw_only=True)
class ConversionReport:
    """
    Args:
        output: the pipeline's folder.
        dry_run: nothing was written.
        components: one entry per component that has weights.
        tokenizer_files: what is copied.
        model_index: content of `model_index.json`.
    """

    output: Path
    dry_run: bool
    components: tuple[ComponentReport, ...]
    tokenizer_files: tuple[Path, ...]
    model_index: dict[str, object]

    @property
    def num_bytes(self) -> int:
        return sum(component.num_bytes for component in self.components)

    def render(self) -> str:
        """The report as text, for a door to print."""
        verb = "would be written (dry run)" if self.dry_run else "written"
        lines = [line for component in self.components for line in component.render()]
        lines += ["tokenizer (copied)", *(f"    {path}" for path in self.tokenizer_files)]
        return "\n".join([*lines, f"{self.output}: {_size(self.num_bytes)} {verb}"])


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _size(num_bytes: int) -> str:
    value = float(num_bytes)
    for unit in ("B", "KB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def _names(dtypes: tuple[torch.dtype, ...]) -> str:
    return " + ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
