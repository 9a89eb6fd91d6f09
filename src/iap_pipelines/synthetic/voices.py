"""The voice bank: every word of the vocabulary, spoken once by every person, kept on disk."""

import json
import os
from pathlib import Path
from typing import Protocol

import numpy as np

from iap_pipelines.synthetic.sound import SAMPLING_RATE, normalise
from iap_pipelines.synthetic.vocabulary import SPOKEN_WORDS


VOICE_BACKENDS = ("kokoro", "formant")
_SPEECH_LEVEL = 0.11


class VoiceBackend(Protocol):
    """Something that can speak in many voices."""

    name: str

    def speak_words(self, index: int) -> dict[str, np.ndarray]:
        """Speak every word of the vocabulary once with voice ``index``: mono float32 at 16 kHz."""
        ...


def open_backend(name: str, seed: int, *, kokoro_voices: str | Path | None = None) -> VoiceBackend:
    """Make a backend by name.

    Raises:
        ValueError: for an unknown name.
        FileNotFoundError: when Kokoro's style vectors are not there; the message says how to get them.
    """
    if name == "kokoro":
        from iap_pipelines.synthetic.kokoro import KokoroVoices

        return KokoroVoices(kokoro_voices, seed)
    if name == "formant":
        from iap_pipelines.synthetic.formant import FormantVoices

        return FormantVoices(seed)
    raise ValueError(f"`voice_backend` must be one of {VOICE_BACKENDS}, but got {name!r}.")


class VoiceBank:
    """Words by voice. A folder of ``voice-0007.npz`` (int16 per word) and a ``bank.json`` that says what is in it."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._spoken: dict[int, dict[str, np.ndarray]] = {}

    def words(self, index: int) -> dict[str, np.ndarray]:
        """Every word by voice ``index``: float32 samples at 16 kHz, at speech level.

        Raises:
            FileNotFoundError: for a voice that has not been spoken yet.
        """
        if index not in self._spoken:
            path = self._path(index)
            if not path.exists():
                raise FileNotFoundError(f"Voice {index} is not in the bank {self.folder.name}: run fill_bank first.")
            with np.load(path) as stored:
                self._spoken[index] = {word: stored[word].astype(np.float32) / 32767 for word in SPOKEN_WORDS}
        return self._spoken[index]

    def missing(self, count: int) -> list[int]:
        """The voices among the first ``count`` that have not been spoken yet."""
        return [index for index in range(count) if not self._path(index).exists()]

    def fill(self, indices: list[int], backend: VoiceBackend) -> None:
        """Let ``backend`` speak voices into the folder, one whole file at a time: it can be stopped and run again."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for index in indices:
            spoken = {
                word: _to_int16(normalise(samples, _SPEECH_LEVEL))
                for word, samples in backend.speak_words(index).items()
            }
            temporary = self._path(index).with_suffix(f".{os.getpid()}.tmp")
            with temporary.open("wb") as file:
                np.savez(file, **spoken)
            temporary.replace(self._path(index))

    def claim(self, backend_name: str, seed: int) -> None:
        """Write down whose voices these are.

        Raises:
            ValueError: when the folder holds the voices of another world.
        """
        mine = {
            "voice_backend": backend_name,
            "seed": seed,
            "sampling_rate": SAMPLING_RATE,
            "words": list(SPOKEN_WORDS),
        }
        path = self.folder / "bank.json"
        if path.exists():
            found = json.loads(path.read_text())
            if found != mine:
                raise ValueError(
                    f"`voice_bank` {self.folder.name} was made for {_short(found)}, but this world is {_short(mine)}: "
                    "give another folder."
                )
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(mine, indent=1))
        temporary.replace(path)

    def _path(self, index: int) -> Path:
        return self.folder / f"voice-{index:04d}.npz"


def fill_bank(
    folder: str | Path,
    count: int,
    seed: int,
    *,
    voice_backend: str = "kokoro",
    kokoro_voices: str | Path | None = None,
) -> VoiceBank:
    """Speak the first ``count`` voices of a world, those that the folder does not have yet.

    Example:
        >>> bank = fill_bank("bank", 2, seed=1, voice_backend="formant")  # doctest: +SKIP
    """
    bank = VoiceBank(folder)
    bank.claim(voice_backend, seed)
    missing = bank.missing(count)
    if missing:
        bank.fill(missing, open_backend(voice_backend, seed, kokoro_voices=kokoro_voices))
    return bank


def _to_int16(samples: np.ndarray) -> np.ndarray:
    return np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)


def _short(bank: dict) -> str:
    return f"backend {bank.get('voice_backend')!r}, seed {bank.get('seed')}, {len(bank.get('words', ()))} words"
