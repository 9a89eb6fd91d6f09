"""Latents on disk: safetensors shards that are written once, read many times, and continued after an interruption.

Names inside a shard: `<clip>/video` `[C, F, h, w]`, `<clip>/frames` `[N, C, h, w]` (single frames, each encoded
alone), `<clip>/audio` `[L, C_audio]`; `<identity>/faces` `[V, C, h, w]`, `<identity>/voice_<i>` `[l, C_audio]`.
Everything is as the transformer sees it: normalised, float16.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


STORE_FILE = "store.json"


class LatentShardWriter:
    """
    Writes shards of named tensors; a shard appears under its name only when it is whole.

    Args:
        folder: where the shards go; made if needed.
        settings: what the latents depend on (codecs, sizes). A folder that was begun with other settings is refused.
        digests: of the codecs' weights by name; `None` tells none. A folder with other ones is refused; those that it
            lacks are added.

    Raises:
        ValueError: if the folder holds latents of other settings or weights.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], digests: Mapping[str, str] | None = None) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / STORE_FILE
        found = json.loads(path.read_text()) if path.exists() else dict(settings)
        known = found.pop("digests", {})
        if found != json.loads(json.dumps(settings)):
            raise ValueError(
                f"`folder` {folder} holds latents made with other settings ({path.read_text().strip()}). Give another "
                "folder, or delete this one."
            )
        digests = digests or {}
        changed = sorted(name for name, digest in digests.items() if known.get(name, digest) != digest)
        if changed:
            raise ValueError(
                f"`folder` {folder} holds latents of codecs with other weights ({', '.join(changed)}): they were "
                "trained again since. Give another folder, or delete this one."
            )
        known |= digests
        path.write_text(json.dumps(found | ({"digests": known} if known else {}), indent=2) + "\n")

    def has(self, name: str, source: str = "") -> bool:
        """Whether the shard `name` was written before, from the same `source`."""
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            return False
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("source", "") == source

    def write(self, name: str, tensors: Mapping[str, Tensor], source: str = "") -> None:
        """Write the shard `name`, as float16, and beside the tensors what they were made of."""
        path = self.folder / f"{name}.safetensors"
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        halves = {key: tensor.detach().half().contiguous() for key, tensor in tensors.items()}
        save_file(halves, partial, metadata={"source": source})
        os.replace(partial, path)


class LatentStore:
    """
    Reads what `LatentShardWriter` wrote. Tensors come as float32; files are mapped into memory, not read at once.

    Args:
        folder: of shards.

    Raises:
        FileNotFoundError: if there are no shards.
    """

    def __init__(self, folder: Path) -> None:
        shards = sorted(Path(folder).glob("*.safetensors"))
        if not shards:
            raise FileNotFoundError(
                f"`folder` must hold shards of latents, but there is none in {folder}. Precompute them."
            )
        self._files = [safe_open(shard, framework="pt") for shard in shards]
        self._file_of = {key: file for file in self._files for key in file.keys()}  # noqa: SIM118  (not a mapping)
        self._recordings: dict[str, list[str]] = {}
        for key in sorted(self._file_of):
            owner, _, kind = key.rpartition("/")
            if kind.startswith("voice_"):
                self._recordings.setdefault(owner, []).append(key)
        for keys in self._recordings.values():
            keys.sort(key=lambda key: int(key.rpartition("_")[2]))

    def __contains__(self, key: str) -> bool:
        return key in self._file_of

    def __iter__(self) -> Iterator[str]:
        return iter(self._file_of)

    def read(self, key: str) -> Tensor:
        """The tensor named `key`.

        Raises:
            KeyError: if no shard holds it.
        """
        if key not in self._file_of:
            raise KeyError(f"`key` {key!r} is in no shard of this store.")
        return self._file_of[key].get_tensor(key).to(torch.float32)

    def recordings(self, identity: str) -> list[str]:
        """The keys of a person's voice recordings, in order; empty without any."""
        return self._recordings.get(identity, [])
