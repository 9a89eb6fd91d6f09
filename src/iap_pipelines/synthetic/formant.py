"""A buzzing formant synthesiser: voices that need no model and no file, for tests and for worlds without `kokoro`.

It sounds like a toy, but speaks every word with its own vowels and consonants, and every voice has its own pitch,
throat length and timbre. Sounds are sums of harmonics, weighted by the resonances of a throat, plus shaped noise.
"""

from dataclasses import dataclass

import numpy as np

from iap_pipelines.synthetic.people import person_kind
from iap_pipelines.synthetic.sound import SAMPLING_RATE, trim
from iap_pipelines.synthetic.vocabulary import SPOKEN_WORDS


@dataclass(frozen=True)
class _Phone:
    formants: tuple[float, float, float]
    """In hertz, of an adult man."""
    seconds: float
    voice: float
    noise: float = 0.0
    noise_centre: float = 4000.0


_NASAL = (280.0, 1100.0, 2300.0)
_PHONES: dict[str, tuple[_Phone, ...]] = {
    "i": (_Phone((280, 2250, 2900), 0.11, 1.0),),
    "ɪ": (_Phone((400, 1950, 2550), 0.08, 1.0),),
    "ɛ": (_Phone((550, 1800, 2500), 0.11, 1.0),),
    "æ": (_Phone((680, 1700, 2450), 0.13, 1.0),),
    "ɑ": (_Phone((730, 1100, 2450), 0.13, 1.0),),
    "ɔ": (_Phone((580, 880, 2450), 0.13, 1.0),),
    "u": (_Phone((310, 870, 2250), 0.12, 0.9),),
    "ə": (_Phone((500, 1450, 2450), 0.06, 0.8),),
    "ɜ": (_Phone((480, 1350, 1700), 0.12, 1.0),),
    "A": (_Phone((520, 1850, 2500), 0.08, 1.0), _Phone((330, 2150, 2700), 0.06, 0.9)),
    "I": (_Phone((720, 1250, 2450), 0.09, 1.0), _Phone((380, 2000, 2600), 0.07, 0.9)),
    "O": (_Phone((520, 950, 2400), 0.08, 1.0), _Phone((350, 820, 2300), 0.07, 0.9)),
    "W": (_Phone((720, 1250, 2450), 0.09, 1.0), _Phone((360, 900, 2300), 0.07, 0.9)),
    "l": (_Phone((350, 1000, 2600), 0.06, 0.6),),
    "ɹ": (_Phone((380, 1150, 1600), 0.06, 0.6),),
    "j": (_Phone((270, 2250, 3000), 0.05, 0.6),),
    "w": (_Phone((300, 650, 2200), 0.05, 0.6),),
    "m": (_Phone(_NASAL, 0.07, 0.4),),
    "n": (_Phone((280, 1600, 2500), 0.06, 0.4),),
    "s": (_Phone(_NASAL, 0.10, 0.0, 0.35, 6200),),
    "z": (_Phone(_NASAL, 0.08, 0.2, 0.25, 5800),),
    "ʃ": (_Phone(_NASAL, 0.10, 0.0, 0.40, 3200),),
    "ʧ": (_Phone(_NASAL, 0.04, 0.0), _Phone(_NASAL, 0.07, 0.0, 0.45, 3400)),
    "f": (_Phone(_NASAL, 0.09, 0.0, 0.20, 5000),),
    "v": (_Phone((300, 1100, 2300), 0.06, 0.3, 0.10, 4500),),
    "h": (_Phone((600, 1400, 2500), 0.05, 0.0, 0.15, 1800),),
    "b": (_Phone((250, 800, 2200), 0.05, 0.08), _Phone((350, 900, 2200), 0.015, 0.5, 0.20, 900)),
    "d": (_Phone((250, 1700, 2600), 0.05, 0.08), _Phone((350, 1700, 2600), 0.015, 0.4, 0.25, 3500)),
    "ɡ": (_Phone((250, 1500, 2200), 0.05, 0.08), _Phone((350, 1600, 2200), 0.015, 0.4, 0.25, 2000)),
    "p": (_Phone(_NASAL, 0.06, 0.0), _Phone(_NASAL, 0.025, 0.0, 0.35, 1000)),
    "t": (_Phone(_NASAL, 0.06, 0.0), _Phone(_NASAL, 0.030, 0.0, 0.40, 4500)),
    "k": (_Phone(_NASAL, 0.06, 0.0), _Phone(_NASAL, 0.030, 0.0, 0.40, 2200)),
    "ɾ": (_Phone((350, 1700, 2600), 0.03, 0.3),),
}


