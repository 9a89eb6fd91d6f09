"""A world as files: clips with sound, references, and everything that is true about them."""

import json
import multiprocessing
import os
import wave
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from PIL import Image

from iap_pipelines.media import write_video
from iap_pipelines.synthetic.config import WorldConfig
from iap_pipelines.synthetic.sound import SAMPLING_RATE
from iap_pipelines.synthetic.vocabulary import SPOKEN_WORDS
from iap_pipelines.synthetic.voices import VoiceBank, open_backend
from iap_pipelines.synthetic.world import World, caption_words, identity_name


_LIBRARIES = ("skia-python", "numpy", "av", "pillow", "onnxruntime")


def synthesize(
    config: WorldConfig,
    out: str | Path,
    *,
    workers: int = 1,
    voice_bank: str | Path | None = None,
    kokoro_voices: str | Path | None = None,
    report: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Write a world. It can be stopped at any moment and started again: what is complete is kept.

    Args:
        config: what the world is made from.
        out: folder to write; layout in the README of the synthetic world.
        workers: processes.
        voice_bank: folder of spoken words, filled where voices are missing; ``None`` takes ``out/voices``. Worlds of
            one seed and backend can share it.
        kokoro_voices: folder of Kokoro's style vectors; needed only while voices are missing from the bank.
        report: called with a step's name, the number done and the total after every step of progress.

    Returns:
        The path of ``clips.jsonl``, which is written last.

    Raises:
        ValueError: when ``out`` holds another world, or ``voice_bank`` other voices.
        FileNotFoundError: when voices must be spoken and Kokoro's style vectors are not there.

    Example:
        >>> synthesize(WorldConfig(num_identities=8, voice_backend="formant"), "world")  # doctest: +SKIP
    """
    if workers < 1:
        raise ValueError(f"`workers` must be 1 or more, but got {workers!r}.")
    out = Path(out)
    bank_folder = Path(voice_bank) if voice_bank is not None else out / "voices"
    _claim(out, config)
    for folder in ("clips", "truth", "references"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    _fill_bank(bank_folder, config, workers, kokoro_voices, report)
    world = World(config, VoiceBank(bank_folder))
    start = partial(_start_worker, config, bank_folder, out)
    identities = range(config.num_identities)
    clips = [index for index in range(config.num_clips) if not _clip_done(out, world, index)]
    with _Pool(workers, start) as run:
        _follow("references", run(_write_references, identities), config.num_identities, report)
        _follow("clips", run(_write_clip, clips), len(clips), report)
    _write_lines(out / "identities.jsonl", (world.describe_identity(index) for index in identities))
    return _write_lines(out / "clips.jsonl", (world.describe_clip(index) for index in range(config.num_clips)))


def _claim(out: Path, config: WorldConfig) -> None:
    """Write ``world.json``, or refuse a folder that holds another world."""
    path = out / "world.json"
    mine = json.loads(json.dumps(asdict(config)))
    if path.exists():
        found = asdict(WorldConfig.from_dict(json.loads(path.read_text())["config"]))
        different = sorted(key for key in mine.keys() | found.keys() if mine.get(key) != found.get(key))
        if different:
            raise ValueError(
                f"`out` {out.name} holds a world with other settings ({', '.join(different)}): give another folder "
                f"or the "
                "settings in its world.json."
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    content = {
        "config": mine,
        "spoken_words": list(SPOKEN_WORDS),
        "caption_words": caption_words(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }
    _replace(path, json.dumps(content, indent=1).encode())


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _fill_bank(
    folder: Path,
    config: WorldConfig,
    workers: int,
    kokoro_voices: str | Path | None,
    report: Callable[[str, int, int], None] | None,
) -> None:
    bank = VoiceBank(folder)
    bank.claim(config.voice_backend, config.seed)
    missing = bank.missing(config.num_identities)
    if not missing:
        return
    if config.voice_backend == "kokoro":
        open_backend("kokoro", config.seed, kokoro_voices=kokoro_voices)  # fails here, before any process starts
    # Voices 4g and 4g + 2, 4g + 1 and 4g + 3 share what is costly: keep them together.
    groups: dict[int, list[int]] = {}
    for index in missing:
        groups.setdefault(2 * (index // 4) + index % 2, []).append(index)
    start = partial(_start_speaker, config, folder, kokoro_voices)
    with _Pool(min(workers, len(groups)), start) as run:
        _follow("voices", run(_write_voices, list(groups.values())), len(groups), report)


class _Pool:
    """Runs a function over items, in order, in this process or in several."""

    def __init__(self, workers: int, start: Callable[[], None]) -> None:
        self._executor = None
        if workers > 1:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(workers, mp_context=context, initializer=start)
        else:
            start()

    def __enter__(self) -> Callable[[Callable[[int], None], Iterable], Iterator[None]]:
        if self._executor is None:
            return lambda function, items: (function(item) for item in items)
        return lambda function, items: self._executor.map(function, items, chunksize=4)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=kind is not None)


def _follow(step: str, progress: Iterator[None], total: int, report: Callable[[str, int, int], None] | None) -> None:
    for done, _ in enumerate(progress, start=1):
        if report is not None:
            report(step, done, total)


_worker: dict[str, object] = {}
"""What a process keeps between items: filled by its start function."""


def _start_worker(config: WorldConfig, bank_folder: Path, out: Path) -> None:
    _worker.update(world=World(config, VoiceBank(bank_folder)), out=out)


def _start_speaker(config: WorldConfig, folder: Path, kokoro_voices: str | Path | None) -> None:
    backend = open_backend(config.voice_backend, config.seed, kokoro_voices=kokoro_voices)
    _worker.update(bank=VoiceBank(folder), backend=backend)


def _write_voices(indices: list[int]) -> None:
    _worker["bank"].fill(indices, _worker["backend"])


def _clip_done(out: Path, world: World, index: int) -> bool:
    # The truth is written first and both appear whole: a film that is there is complete.
    clip_id = f"{world.split_of(index // world.config.clips_per_identity)}-{index:06d}"
    return (out / "clips" / f"{clip_id}.mp4").exists()


def _write_clip(index: int) -> None:
    world, out = _worker["world"], _worker["out"]
    clip = world.render_clip(index)
    truth = {"mouth_opening": clip.mouth_opening, "yaw": clip.yaw, "face_box": clip.face_box}
    path = out / clip.record["truth"]
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.savez(file, **truth)
    temporary.replace(path)
    write_video(
        clip.frames,
        clip.samples,
        out / clip.record["file"],
        frame_rate=world.config.frame_rate,
        sampling_rate=SAMPLING_RATE,
    )


def _write_references(index: int) -> None:
    world, out = _worker["world"], _worker["out"]
    folder = out / "references" / identity_name(index)
    folder.mkdir(parents=True, exist_ok=True)
    for view in range(world.config.num_reference_views):
        path = folder / f"face_{view}.png"
        if not path.exists():
            temporary = path.with_suffix(f".{os.getpid()}.tmp")
            Image.fromarray(world.render_face(index, view)).save(temporary, format="PNG")
            temporary.replace(path)
    for number in range(world.config.num_reference_voices):
        path = folder / f"voice_{number}.wav"
        if not path.exists():
            _write_wav(path, world.speak_reference(index, number))


def _write_wav(path: Path, samples: np.ndarray) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLING_RATE)
        file.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
    temporary.replace(path)


def _write_lines(path: Path, records: Iterable[dict]) -> Path:
    _replace(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode())
    return path


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
