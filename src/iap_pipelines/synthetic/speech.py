"""Utterances laid out in time from the words of a voice bank, and what lips do with them."""

from dataclasses import dataclass

import numpy as np

from iap_pipelines.synthetic.sound import SAMPLING_RATE, resample


@dataclass(frozen=True)
class PlacedWord:
    """One word in a clip; times in seconds."""

    subject: int
    """Counted from 0."""
    line: int
    word: str
    start: float
    end: float


@dataclass(frozen=True)
class Utterance:
    """What is heard in a clip: every subject's own voice, and when each word is said."""

    tracks: np.ndarray
    """Float32 ``[S, N]``, one row per subject."""
    words: tuple[PlacedWord, ...]


def lay_out(
    lines: list[tuple[int, tuple[str, ...]]],
    banks: list[dict[str, np.ndarray]],
    num_samples: int,
    generator: np.random.Generator,
) -> Utterance | None:
    """Say lines one after the other.

    Args:
        lines: in order, who speaks (index into ``banks``) and the words.
        banks: the spoken words of each subject.
        num_samples: length of the clip.
        generator: source of pauses and of small changes in speed and level.

    Returns:
        The utterance, or ``None`` when the lines are too long for the clip.
    """
    spoken = [[_vary(banks[subject][word], generator) for word in words] for subject, words in lines]
    gaps = [
        generator.uniform(0.03, 0.10) if k else generator.uniform(0.10, 0.22)
        for said in spoken
        for k in range(len(said))
    ]
    total = sum(len(piece) for said in spoken for piece in said)
    room = num_samples - int(0.06 * SAMPLING_RATE) - total
    if room < 0.5 * SAMPLING_RATE * sum(gaps):
        return None
    slack = max(room / SAMPLING_RATE - sum(gaps), 0.0)
    gaps = [gap * min(1.0, room / (sum(gaps) * SAMPLING_RATE)) for gap in gaps]
    gaps[0] += slack * generator.uniform(0.0, 0.6)
    return _place(lines, spoken, gaps, num_samples, len(banks))


def _place(lines: list, spoken: list, gaps: list[float], num_samples: int, num_subjects: int) -> Utterance:
    tracks = np.zeros((num_subjects, num_samples), np.float32)
    words, position, pauses = [], 0, iter(gaps)
    for number, ((subject, texts), said) in enumerate(zip(lines, spoken, strict=True)):
        for text, piece in zip(texts, said, strict=True):
            position += int(next(pauses) * SAMPLING_RATE)
            end = min(position + len(piece), num_samples)
            tracks[subject, position:end] += piece[: end - position]
            times = round(position / SAMPLING_RATE, 4), round(end / SAMPLING_RATE, 4)
            words.append(PlacedWord(subject, number, text, *times))
            position = end
    return Utterance(tracks, tuple(words))


def _vary(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    speed = generator.uniform(0.97, 1.03)
    level = 10 ** (generator.uniform(-2.0, 1.0) / 20)
    return resample(samples, SAMPLING_RATE * speed, SAMPLING_RATE) * level


def frame_edges(num_frames: int, frame_rate: float) -> np.ndarray:
    """Samples between which each frame is shown, int ``[num_frames + 1]``."""
    return np.round(np.arange(num_frames + 1) * SAMPLING_RATE / frame_rate).astype(int)


def mouth_movement(track: np.ndarray, num_frames: int, frame_rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Read from a voice what the lips do.

    Args:
        track: one person's voice alone, float32 ``[N]``.
        num_frames: F.
        frame_rate: frames per second.

    Returns:
        Opening ``[F]`` in [0, 1], from the loudness while the frame is shown, and rounding ``[F]`` from -1 (spread, as
        in "cheese") to 1 (round, as in "moon"), from the centre of the spectrum. Silence closes the mouth exactly.
    """
    edges = frame_edges(num_frames, frame_rate)
    pieces = [track[start:stop] for start, stop in zip(edges, edges[1:], strict=False)]
    level = np.array([np.sqrt(np.mean(piece**2)) if piece.size else 0.0 for piece in pieces])
    opening = np.clip((level / _FULL_LEVEL) ** 0.7, 0, 1)
    opening[level < _SILENCE] = 0.0
    rounding = np.array([_rounding(piece) if open_ > 0 else 0.0 for piece, open_ in zip(pieces, opening, strict=True)])
    return opening, rounding


_FULL_LEVEL = 0.16
"""Level of a loud vowel: speech in the bank is brought to 0.11."""
_SILENCE = 0.006


def _rounding(piece: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(piece * np.hanning(len(piece)))) ** 2
    frequency = np.fft.rfftfreq(len(piece), 1 / SAMPLING_RATE)
    band = (frequency > 250) & (frequency < 3500)
    centre = float((power[band] * frequency[band]).sum() / max(power[band].sum(), 1e-12))
    return float(np.clip((950 - centre) / 450, -1, 1))
