"""Sound of any container to samples. Letters: C channels, N samples."""

import os
from collections.abc import Iterator

import numpy as np
import torch
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from iap_pipelines.media.containers import audio_stream, check_complete, check_memory, decoded_frames, open_container
from iap_pipelines.media.errors import MediaError
from iap_pipelines.types import AudioSamples, check_positive


MIN_SAMPLING_RATE, MAX_SAMPLING_RATE = 1_000, 768_000
"""Sampling rates that sound is recorded at, in hertz; a file that states another one is damaged."""

_MAX_PEAK = 8.0
"""Lossy codecs overshoot full scale a little. Samples far beyond it are in another unit (or not sound)."""

_GAP_SECONDS = 0.02
"""Jumps of the clock up to here are rounding (WebM counts in milliseconds) and are closed."""


def read_audio(path: str | os.PathLike[str], *, max_seconds: float | None = None) -> AudioSamples:
    """Read the sound of a sound or video file.

    Samples that overshoot full scale, as lossy codecs produce, are clamped to [-1, 1]. Gaps become silence.

    Args:
        path: the file.
        max_seconds: length of the part to read, from the first sample. ``None``: all of it.

    Returns:
        Samples ``[C, N]`` with the channels and the rate of the file.

    Raises:
        MediaError: for a file that is missing, without sound, damaged, cut short, or too long to decode.
        ValueError: for a ``max_seconds`` that is not positive.
    """
    if max_seconds is not None:
        check_positive("max_seconds", max_seconds, "seconds")
    with open_container(path) as container:
        audio = decode_audio(path, container, start_seconds=None, max_seconds=max_seconds)
    if audio is None:
        raise MediaError(path, "it has no sound")
    return audio


_PREROLL_SECONDS = 1.0
"""Decoded before a piece that is sought: codecs need some packets before what they give is right."""


class SeekError(Exception):
    """The place cannot be reached by seeking: there is no index, no clock, or what lies there does not decode."""


def decode_audio(
    path: str | os.PathLike[str],
    container: InputContainer,
    *,
    start_seconds: float | None,
    max_seconds: float | None,
    seek: bool = False,
) -> AudioSamples | None:
    """Decode the first audio stream of a container that was just opened.

    Args:
        path: the file, for messages.
        container: where to read from.
        start_seconds: time of sample 0 on the clock of the file; earlier sound is dropped, a later start is silence.
            ``None``: where the sound starts.
        max_seconds: length of the part to decode. ``None``: to the end.
        seek: go to the second before ``start_seconds`` instead of decoding everything before it.

    Returns:
        Samples ``[C, N]``, or ``None`` without an audio stream or when it is empty.

    Raises:
        SeekError: when ``seek`` is asked for and impossible; from the start it may still be possible.
    """
    stream = audio_stream(path, container)
    if stream is None:
        return None
    stream_start = float((stream.start_time or 0) * stream.time_base)
    skipped = 0.0 if start_seconds is None else start_seconds - stream_start
    check_complete(path, stream, None if max_seconds is None else max_seconds + max(0.0, skipped))
    timeline = None
    frames = decoded_frames(path, container, stream)
    for frame in _sought(frames, container, stream, start_seconds) if seek else frames:
        if timeline is None:
            timeline = _Timeline(path, stream, frame, start_seconds, max_seconds)
        timeline.add(frame)
        if timeline.is_full:
            break
    samples = None if timeline is None else timeline.samples()
    if samples is None:
        return None
    _check_scale(path, samples)
    return AudioSamples(torch.from_numpy(samples.clip(-1, 1)), timeline.sampling_rate)


def _sought(
    frames: Iterator[AudioFrame], container: InputContainer, stream: AudioStream, start_seconds: float
) -> Iterator[AudioFrame]:
    """Frames from shortly before a time on."""
    try:
        container.seek(int((start_seconds - _PREROLL_SECONDS) / stream.time_base), stream=stream)
        first = next(frames, None)
        if first is None or first.time is None or first.time > start_seconds:
            raise SeekError("what was reached lies behind the place, or has no time")
        yield first
        yield from frames
    except (MediaError, OSError, ValueError) as error:
        raise SeekError(str(error)) from error


