"""Long files piece by piece: what is in a file, its pictures one at a time, its sound on the clock of its pictures.

Times are seconds from the first picture, as in `read_frame_times`. Letters: H height, W width.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from iap_pipelines.media.audio import SeekError, decode_audio
from iap_pipelines.media.colour import Planes
from iap_pipelines.media.containers import audio_stream, check_complete, decoded_frames, open_container, video_stream
from iap_pipelines.media.errors import MediaError
from iap_pipelines.media.video import (
    ANY_FRAME_RATE,
    TIME_TOLERANCE_SECONDS,
    mean_rate,
    rate_varies,
    to_planes,
    to_rgb,
    upright_size,
)
from iap_pipelines.types import AudioSamples


logger = logging.getLogger(__name__)

_SEEK_FROM_SECONDS = 15.0
"""Nearer pieces are reached by decoding what comes before: no slower, and never inexact."""


_SAME_TIME_SECONDS = 1e-4


@dataclass(frozen=True)
class PictureInfo:
    """The pictures of a file, all of which were decoded.

    Args:
        width: pixels; upright, with square pixels.
        height: pixels; upright, with square pixels.
        rotation_degrees: clockwise turn that the file asks for: 0, 90, 180 or 270.
        num_frames: pictures.
        frame_rate: mean, in frames per second.
        is_variable: the gaps between pictures differ.
        duration_seconds: from the first picture to the end of the last.
        codec: as FFmpeg calls it.
    """

    width: int
    height: int
    rotation_degrees: int
    num_frames: int
    frame_rate: float
    is_variable: bool
    duration_seconds: float
    codec: str


@dataclass(frozen=True)
class SoundInfo:
    """The sound of a file, all of which was decoded.

    Args:
        sampling_rate: hertz.
        num_channels: channels.
        duration_seconds: from the first sample to the last.
        start_seconds: first sample minus first picture; 0 without pictures.
        codec: as FFmpeg calls it.
    """

    sampling_rate: int
    num_channels: int
    duration_seconds: float
    start_seconds: float
    codec: str


@dataclass(frozen=True)
class MediaInfo:
    """What a file holds; ``None`` for what it does not."""

    pictures: PictureInfo | None
    sound: SoundInfo | None


def probe(path: str | os.PathLike[str]) -> MediaInfo:
    """Decode a whole file once, keeping nothing, and say what is in it.

    Headers are not believed: a file can announce 500 frames and hold 288.

    Raises:
        MediaError: for a file that is missing, no sound or video, damaged, or cut short.
    """
    with open_container(path) as container:
        has_pictures = bool(container.streams.video)
        pictures, first_seconds = _probe_pictures(path, container) if has_pictures else (None, None)
    with open_container(path) as container:
        sound = _probe_sound(path, container, first_seconds)
    return MediaInfo(pictures, sound)


def _probe_pictures(
    path: str | os.PathLike[str], container: InputContainer
) -> tuple[PictureInfo | None, float | None]:
    try:
        stream = video_stream(path, container)
    except MediaError:
        if container.streams.audio:  # a song with a cover picture
            return None, None
        raise
    check_complete(path, stream, None)
    times, size, turn = [], None, 0
    for frame, seconds in _timed(path, container, stream):
        if size is None:
            size, turn = upright_size(stream, frame), round(-frame.rotation) % 360
        times.append(seconds)
    if not times:
        raise MediaError(path, "its video stream has no frames")
    from_first = [seconds - times[0] for seconds in times]
    rate = mean_rate(path, stream, from_first, warn=False)
    info = PictureInfo(
        *size,
        rotation_degrees=turn,
        num_frames=len(times),
        frame_rate=rate,
        is_variable=rate_varies(from_first),
        duration_seconds=from_first[-1] + 1 / rate,
        codec=stream.codec_context.name,
    )
    return info, times[0]


def _probe_sound(
    path: str | os.PathLike[str], container: InputContainer, first_picture_seconds: float | None
) -> SoundInfo | None:
    stream = audio_stream(path, container)
    if stream is None:
        return None
    check_complete(path, stream, None)
    first = last = None
    for frame in decoded_frames(path, container, stream):
        first, last = first or frame, frame
    if first is None:
        return None
    start, end = first.time or 0.0, (last.time or 0.0) + last.samples / last.sample_rate
    return SoundInfo(
        sampling_rate=first.sample_rate,
        num_channels=len(first.layout.channels),
        duration_seconds=end - start,
        start_seconds=0.0 if first_picture_seconds is None else start - first_picture_seconds,
        codec=stream.codec_context.name,
    )


def iterate_frames(
    path: str | os.PathLike[str],
    *,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
    short_side: int | None = None,
    max_rate: float | None = None,
    exact: bool = True,
    for_export: bool = False,
) -> Iterator[tuple[float, np.ndarray | Planes]]:
    """Give the pictures of a piece of a video one at a time, so that memory does not grow with its length.

    Args:
        path: the file.
        start_seconds: first time of the piece.
        end_seconds: end of the piece, which is no part of it. ``None``: to the end.
        short_side: pixels of the shorter side; larger pictures are made smaller. ``None``: as they are.
        max_rate: pictures that follow faster than so many per second are left out. ``None``: all.
        exact: colours as exact as they can be; otherwise ten times as fast, a level or two off.
        for_export: give pictures as the file holds them where `export_frames` can store them so (`to_planes`).

    Yields:
        Time in seconds, and the upright picture with square pixels, RGB uint8 ``[H, W, 3]``, or for export its
        `Planes`.

    Raises:
        MediaError: for a file that is no video, or is damaged within the piece.
    """
    due = start_seconds - TIME_TOLERANCE_SECONDS
    with open_container(path) as container:
        stream = video_stream(path, container)
        for frame, seconds in _timed_from(path, container, stream, start_seconds):
            if end_seconds is not None and seconds >= end_seconds - TIME_TOLERANCE_SECONDS:
                return
            if seconds < due:
                continue
            if max_rate is not None:
                # On a grid, so that the mean rate is the one asked for whatever the file's own.
                steps = np.floor((seconds - start_seconds) * max_rate + TIME_TOLERANCE_SECONDS) + 1
                due = start_seconds + steps / max_rate - TIME_TOLERANCE_SECONDS
            planes = to_planes(path, stream, frame, short_side=short_side) if for_export else None
            if planes is None:
                yield seconds, to_rgb(path, stream, frame, short_side=short_side, exact=exact)
            else:
                yield seconds, planes


def frames_at(path: str | os.PathLike[str], times: Sequence[float]) -> Iterator[np.ndarray]:
    """Give the pictures at some times, of which only these are converted.

    Args:
        path: the file.
        times: when the pictures are shown, in seconds, rising; each as `iterate_frames` gave it.

    Yields:
        For each time the upright picture with square pixels, RGB uint8 ``[H, W, 3]``.

    Raises:
        MediaError: for a file that is no video, is damaged on the way, or ends before the last time.
    """
    waiting = list(times)
    with open_container(path) as container:
        stream = video_stream(path, container)
        for frame, seconds in _timed_from(path, container, stream, waiting[0]) if waiting else ():
            if seconds < waiting[0] - _SAME_TIME_SECONDS:
                continue
            picture = to_rgb(path, stream, frame)
            while waiting and waiting[0] <= seconds + _SAME_TIME_SECONDS:
                yield picture
                waiting.pop(0)
            if not waiting:
                return
    if waiting:
        raise MediaError(path, f"it has no picture at {waiting[0]:.2f} s")


def _timed_from(
    path: str | os.PathLike[str], container: InputContainer, stream: VideoStream, start_seconds: float
) -> Iterator[tuple[VideoFrame, float]]:
    """Decode frames with their time from the first; those before ``start_seconds`` may be missing."""
    frames = _timed(path, container, stream)
    first = next(frames, None)
    if first is None:
        raise MediaError(path, "its video stream has no frames")
    origin = first[1]
    # In an MPEG program stream the first picture after a jump has the time of those that were dropped before it.
    can_seek = container.format.name != "mpeg" and first[0].pts is not None
    if can_seek and start_seconds >= _SEEK_FROM_SECONDS:
        try:
            container.seek(int((origin + start_seconds) / stream.time_base), stream=stream)
            sought = _timed(path, container, stream)
            reached = next(sought)
            if reached[1] - origin <= start_seconds:
                frames, first = sought, reached
            else:
                frames, first = _from_the_start(path, container, stream)
        except (OSError, ValueError, StopIteration):  # no index, or damage in what is skipped
            frames, first = _from_the_start(path, container, stream)
    yield first[0], first[1] - origin
    for frame, seconds in frames:
        yield frame, seconds - origin


def _from_the_start(
    path: str | os.PathLike[str], container: InputContainer, stream: VideoStream
) -> tuple[Iterator[tuple[VideoFrame, float]], tuple[VideoFrame, float]]:
    container.seek(stream.start_time or 0, stream=stream)
    frames = _timed(path, container, stream)
    return frames, next(frames)


def _timed(
    path: str | os.PathLike[str], container: InputContainer, stream: VideoStream
) -> Iterator[tuple[VideoFrame, float]]:
    """Decode frames with their time on the clock of the file."""
    for index, frame in enumerate(decoded_frames(path, container, stream)):
        # Raw streams have no clock; their frames follow each other at the stated rate.
        yield frame, frame.time if frame.time is not None else index / float(stream.average_rate or ANY_FRAME_RATE)


def read_sound(
    path: str | os.PathLike[str], *, start_seconds: float = 0.0, max_seconds: float | None = None
) -> AudioSamples | None:
    """Read the sound that goes with a piece of a video.

    Args:
        path: the file.
        start_seconds: time of sample 0, from the first picture; may be negative. What sounds earlier is dropped, a
            later start and gaps are silence.
        max_seconds: length of the piece. ``None``: to the end of the sound.

    Returns:
        Samples ``[C, N]`` with the channels and the rate of the file, or ``None`` when there is no sound in the piece.

    Raises:
        MediaError: for a file that is no video, or whose sound is damaged within the piece.
    """
    with open_container(path) as container:
        first, _ = next(_timed(path, container, video_stream(path, container)), (None, 0.0))
        origin = 0.0 if first is None else first.time or 0.0
    place = {"start_seconds": origin + start_seconds, "max_seconds": max_seconds}
    if start_seconds >= _SEEK_FROM_SECONDS:
        try:
            with open_container(path) as container:
                return decode_audio(path, container, **place, seek=True)
        except SeekError as error:
            logger.debug("%s is decoded from its start: %s", os.fspath(path), error)
    with open_container(path) as container:
        return decode_audio(path, container, **place)
