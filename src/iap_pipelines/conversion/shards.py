"""Writing safetensors files tensor by tensor.

`safetensors.torch.save_file` wants every tensor of a file in memory at once. Names, shapes and dtypes of a conversion
are known beforehand, so here a file's header is written first and each tensor goes straight to its place when it
comes: memory holds one tensor, never a shard.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import safe_open
from torch import Tensor


_DTYPE_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


class ShardWriter:
    """
    Writes one component's weights, in as many files as the size limit asks for.

    Args:
        folder: existing folder to write to.
        weights_name: file name without suffix; `diffusion_pytorch_model` for diffusers, `model` for transformers.
        layout: name to a meta tensor of the shape and dtype that will be written, in the order of arrival (any other
            order works too, with more files open at a time).
        max_shard_size: limit of one file in bytes, or as in `"5GB"`; a single larger tensor gets a file of its own.

    Example:
        ```python
        with ShardWriter(folder, "model", layout, "5GB") as writer:
            for name in layout:
                writer.write(name, make(name))
        ```
    """

    def __init__(
        self, folder: Path, weights_name: str, layout: Mapping[str, Tensor], max_shard_size: int | str
    ) -> None:
        self._folder = folder
        self._weights_name = weights_name
        self._layout = layout
        self._split = split_into_shards(layout, weights_name, max_shard_size)
        self._shards: dict[str, _OpenShard] = {}
        self._num_left = {file_name: len(names) for file_name, names in self._split.items()}
        self._file_of = {name: file_name for file_name, names in self._split.items() for name in names}

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, exception_type: type[BaseException] | None, *_: object) -> None:
        for shard in self._shards.values():
            shard.file.close()
        if exception_type is None:
            self._finish()

    def write(self, name: str, tensor: Tensor) -> None:
        """Write one tensor. Raises `ValueError` if it is not as announced, `KeyError` if it was never announced."""
        announced = self._layout[name]
        if tensor.shape != announced.shape or tensor.dtype != announced.dtype:
            raise ValueError(
                f"`tensor` {name} was announced as {announced.dtype} {list(announced.shape)}, but got {tensor.dtype} "
                f"{list(tensor.shape)}."
            )
        file_name = self._file_of.pop(name)
        if file_name not in self._shards:
            self._shards[file_name] = _OpenShard(self._folder / file_name, self._layout, self._split[file_name])
        self._shards[file_name].write(name, tensor)
        self._num_left[file_name] -= 1
        if self._num_left[file_name] == 0:
            self._shards.pop(file_name).file.close()

    def _finish(self) -> None:
        if self._file_of:
            raise ValueError(
                f"{len(self._file_of)} announced tensors were never written, such as {next(iter(self._file_of))}."
            )
        for file_name, names in self._split.items():
            # The library's own reader has the last word on whether this is a safetensors file.
            with safe_open(self._folder / file_name, framework="pt") as file:
                if set(file.keys()) != set(names):
                    raise ValueError(f"{self._folder / file_name} does not hold what was written to it.")
        if len(self._split) > 1:
            index = {
                "metadata": {"total_size": sum(tensor.nbytes for tensor in self._layout.values())},
                "weight_map": {name: file_name for file_name, names in self._split.items() for name in names},
            }
            path = self._folder / f"{self._weights_name}.safetensors.index.json"
            path.write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def split_into_shards(
    layout: Mapping[str, Tensor], weights_name: str, max_shard_size: int | str
) -> dict[str, list[str]]:
    """File name to the names of its tensors, in order; one file without a number if everything fits."""
    split = split_torch_state_dict_into_shards(
        dict(layout), filename_pattern=weights_name + "{suffix}.safetensors", max_shard_size=max_shard_size
    )
    return split.filename_to_tensors


class _OpenShard:
    """A file whose header is complete and whose tensors are on their way."""

    def __init__(self, path: Path, layout: Mapping[str, Tensor], names: Iterable[str]) -> None:
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        self._begin: dict[str, int] = {}
        end = 0
        # Wide dtypes first keeps every tensor aligned to its own element size.
        for name in sorted(names, key=lambda name: -layout[name].element_size()):
            tensor = layout[name]
            self._begin[name], end = end, end + tensor.nbytes
            header[name] = {
                "dtype": _DTYPE_NAMES[tensor.dtype],
                "shape": list(tensor.shape),
                "data_offsets": [self._begin[name], end],
            }
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self.file: BinaryIO = path.open("wb")
        self.file.write(len(text).to_bytes(8, "little") + text)
        self._data_begins = self.file.tell()

    def write(self, name: str, tensor: Tensor) -> None:
        self.file.seek(self._data_begins + self._begin[name])
        self.file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
