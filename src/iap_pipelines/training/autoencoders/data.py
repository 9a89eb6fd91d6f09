"""Cached clips and speech on disk, and random pieces of them in memory.

Codecs look at many small pieces, so clips are decoded once into arrays that can be mapped: `frames/<split>_<n>.npy`,
uint8 ``[N, F, H, W, 3]`` with one size per file, `faces/<split>_<n>.npy` with the boxes of the faces in them, and
`speech/<split>_<n>.safetensors`, int16 utterances end to end.
Letters: B batch, N clips, F frames, S subjects, H height, W width, M utterances.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor


_INT16_SCALE = 32767.0


def write_frames(folder: Path, split: str, frames: np.ndarray, faces: np.ndarray) -> Path:
    """
    Add one file of clips of equal size to a cache.

    Args:
        folder: the cache.
        split: `train`, `validation` or `test`.
        frames: uint8 ``[N, F, H, W, 3]``.
        faces: boxes ``[N, F, S, 4]``: left, top, right, bottom in pixels; S may be 0.

    Returns:
        The file that was written.
    """
    if frames.dtype != np.uint8 or frames.ndim != 5 or frames.shape[-1] != 3 or len(frames) == 0:
        raise ValueError(f"`frames` must be uint8 [N, F, H, W, 3], but got {frames.dtype} {list(frames.shape)}.")
    if faces.ndim != 4 or faces.shape[:2] != frames.shape[:2] or faces.shape[-1] != 4:
        raise ValueError(f"`faces` must be [{len(frames)}, {frames.shape[1]}, S, 4], but got {list(faces.shape)}.")
    path = _next_file(folder, "frames", split, "npy")
    for array, file in ((faces.astype(np.float32), _faces_of(path)), (frames, path)):
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial.npy")
        np.save(partial, array)
        os.replace(partial, file)
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


class _File(NamedTuple):
    frames: np.ndarray
    faces: np.ndarray


class Pieces(NamedTuple):
    """Pieces of clips."""

    frames: Tensor
    """``[B, 3, F, H, W]`` in [-1, 1]."""
    faces: Tensor
    """``[B, 1, F, H, W]``: 1 inside the box of a face, 0 elsewhere."""


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
        self.files = [_File(np.load(path, mmap_mode="r"), np.load(_faces_of(path), mmap_mode="r")) for path in paths]

    @property
    def num_clips(self) -> int:
        return sum(len(file.frames) for file in self.files)

    def sample(
        self, batch_size: int, num_frames: int, generator: torch.Generator, *, crop_size: int | None = None
    ) -> Pieces:
        """
        Draw pieces of clips; all of one draw come from clips of one size.

        Args:
            batch_size: pieces.
            num_frames: frames per piece.
            generator: source of every draw.
            crop_size: height and width in pixels of a window around a face (around any point, if there is no face);
                clips that are smaller stay as they are.

        Raises:
            ValueError: if no clip has `num_frames` frames.
        """
        files = [file for file in self.files if file.frames.shape[1] >= num_frames]
        if not files:
            raise ValueError(f"`num_frames` must be at most that of the longest cached clip, but got {num_frames}.")
        sizes = torch.tensor([len(file.frames) for file in files], dtype=torch.float64)
        first = files[int(torch.multinomial(sizes, 1, generator=generator))]
        same_size = [file for file in files if file.frames.shape[2:] == first.frames.shape[2:]]
        weights = torch.tensor([len(file.frames) for file in same_size], dtype=torch.float64)
        chosen = torch.multinomial(weights, batch_size, replacement=True, generator=generator).tolist()
        pieces = [self._piece(same_size[index], num_frames, generator) for index in chosen]
        if crop_size is not None:
            pieces = [_crop(piece, crop_size, generator) for piece in pieces]
        return Pieces(*(torch.stack(parts) for parts in zip(*pieces, strict=True)))

    def clips(self, count: int) -> Iterator[Tensor]:
        """The first `count` whole clips, the sizes mixed, each ``[1, 3, F, H, W]`` in [-1, 1]."""
        per_file = -(-count // len(self.files))
        files = [file.frames for file in self.files]
        chosen = [(frames, index) for index in range(per_file) for frames in files if index < len(frames)]
        for frames, index in chosen[:count]:
            yield to_signed(torch.from_numpy(frames[index].copy()))[None]

    @staticmethod
    def _piece(file: _File, num_frames: int, generator: torch.Generator) -> Pieces:
        clip = int(torch.randint(len(file.frames), (), generator=generator))
        start = int(torch.randint(file.frames.shape[1] - num_frames + 1, (), generator=generator))
        frames = file.frames[clip, start : start + num_frames]
        boxes = torch.from_numpy(file.faces[clip, start : start + num_frames].copy())
        return Pieces(to_signed(torch.from_numpy(frames.copy())), inside_boxes(boxes, *frames.shape[1:3]))


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


def _crop(piece: Pieces, size: int, generator: torch.Generator) -> Pieces:
    """A window of a piece without batch dimension, with a random point of a face of the first frame in its middle."""
    face = piece.faces[0, 0]
    points = face.nonzero() if bool(face.any()) else torch.ones_like(face).nonzero()
    middle = points[int(torch.randint(len(points), (), generator=generator))]
    top, left = (
        min(max(int(centre) - size // 2, 0), max(length - size, 0))
        for centre, length in zip(middle, face.shape, strict=True)
    )
    return Pieces(*(part[..., top : top + size, left : left + size] for part in piece))


def inside_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """
    Which pixels have their centre inside any of some boxes.

    Args:
        boxes: ``[F, S, 4]``: left, top, right, bottom in pixels.
        height: of the map in pixels.
        width: of the map in pixels.

    Returns:
        ``[1, F, H, W]``, 1 inside and 0 outside.
    """
    left, top, right, bottom = boxes[..., None, None, :].unbind(-1)
    ys, xs = torch.arange(height)[:, None] + 0.5, torch.arange(width) + 0.5
    inside = (xs >= left) & (xs < right) & (ys >= top) & (ys < bottom)
    return inside.any(dim=1)[None].float()


def to_signed(frames: Tensor) -> Tensor:
    """uint8 ``[F, H, W, 3]`` as ``[3, F, H, W]`` in [-1, 1], what the video VAE reads."""
    return frames.permute(3, 0, 1, 2).float() / 127.5 - 1.0


def to_uint8(frames: Tensor) -> Tensor:
    """``[3, F, H, W]`` in [-1, 1] as uint8 ``[F, H, W, 3]``."""
    return ((frames.permute(1, 2, 3, 0) + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)


def _faces_of(frames: Path) -> Path:
    return frames.parent.parent / "faces" / frames.name


def _next_file(folder: Path, kind: str, split: str, suffix: str) -> Path:
    directory = Path(folder) / kind
    directory.mkdir(parents=True, exist_ok=True)
    return directory / f"{split}_{len(list(directory.glob(f'{split}_*.{suffix}'))):05d}.{suffix}"


def _files(folder: Path, kind: str, split: str, suffix: str) -> list[Path]:
    paths = sorted((Path(folder) / kind).glob(f"{split}_[0-9]*[0-9].{suffix}"))
    if not paths:
        raise FileNotFoundError(f"`cache` must hold {kind} of the split `{split}`, but {folder} does not.")
    return paths
