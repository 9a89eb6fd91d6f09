"""Cached clips and speech on disk, and random pieces of them in memory.

Codecs look at many small pieces, so clips are decoded once into arrays that can be mapped: `frames/<split>_<n>.npy`,
uint8 ``[N, F, H, W, 3]`` with one size per file, and `speech/<split>_<n>.safetensors`, int16 utterances end to end.
Letters: B batch, N clips, F frames, H height, W width, M utterances.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor


_INT16_SCALE = 32767.0


def write_frames(folder: Path, split: str, frames: np.ndarray) -> Path:
    """
    Add one file of clips of equal size to a cache.

    Args:
        folder: the cache.
        split: `train`, `validation` or `test`.
        frames: uint8 ``[N, F, H, W, 3]``.

    Returns:
        The file that was written.
    """
    if frames.dtype != np.uint8 or frames.ndim != 5 or frames.shape[-1] != 3 or len(frames) == 0:
        raise ValueError(f"`frames` must be uint8 [N, F, H, W, 3], but got {frames.dtype} {list(frames.shape)}.")
    path = _next_file(folder, "frames", split, "npy")
    partial = path.with_suffix(".partial.npy")
    np.save(partial, frames)
    os.replace(partial, path)
    return path


def write_speech(folder: Path, split: str, utterances: Sequence[Tensor]) -> Path:
    """
    Add one file of utterances to a cache.

    Args:
        folder: the cache.
        split: `train`, `validation` or `test`.
        utterances: float tensors ``[N]`` in [-1, 1], mono, at the sampling rate of the audio VAE.

    Returns:
        The file that was written.
    """
    if not utterances or any(samples.ndim != 1 or len(samples) == 0 for samples in utterances):
        raise ValueError("`utterances` must be a list of tensors [N] that are not empty.")
    path = _next_file(folder, "speech", split, "safetensors")
    partial = path.with_suffix(".partial")
    samples = torch.cat([(samples.clamp(-1, 1) * _INT16_SCALE).round().to(torch.int16) for samples in utterances])
    save_file({"samples": samples, "lengths": torch.tensor([len(samples) for samples in utterances])}, partial)
    os.replace(partial, path)
    return path


class FrameCache:
    """
    Random pieces of cached clips.

    Args:
        folder: the cache.
        split: `train`, `validation` or `test`.

    Raises:
        FileNotFoundError: if the cache has no frames of this split.
    """

    def __init__(self, folder: Path, split: str) -> None:
        paths = _files(folder, "frames", split, "npy")
        self.files = [np.load(path, mmap_mode="r") for path in paths]

    @property
    def num_clips(self) -> int:
        return sum(len(file) for file in self.files)

    def sample(self, batch_size: int, num_frames: int, generator: torch.Generator) -> Tensor:
        """
        Draw pieces of clips; all of one draw come from clips of one size.

        Returns:
            ``[B, 3, num_frames, H, W]`` in [-1, 1].

        Raises:
            ValueError: if no clip has `num_frames` frames.
        """
        files = [file for file in self.files if file.shape[1] >= num_frames]
        if not files:
            raise ValueError(f"`num_frames` must be at most that of the longest cached clip, but got {num_frames}.")
        sizes = torch.tensor([len(file) for file in files], dtype=torch.float64)
        first = files[int(torch.multinomial(sizes, 1, generator=generator))]
        same_size = [file for file in files if file.shape[2:] == first.shape[2:]]
        weights = torch.tensor([len(file) for file in same_size], dtype=torch.float64)
        chosen = torch.multinomial(weights, batch_size, replacement=True, generator=generator).tolist()
        return torch.stack([self._piece(same_size[index], num_frames, generator) for index in chosen])

    def clips(self, count: int) -> Iterator[Tensor]:
        """The first `count` whole clips, the sizes mixed, each ``[1, 3, F, H, W]`` in [-1, 1]."""
        per_file = -(-count // len(self.files))
        chosen = [(file, index) for index in range(per_file) for file in self.files if index < len(file)]
        for file, index in chosen[:count]:
            yield to_signed(torch.from_numpy(file[index].copy()))[None]

    @staticmethod
    def _piece(file: np.ndarray, num_frames: int, generator: torch.Generator) -> Tensor:
        clip = int(torch.randint(len(file), (), generator=generator))
        start = int(torch.randint(file.shape[1] - num_frames + 1, (), generator=generator))
        return to_signed(torch.from_numpy(file[clip, start : start + num_frames].copy()))


class SpeechCache:
    """
    Random pieces of cached utterances, held in memory.

    Args:
        folder: the cache.
        split: `train`, `validation` or `test`.

    Raises:
        FileNotFoundError: if the cache has no speech of this split.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.utterances: list[Tensor] = []
        for path in _files(folder, "speech", split, "safetensors"):
            stored = load_file(path)
            self.utterances += stored["samples"].split(stored["lengths"].tolist())
        self._lengths = torch.tensor([len(utterance) for utterance in self.utterances], dtype=torch.float64)

    @property
    def num_utterances(self) -> int:
        return len(self.utterances)

    def sample(
        self, batch_size: int, num_samples: int, generator: torch.Generator, *, gain_range_db: float = 0.0
    ) -> Tensor:
        """
        Draw pieces, longer utterances more often; shorter ones are filled up with silence.

        Args:
            batch_size: pieces.
            num_samples: samples per piece.
            generator: source of every draw.
            gain_range_db: each piece is scaled by a random factor of at most this much, up or down.

        Returns:
            ``[B, num_samples]`` in [-1, 1].
        """
        chosen = torch.multinomial(self._lengths, batch_size, replacement=True, generator=generator).tolist()
        pieces = torch.stack([self._piece(self.utterances[index], num_samples, generator) for index in chosen])
        gain_db = (2 * torch.rand(batch_size, 1, generator=generator) - 1) * gain_range_db
        return (pieces * 10 ** (gain_db / 20)).clamp(-1, 1)

    def all_utterances(self, count: int) -> Iterator[Tensor]:
        """The first `count` whole utterances, each ``[1, N]`` in [-1, 1]."""
        for utterance in self.utterances[:count]:
            yield utterance[None].float() / _INT16_SCALE

    @staticmethod
    def _piece(utterance: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
        spare = max(0, len(utterance) - num_samples)
        start = int(torch.randint(spare + 1, (), generator=generator))
        piece = utterance[start : start + num_samples].float() / _INT16_SCALE
        return torch.nn.functional.pad(piece, (0, num_samples - len(piece)))


def to_signed(frames: Tensor) -> Tensor:
    """uint8 ``[F, H, W, 3]`` as ``[3, F, H, W]`` in [-1, 1], what the video VAE reads."""
    return frames.permute(3, 0, 1, 2).float() / 127.5 - 1.0


def to_uint8(frames: Tensor) -> Tensor:
    """``[3, F, H, W]`` in [-1, 1] as uint8 ``[F, H, W, 3]``."""
    return ((frames.permute(1, 2, 3, 0) + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)


def _next_file(folder: Path, kind: str, split: str, suffix: str) -> Path:
    directory = Path(folder) / kind
    directory.mkdir(parents=True, exist_ok=True)
    return directory / f"{split}_{len(list(directory.glob(f'{split}_*.{suffix}'))):05d}.{suffix}"


def _files(folder: Path, kind: str, split: str, suffix: str) -> list[Path]:
    paths = sorted((Path(folder) / kind).glob(f"{split}_[0-9]*[0-9].{suffix}"))
    if not paths:
        raise FileNotFoundError(f"`cache` must hold {kind} of the split `{split}`, but {folder} does not.")
    return paths
