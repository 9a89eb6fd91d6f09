"""From clips and stills on disk to the cache that the codecs are trained on."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from iap_pipelines.media import read_audio, read_image, read_video
from iap_pipelines.training.autoencoders.data import write_frames, write_speech


def cache_worlds(
    worlds: Sequence[Path], folder: Path, *, sampling_rate: int, clips_per_file: int = 100
) -> dict[str, int]:
    """
    Decode folders with `clips.jsonl` and `identities.jsonl`, clips or stills, into one cache.

    Args:
        worlds: written by `iap synthesize` or `training/render_stills.py`.
        folder: the cache, which appears when it is whole; must be empty or not exist yet, so that nothing is cached
            twice.
        sampling_rate: of the cached speech.
        clips_per_file: clips of one size per file of frames.

    Returns:
        Numbers of cached clips and utterances.

    Raises:
        ValueError: if the cache is not empty.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"`folder` must be empty or not exist yet, but {folder} holds a cache.")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir(parents=True)
    counts = _fill(partial, worlds, sampling_rate, clips_per_file)
    os.replace(partial, folder)
    return counts


def _fill(folder: Path, worlds: Sequence[Path], sampling_rate: int, clips_per_file: int) -> dict[str, int]:
    counts = {"clips": 0, "utterances": 0}
    pending: dict[tuple, list[tuple[np.ndarray, np.ndarray]]] = {}
    speech: dict[str, list[Tensor]] = {}
    for world, record in _records(worlds, "clips.jsonl"):
        frames, utterance = _read_clip(world / record["file"], record["num_frames"], sampling_rate)
        faces = _face_boxes(world, record)
        group = pending.setdefault((record["split"], frames.shape, faces.shape), [])
        group.append((frames, faces))
        counts["clips"] += 1
        if len(group) == clips_per_file:
            write_frames(folder, record["split"], *map(np.stack, zip(*group, strict=True)))
            group.clear()
        if utterance is not None:
            speech.setdefault(record["split"], []).append(utterance)
    for (split, *_), group in pending.items():
        if group:
            write_frames(folder, split, *map(np.stack, zip(*group, strict=True)))
    for world, record in _records(worlds, "identities.jsonl"):
        for voice in record["voices"]:
            samples = read_audio(world / voice).to_mono().resample(sampling_rate).samples[0]
            speech.setdefault(record["split"], []).append(samples)
    for split, utterances in speech.items():
        write_speech(folder, split, utterances)
        counts["utterances"] += len(utterances)
    return counts


def _read_clip(path: Path, num_frames: int, sampling_rate: int) -> tuple[np.ndarray, Tensor | None]:
    """Pictures uint8 ``[F, H, W, 3]`` and sound ``[N]`` of a clip; a still is one frame without sound."""
    if num_frames == 1:
        return np.asarray(read_image(path).convert("RGB"))[None], None
    video, audio = read_video(path)
    return video.frames.numpy(), None if audio is None else audio.to_mono().resample(sampling_rate).samples[0]


def _face_boxes(world: Path, record: dict) -> np.ndarray:
    """Boxes ``[F, S, 4]`` of a clip's faces: in the truth of a clip, in the record of a still."""
    if "truth" in record:
        return np.load(world / record["truth"])["face_box"]
    return np.array(record["face_boxes"], np.float32)[None]


def _records(worlds: Sequence[Path], name: str) -> Iterator[tuple[Path, dict]]:
    for world in map(Path, worlds):
        with open(world / name, encoding="utf-8") as file:
            yield from ((world, json.loads(line)) for line in file if line.strip())
