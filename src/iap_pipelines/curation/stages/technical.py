"""Measures of picture and sound that need no model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from iap_pipelines.curation.records import Clip, Source, Technical
from iap_pipelines.curation.stage import Known, Stage
from iap_pipelines.media import iterate_frames, read_sound
from iap_pipelines.types import AudioSamples


ROWS = 240
"""Pictures are brought to this short side, so that sharpness means the same whatever the size of the source."""
_BLACK_LUMA, _BLACK_SPREAD = 24, 4.0
_STILL_CHANGE = 0.35
"""Grey levels; what a codec makes of a held picture lies below."""
_FULL_SCALE = 0.999
_ENERGY_SHARE = 0.99
_MIN_LOUDNESS_SECONDS = 0.4  # one block of BS.1770


@dataclass(kw_only=True)
class MeasureTechnical(Stage):
    """Looks at a few pictures per second, and listens to all of the sound."""

    name = "technical"
    version = 2
    reads = (Source,)
    adds = (Technical,)

    pictures_per_second: float = 4.0
    """How many pictures are looked at."""

    def process(self, unit: Clip, known: Known) -> Iterable[Technical]:
        span = {"start_seconds": unit.start_seconds, "end_seconds": unit.end_seconds}
        pictures = iterate_frames(known.file, **span, short_side=ROWS, max_rate=self.pictures_per_second)
        grey = [to_grey(picture) for _, picture in pictures]
        sound = read_sound(known.file, start_seconds=unit.start_seconds, max_seconds=unit.clip_seconds)
        yield Technical(clip_id=unit.clip_id, **picture_measures(grey), **sound_measures(sound))


def to_grey(picture: np.ndarray) -> np.ndarray:
    """RGB uint8 ``[H, W, 3]`` to grey uint8 with a short side of `ROWS` pixels."""
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    scale = ROWS / min(grey.shape)
    if scale == 1:
        return grey
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def picture_measures(grey: Sequence[np.ndarray]) -> dict[str, float]:
    """Columns of `Technical` that describe pictures, from grey pictures ``[H, W]`` of one clip."""
    if not grey:
        raise ValueError("the clip has no picture: it lies between two")
    top, bottom, left, right = black_borders(grey)
    inner = [picture[top:bottom, left:right] for picture in grey]
    softened = [cv2.GaussianBlur(picture, (5, 5), 0).astype(np.int16) for picture in inner]
    changes = [float(np.abs(b - a).mean()) for a, b in zip(softened[:-1], softened[1:], strict=True)]
    height, width = grey[0].shape
    return {
        "luma": float(np.mean([picture.mean() for picture in inner])),
        "sharpness": float(np.median([cv2.Laplacian(picture, cv2.CV_64F).var() for picture in inner])),
        "motion": float(np.mean(changes)) if changes else 0.0,
        "frozen_share": float(np.mean([change < _STILL_CHANGE for change in changes])) if changes else 1.0,
        "border_share": 1 - (bottom - top) * (right - left) / (height * width),
        "text_share": text_share(inner),
    }


def black_borders(grey: Sequence[np.ndarray]) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what is not black in every picture. A picture that is black has no borders."""
    stack = np.stack(grey).astype(np.float32)
    rows = (stack.mean(axis=2) > _BLACK_LUMA) | (stack.std(axis=2) > _BLACK_SPREAD)
    columns = (stack.mean(axis=1) > _BLACK_LUMA) | (stack.std(axis=1) > _BLACK_SPREAD)
    rows, columns = np.flatnonzero(rows.any(axis=0)), np.flatnonzero(columns.any(axis=0))
    if len(rows) == 0 or len(columns) == 0:
        return 0, stack.shape[1], 0, stack.shape[2]
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def text_share(grey: Sequence[np.ndarray]) -> float:
    """Share of the picture that lies on lines of overlaid text.

    Subtitles and logos stand still while the picture behind them moves, and are rows of steep strokes: edges that stay
    in place are joined sideways; what is then wide, low, and full of strokes is a line.
    """
    steep = [cv2.morphologyEx(picture, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) for picture in grey]
    lasting = (np.quantile(np.stack(steep), 0.25, axis=0) > 90).astype(np.uint8)
    joined = cv2.morphologyEx(lasting, cv2.MORPH_CLOSE, np.ones((1, 13), np.uint8))
    joined = cv2.morphologyEx(joined, cv2.MORPH_OPEN, np.ones((4, 9), np.uint8))
    count, _, boxes, _ = cv2.connectedComponentsWithStats(joined)
    area = sum(
        width * height
        for left, top, width, height, size in boxes[1:count].tolist()
        if width > 2.5 * height
        and 5 <= height <= 0.2 * grey[0].shape[0]
        and size > 0.5 * width * height
        and _strokes(lasting[top : top + height, left : left + width]) > 0.5 * width / height
    )
    return area / grey[0].size


def _strokes(edges: np.ndarray) -> float:
    """How often the middle rows of a line go from background to letter."""
    middle = edges[len(edges) // 4 : max(len(edges) // 4 + 1, 3 * len(edges) // 4)]
    return float((np.diff(middle.astype(np.int8), axis=1) == 1).sum(axis=1).mean())


def sound_measures(sound: AudioSamples | None) -> dict[str, float | None]:
    """Columns of `Technical` that describe sound."""
    if sound is None:
        return {"loudness_lufs": None, "peak": None, "clipped_share": None, "bandwidth_hz": None}
    magnitude = sound.samples.abs()
    return {
        "loudness_lufs": loudness(sound),
        "peak": float(magnitude.max()),
        "clipped_share": float((magnitude >= _FULL_SCALE).float().mean()),
        "bandwidth_hz": bandwidth(sound),
    }


def loudness(sound: AudioSamples) -> float | None:
    """Gated loudness of ITU-R BS.1770-4 in LUFS; ``None`` for silence, and for less than 0.4 s."""
    if sound.duration_seconds < _MIN_LOUDNESS_SECONDS or not sound.samples.any():
        return None
    from torchaudio.functional import loudness as measure

    value = float(measure(sound.samples, sound.sampling_rate))
    return value if np.isfinite(value) else None


def bandwidth(sound: AudioSamples) -> float | None:
    """Frequency in hertz below which 99 % of the energy lies; ``None`` for silence."""
    samples = sound.to_mono().samples[0]
    size = min(4096, len(samples))
    power = torch.stft(samples, size, window=torch.hann_window(size), center=False, return_complex=True).abs() ** 2
    power = power.sum(dim=1)
    total = float(power.sum())
    if total <= 0:
        return None
    index = int(torch.searchsorted(power.cumsum(0), torch.tensor(_ENERGY_SHARE * total)))
    return min(index, len(power) - 1) * sound.sampling_rate / size