class _Timeline:
    """Puts decoded frames where their timestamps say."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        stream: AudioStream,
        first: AudioFrame,
        start_seconds: float | None,
        max_seconds: float | None,
    ) -> None:
        self.path = path
        self.sampling_rate = first.sample_rate
        self.num_channels = len(first.layout.channels)
        if not MIN_SAMPLING_RATE <= self.sampling_rate <= MAX_SAMPLING_RATE:
            raise MediaError(
                path,
                f"its sampling rate is {self.sampling_rate} Hz, expected {MIN_SAMPLING_RATE} to {MAX_SAMPLING_RATE}",
            )
        first_seconds = first.time or 0.0
        self.start_seconds = first_seconds if start_seconds is None else start_seconds
        self.limit = None if max_seconds is None else max(1, round(max_seconds * self.sampling_rate))
        self.stated_end = self._stated_end(stream)
        self.end: int | None = None
        self.pieces: list[tuple[int, np.ndarray]] = []

    def _stated_end(self, stream: AudioStream) -> int | None:
        if stream.duration is None:
            return None
        seconds = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
        return round((seconds - self.start_seconds) * self.sampling_rate)

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self.end is not None and self.end >= self.limit

    def add(self, frame: AudioFrame) -> None:
        if frame.sample_rate != self.sampling_rate or len(frame.layout.channels) != self.num_channels:
            raise MediaError(self.path, "its sound changes sampling rate or channels on the way")
        samples = _to_float(frame)
        start = self.end or 0
        if frame.time is not None:
            stated = round((frame.time - self.start_seconds) * self.sampling_rate)
            # Before the first piece any offset counts; later a clock that jumps back or trembles does not.
            if self.end is None or stated - self.end > _GAP_SECONDS * self.sampling_rate:
                start = stated
        self.end = start + samples.shape[1]
        if self.end > 0:  # a late piece of a long file must not hold everything before it in memory
            self.pieces.append((start, samples))
        check_memory(self.path, self._length() * self.num_channels * 4)

    def _length(self) -> int:
        return self.end if self.limit is None else min(self.end, self.limit)

    def samples(self) -> np.ndarray | None:
        """Lay all pieces out, float32 ``[C, N]``, silence between them; ``None`` when nothing is left."""
        if not self.pieces:
            return None
        length = self._length()
        last_start = self.pieces[-1][0]
        # An encoder fills its last frame up; the container knows where the sound really ends.
        if self.stated_end is not None and last_start < self.stated_end < length:
            length = self.stated_end
        if length <= 0:
            return None
        samples = np.zeros((self.num_channels, length), dtype=np.float32)
        for start, piece in self.pieces:
            piece = piece[:, max(0, -start) :]  # what sounds before sample 0 is dropped
            room = samples[:, max(0, start) :][:, : piece.shape[1]]
            room[:] = piece[:, : room.shape[1]]
        return samples


def _to_float(frame: AudioFrame) -> np.ndarray:
    """Samples of one frame, float32 ``[C, n]``, full scale at 1."""
    data = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(-1, len(frame.layout.channels)).T
    if data.dtype == np.uint8:
        return (data.astype(np.float32) - 128) / 128
    if np.issubdtype(data.dtype, np.integer):
        return (data / float(-np.iinfo(data.dtype).min)).astype(np.float32)
    return data.astype(np.float32)


def _check_scale(path: str | os.PathLike[str], samples: np.ndarray) -> None:
    peak = np.abs(samples).max()
    if not np.isfinite(peak):
        raise MediaError(path, "its sound contains NaN or infinity")
    if peak > _MAX_PEAK:
        raise MediaError(path, f"its samples reach {peak:.4g}, full scale is 1: they are in another unit")
