"""From a synthetic world on disk to the cache that the codecs are trained on."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from iap_pipelines.media import read_audio, read_video
from iap_pipelines.training.autoencoders.data import write_frames, write_speech


def cache_world(world: Path, folder: Path, *, sampling_rate: int, clips_per_file: int = 100) -> dict[str, int]:
    """
    Decode a world on disk (`clips.jsonl`, `identities.jsonl`) into a cache.

    Args:
        world: folder written by `iap synthesize`.
        folder: the cache; must not hold frames or speech yet, so that nothing is cached twice.
        sampling_rate: of the cached speech.
        clips_per_file: clips of one size per file of frames.

    Returns:
        Numbers of cached clips and utterances.

    Raises:
        ValueError: if the cache is not empty.
    """
    if any(Path(folder).glob("*/*")):
        raise ValueError(f"`folder` must be empty or not exist yet, but {folder} holds a cache.")
    counts = {"clips": 0, "utterances": 0}
    pending: dict[tuple[str, tuple[int, ...]], list[np.ndarray]] = {}
    speech: dict[str, list[Tensor]] = {}
    for record in _read_lines(Path(world) / "clips.jsonl"):
        video, audio = read_video(Path(world) / record["file"])
        group = pending.setdefault((record["split"], tuple(video.frames.shape)), [])
        group.append(video.frames.numpy())
        counts["clips"] += 1
        if len(group) == clips_per_file:
            write_frames(folder, record["split"], np.stack(group))
            group.clear()
        if audio is not None:
            speech.setdefault(record["split"], []).append(audio.to_mono().resample(sampling_rate).samples[0])
    for (split, _), group in pending.items():
        if group:
            write_frames(folder, split, np.stack(group))
    for record in _read_lines(Path(world) / "identities.jsonl"):
        for voice in record["voices"]:
            samples = read_audio(Path(world) / voice).to_mono().resample(sampling_rate).samples[0]
            speech.setdefault(record["split"], []).append(samples)
    for split, utterances in speech.items():
        write_speech(folder, split, utterances)
        counts["utterances"] += len(utterances)
    return counts


def _read_lines(path: Path) -> Iterator[dict]:
    with open(path, encoding="utf-8") as file:
        yield from (json.loads(line) for line in file if line.strip())
