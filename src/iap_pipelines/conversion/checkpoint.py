"""Official checkpoint files: what they hold, without reading it, and one tensor at a time when it is wanted.

Pickles are only ever opened with `weights_only=True`.
"""

import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from iap_pipelines.conversion.errors import ConversionError


_SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
_WRAPPERS = ("state_dict", "module", "app", "model", "generator")
"""Entries under which training code puts the state dict; entries beside them (optimizer, step) are not read."""
_SHARD_NAME = re.compile(r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.\w+)")
_REMAP_AFTER_BYTES = 2**29
"""Pages of a mapped file count as ours until it is unmapped, so it is mapped anew after this much was read."""
_MAX_UNMAPPABLE_BYTES = 2**30
"""Files in torch's format of before 1.6 cannot be mapped and are read whole, up to this size."""


class SafetensorsFile:
    """One `.safetensors` file. `layout` maps each name to a tensor of its shape and dtype on the meta device."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with safe_open(path, framework="pt") as file:
                self.layout = {key: self._describe(file.get_slice(key), key) for key in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ConversionError(f"{path} is not a readable safetensors file: {_first_line(error)}") from error

    def _describe(self, entry: object, key: str) -> Tensor:
        dtype = _SAFETENSORS_DTYPES.get(entry.get_dtype())
        if dtype is None:
            raise ConversionError(f"{self.path}: `{key}` has the dtype {entry.get_dtype()}, which is not supported.")
        return torch.empty(entry.get_shape(), dtype=dtype, device="meta")

    def read(self, key: str) -> Tensor:
        # Opened anew for every tensor: a file kept open would keep all of its pages that were ever read.
        try:
            with safe_open(self.path, framework="pt") as file:
                return file.get_tensor(key)
        except (SafetensorError, OSError) as error:
            raise ConversionError(f"{self.path}: `{key}` cannot be read: {_first_line(error)}") from error


class TorchFile:
    """
    One file written by `torch.save`. `layout` maps each name to a tensor of its shape and dtype on the meta device.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._num_bytes_read = 0
        self._state_dict = self._load()
        self.layout = {key: tensor.detach().to("meta") for key, tensor in self._state_dict.items()}

    def read(self, key: str) -> Tensor:
        tensor = self._state_dict[key].detach()
        self._num_bytes_read += tensor.nbytes
        if self._num_bytes_read > _REMAP_AFTER_BYTES and self._is_mappable:
            self._state_dict, self._num_bytes_read = self._load(), 0
        return tensor

    def _load(self) -> dict[str, Tensor]:
        try:
            self._is_mappable = zipfile.is_zipfile(self.path)
            if not self._is_mappable and self.path.stat().st_size > _MAX_UNMAPPABLE_BYTES:
                raise ConversionError(
                    f"{self.path} is not a complete file of `torch.save` (a zip archive), or it was written in the "
                    f"format of "
                    "torch before 1.6, which can only be read as a whole. Fetch it again, or save it again as "
                    ".safetensors."
                )
            loaded = torch.load(self.path, map_location="cpu", weights_only=True, mmap=self._is_mappable or None)
        except pickle.UnpicklingError as error:
            raise ConversionError(
                f"{self.path} cannot be read as plain weights (`weights_only=True`): {_first_line(error)} "
                "Files that hold other Python objects are not opened, because unpickling them can run code."
            ) from error
        except (RuntimeError, OSError, EOFError, KeyError, ValueError) as error:
            if isinstance(error, ConversionError):
                raise
            raise ConversionError(
                f"{self.path} is not a readable file of `torch.save`: {_first_line(error)}"
            ) from error
        return self._unwrap(loaded)

    def _unwrap(self, loaded: object) -> dict[str, Tensor]:
        while isinstance(loaded, Mapping):
            entry = next((name for name in _WRAPPERS if isinstance(loaded.get(name), Mapping)), None)
            if entry is None:
                break
            loaded = loaded[entry]
        if not isinstance(loaded, Mapping) or not loaded:
            raise ConversionError(f"{self.path} holds {type(loaded).__name__}, not a dict of named tensors.")
        others = [str(key) for key, value in loaded.items() if not isinstance(value, Tensor)]
        if others:
            raise ConversionError(f"{self.path} holds more than tensors: {', '.join(others[:8])}.")
        return dict(loaded)