@dataclass(frozen=True)
class Throat:
    """What makes a formant voice this voice."""

    pitch: float
    """Mean fundamental frequency in hertz."""
    length: float
    """Factor on the formants: above 1 for a shorter throat."""
    tilt: float
    """Fall of the spectrum in decibels per octave: more is softer."""
    melody: float
    """Pitch movement within a word, in semitones, up or down."""
    speed: float


class FormantVoices:
    """Formant voices by number, as `voices.VoiceBackend` asks."""

    name = "formant"

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def throat(self, index: int) -> Throat:
        """The recipe of voice ``index``."""
        uniform = np.random.default_rng([self._seed, 2, index]).uniform
        woman = person_kind(index) == "woman"
        return Throat(
            pitch=float(uniform(160, 270) if woman else uniform(80, 150)),
            length=float(uniform(1.08, 1.30) if woman else uniform(0.86, 1.08)),
            tilt=float(uniform(5, 12)),
            melody=float(uniform(-5, 4)),
            speed=float(uniform(0.9, 1.15)),
        )

    def speak_words(self, index: int) -> dict[str, np.ndarray]:
        """Speak every word of the vocabulary once with voice ``index``: mono float32 at 16 kHz, trimmed."""
        generator = np.random.default_rng([self._seed, 3, index])
        throat = self.throat(index)
        return {word: trim(_speak(sounds, throat, generator)) for word, sounds in SPOKEN_WORDS.items()}


def _speak(sounds: str, throat: Throat, generator: np.random.Generator) -> np.ndarray:
    phones = [phone for symbol in sounds if symbol != "ˈ" for phone in _PHONES[symbol]]
    seconds = np.array([phone.seconds for phone in phones]) / throat.speed * 1.25
    middles = np.cumsum(seconds) - seconds / 2
    time = np.arange(int(seconds.sum() * SAMPLING_RATE)) / SAMPLING_RATE

    def track(values: list[float]) -> np.ndarray:
        """Move smoothly from sound to sound."""
        return np.interp(time, middles, values)

    formants = [track([phone.formants[k] * throat.length for phone in phones]) for k in range(3)]
    voice, noise = track([phone.voice for phone in phones]), track([phone.noise for phone in phones])
    centre = track([phone.noise_centre for phone in phones])
    pitch = throat.pitch * 2 ** (throat.melody / 12 * (time / time[-1] - 0.5))
    return (voice * _buzz(pitch, formants, throat.tilt) + noise * _hiss(centre, generator)).astype(np.float32)


def _buzz(pitch: np.ndarray, formants: list[np.ndarray], tilt: float) -> np.ndarray:
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLING_RATE
    total = np.zeros_like(pitch)
    for harmonic in range(1, int(5000 / pitch.min()) + 1):
        frequency = harmonic * pitch
        gain = sum(weight / (1 + ((frequency - f) / width) ** 2)
                   for f, width, weight in zip(formants, (90, 120, 180), (1.0, 0.6, 0.35), strict=True))  # fmt: skip
        total += (gain + 0.01) * harmonic ** (-tilt / 12) * np.sin(harmonic * phase)
    return total


def _hiss(centre: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Noise around a moving frequency: slow noise on a carrier."""
    slow = np.convolve(generator.standard_normal(len(centre) + 15), np.full(16, 0.25), "valid")
    return slow * np.sin(2 * np.pi * np.cumsum(centre) / SAMPLING_RATE)