class Checkpoint:
    """
    One state dict, in one file or in several.

    Attributes:
        path: what the user named.
        files: the files that hold it.
        layout: name to a meta tensor of the stored shape and dtype.
    """

    def __init__(self, path: Path, files: tuple[SafetensorsFile | TorchFile, ...]) -> None:
        self.path = path
        self.files = tuple(file.path for file in files)
        self.layout: dict[str, Tensor] = {}
        self._owner: dict[str, SafetensorsFile | TorchFile] = {}
        for file in files:
            for key, tensor in file.layout.items():
                if key in self._owner:
                    raise ConversionError(
                        f"{path}: both {self._owner[key].path.name} and {file.path.name} hold `{key}`."
                    )
                self._owner[key], self.layout[key] = file, tensor
        if not self.layout:
            raise ConversionError(f"{path} holds no tensors.")

    @property
    def num_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.layout.values())

    def file_of(self, key: str) -> Path:
        return self._owner[key].path

    def read(self, key: str) -> Tensor:
        return self._owner[key].read(key)


def open_checkpoint(path: Path) -> Checkpoint:
    """
    Open the file, the index or the folder that holds one state dict.

    Args:
        path: a `.safetensors`, `.pt`, `.pth`, `.bin` or `.ckpt` file, a `….index.json`, or a folder with one of these.

    Raises:
        ConversionError: the file is missing, incomplete, damaged or of another kind.
    """
    if not path.exists():
        raise ConversionError(f"{path} does not exist.")
    if path.is_dir():
        return _open_folder(path)
    if path.name.endswith(".index.json"):
        return _open_index(path, path)
    match = _SHARD_NAME.fullmatch(path.name)
    if match is not None and int(match["count"]) > 1:
        raise ConversionError(
            f"{path} is one of {int(match['count'])} shards. Pass their folder or their .index.json."
        )
    return Checkpoint(path, (_open_file(path),))


def _open_file(path: Path) -> SafetensorsFile | TorchFile:
    with path.open("rb") as file:
        beginning = file.read(64)
    if beginning.startswith(b"version https://git-lfs"):
        raise ConversionError(f"{path} is a Git LFS pointer, not the file itself. Fetch it with `git lfs pull`.")
    if not beginning:
        raise ConversionError(f"{path} is empty.")
    if path.suffix == ".safetensors":
        return SafetensorsFile(path)
    if path.suffix in _TORCH_SUFFIXES:
        return TorchFile(path)
    raise ConversionError(
        f"{path} is of an unknown kind: expected .safetensors, {', '.join(_TORCH_SUFFIXES)}, .index.json or a folder."
    )


def _open_folder(folder: Path) -> Checkpoint:
    indices = sorted(folder.glob("*.index.json"))
    if len(indices) == 1:
        return _open_index(folder, indices[0])
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        weights = sorted(path for path in folder.iterdir() if path.suffix in _TORCH_SUFFIXES)
    if not weights:
        raise ConversionError(f"{folder} holds no weights (.safetensors, {', '.join(_TORCH_SUFFIXES)}).")
    shards = [_SHARD_NAME.fullmatch(path.name) for path in weights]
    if all(shards) and len({(shard["stem"], shard["count"]) for shard in shards}) == 1:
        return _open_shards(folder, weights, int(shards[0]["count"]))
    if len(indices) > 1 or len(weights) > 1:
        names = ", ".join(path.name for path in indices or weights)
        raise ConversionError(f"{folder} holds several checkpoints ({names}). Pass the one you mean.")
    return Checkpoint(folder, (_open_file(weights[0]),))


def _open_shards(folder: Path, shards: list[Path], count: int) -> Checkpoint:
    present = {int(_SHARD_NAME.fullmatch(path.name)["index"]) for path in shards}
    absent = [str(index) for index in range(1, count + 1) if index not in present]
    if absent:
        raise ConversionError(f"{folder} holds {len(shards)} of {count} shards; missing are {', '.join(absent)}.")
    return Checkpoint(folder, tuple(map(_open_file, shards)))


def _open_index(path: Path, index: Path) -> Checkpoint:
    file_of = _read_index(index)
    names = list(dict.fromkeys(file_of.values()))
    absent = [name for name in names if not (index.parent / name).is_file()]
    if absent:
        raise ConversionError(
            f"{index} names {len(names)} files, of which {len(absent)} are absent: {', '.join(absent)}."
        )
    checkpoint = Checkpoint(path, tuple(_open_file(index.parent / name) for name in names))
    held = {key: checkpoint.file_of(key).name for key in checkpoint.layout}
    astray = sorted(key for key in file_of.keys() | held.keys() if file_of.get(key) != held.get(key))
    if astray:
        raise ConversionError(f"{index} disagrees with its files about {len(astray)} keys, such as `{astray[0]}`.")
    return checkpoint


def _read_index(index: Path) -> dict[str, str]:
    try:
        file_of = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ConversionError(f"{index} is not a checkpoint index: {type(error).__name__} {error}") from error
    if not isinstance(file_of, dict) or not file_of:
        raise ConversionError(f"{index} is not a checkpoint index: its `weight_map` names no keys.")
    for name in file_of.values():
        if not isinstance(name, str) or Path(name).name != name:
            raise ConversionError(f"{index} names {name!r}, but may only name files beside itself.")
    return file_of


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
