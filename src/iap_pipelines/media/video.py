"""Video files to frames. Letters: F frames, H height, W width."""

import logging
import os
from collections.abc import Iterator

import av
import numpy as np
import torch
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from torch import Tensor

from iap_pipelines.media.audio import decode_audio
from iap_pipelines.media.colour import EXACT_CONVERSION, FAST_CONVERSION, PLANE_MATRICES, SMALLER, Planes
from iap_pipelines.media.containers import (
    check_complete,
    check_memory,
    check_pixels,
    decoded_frames,
    open_container,
    video_stream,
)
from iap_pipelines.media.errors import MediaError
from iap_pipelines.types import AudioSamples, VideoFrames, check_positive


logger = logging.getLogger(__name__)

_UNSPECIFIED_COLORSPACE = 2  # of the H.264 standard; PyAV's `Colorspace` has no name for it

_HD_HEIGHT = 720
"""Untagged video of this height or more is BT.709, smaller is BT.601: what players assume."""

ANY_FRAME_RATE = 25.0
"""For a single picture whose file states no rate."""

_MAX_STATED_FRAME_RATE = 60.0
"""
Where memory is estimated: some recorders state the rate of their clock, a thousand per second, for the pictures'.
"""

_MIN_BYTES_PER_FRAME = 4096
"""Charged for a frame however small, so that endless tiny frames reach the limit as well."""

TIME_TOLERANCE_SECONDS = 1e-6


def read_video(
    path: str | os.PathLike[str], *, max_seconds: float | None = None, frame_rate: float | None = None
) -> tuple[VideoFrames, AudioSamples | None]:
    """Read the pictures of a video file and the sound that goes with them.

    Pictures are upright (rotation metadata applied) with square pixels. The sound starts with the first picture: what
    comes before is dropped, a late start and gaps are silence. It may end before or after the pictures.

    Damage is an error unless it lies behind ``max_seconds``: the part that is asked for is decoded cleanly or not at
    all.

    Args:
        path: the file.
        max_seconds: length of the part to read, from the first picture. ``None``: all of it.
        frame_rate: bring the pictures to this constant rate, in frames per second: each output frame is the picture
            on screen at that time. ``None``: the frames as they are stored, at their mean rate; when that rate varies
            a warning says so, and `read_frame_times` has the time of each.

    Returns:
        The frames ``[F, H, W, 3]``, and the samples ``[C, N]`` or ``None`` for a file without sound.

    Raises:
        MediaError: for a file that is missing, no video, damaged, cut short, or too large to decode.
        ValueError: for a ``max_seconds`` or ``frame_rate`` that is not positive.
    """
    _check_arguments(max_seconds, frame_rate)
    with open_container(path) as container:
        stream = video_stream(path, container)
        _check_announced_size(path, container, stream, max_seconds, frame_rate)
        timed_frames = _timed_frames(path, container, stream, max_seconds)
        frames, times, start_seconds = _collect(path, stream, timed_frames, frame_rate)
    if frame_rate is None:
        frame_rate = mean_rate(path, stream, times)
    with open_container(path) as container:
        audio = decode_audio(path, container, start_seconds=start_seconds, max_seconds=max_seconds)
    return VideoFrames(torch.from_numpy(np.stack(frames)), float(frame_rate)), audio


def read_frame_times(path: str | os.PathLike[str], *, max_seconds: float | None = None) -> Tensor:
    """Read when each stored frame of a video is shown.

    Args:
        path: the file.
        max_seconds: as in `read_video`.

    Returns:
        Seconds from the first frame, float64 ``[F]``; entry f belongs to frame f of ``read_video(path)``.

    Raises:
        MediaError: as in `read_video`.
    """
    _check_arguments(max_seconds, None)
    with open_container(path) as container:
        stream = video_stream(path, container)
        times = [seconds for _, seconds in _timed_frames(path, container, stream, max_seconds)]
    return torch.tensor(times, dtype=torch.float64)


def upright_size(stream: VideoStream, frame: VideoFrame) -> tuple[int, int]:
    """Width and height of a decoded frame as it is meant to be seen: upright, with square pixels."""
    width, height = _square_pixels(stream, frame)
    return (height, width) if round(frame.rotation / 90) % 2 else (width, height)


def _square_pixels(stream: VideoStream, frame: VideoFrame) -> tuple[int, int]:
    aspect_ratio = float(stream.sample_aspect_ratio or 1)
    return max(1, round(frame.width * aspect_ratio)), frame.height


def to_rgb(
    path: str | os.PathLike[str],
    stream: VideoStream,
    frame: VideoFrame,
    *,
    short_side: int | None = None,
    exact: bool = True,
) -> np.ndarray:
    """Convert a decoded frame to upright RGB with square pixels, uint8 ``[H, W, 3]``.

    Args:
        path: the file, for messages.
        stream: which the frame comes from.
        frame: as decoded.
        short_side: pixels of the shorter side, when the frame is larger than that. ``None``: as it is.
        exact: colours as exact as they can be; otherwise ten times as fast.
    """
    width, height = _square_pixels(stream, frame)
    check_pixels(path, width, height)
    interpolation = EXACT_CONVERSION if exact else FAST_CONVERSION
    if short_side is not None and min(width, height) > short_side:
        (width, height), interpolation = _smaller(width, height, short_side), SMALLER
    rgb = frame.reformat(
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=_colorspace(stream, frame),
        src_color_range=frame.color_range,
        dst_color_range=ColorRange.JPEG,
        interpolation=interpolation,
    )
    quarter_turns = round(frame.rotation / 90)  # counter-clockwise, as np.rot90 turns
    return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), k=quarter_turns))


def _colorspace(stream: VideoStream, frame: VideoFrame) -> int:
    if frame.colorspace != _UNSPECIFIED_COLORSPACE:
        return frame.colorspace
    return Colorspace.ITU709 if _square_pixels(stream, frame)[1] >= _HD_HEIGHT else Colorspace.ITU601


def _smaller(width: int, height: int, short_side: int) -> tuple[int, int]:
    scale = short_side / min(width, height)
    return round(width * scale), round(height * scale)


def to_planes(
    path: str | os.PathLike[str], stream: VideoStream, frame: VideoFrame, *, short_side: int | None = None
) -> Planes | None:
    """The picture as a file holds it, without the way through RGB, which rounds twice and takes as long as encoding.

    Args:
        path: the file, for messages.
        stream: which the frame comes from.
        frame: as decoded.
        short_side: as in `to_rgb`.

    Returns:
        The planes; ``None`` for a frame that is stored otherwise, has to be turned, or would have an odd size.
    """
    width, height = _square_pixels(stream, frame)
    check_pixels(path, width, height)
    matrix = _colorspace(stream, frame)
    if frame.format.name != "yuv420p" or frame.color_range == ColorRange.JPEG or matrix not in PLANE_MATRICES:
        return None
    if short_side is not None and min(width, height) > short_side:
        width, height = _smaller(width, height, short_side)
    if frame.rotation or width % 2 or height % 2:
        return None
    if (width, height) != (frame.width, frame.height):
        same = {"src_colorspace": matrix, "dst_colorspace": matrix}
        same |= {"src_color_range": ColorRange.MPEG, "dst_color_range": ColorRange.MPEG}
        frame = frame.reformat(width=width, height=height, interpolation=SMALLER, **same)
    return Planes(frame.to_ndarray(), int(matrix))


def _check_arguments(max_seconds: float | None, frame_rate: float | None) -> None:
    if max_seconds is not None:
        check_positive("max_seconds", max_seconds, "seconds")
    if frame_rate is not None:
        check_positive("frame_rate", frame_rate, "frames per second")


def _check_announced_size(
    path: str | os.PathLike[str],
    container: InputContainer,
    stream: VideoStream,
    max_seconds: float | None,
    frame_rate: float | None,
) -> None:
    """Refuse by what the header says, before anything is decoded; a header that lies is caught while decoding."""
    check_complete(path, stream, max_seconds)
    seconds = (container.duration or 0) / av.time_base
    if max_seconds is not None:
        seconds = min(seconds, max_seconds)
    rate = frame_rate or min(float(stream.average_rate or 0), _MAX_STATED_FRAME_RATE)
    check_memory(path, seconds * rate * stream.codec_context.width * stream.codec_context.height * 3)


def _timed_frames(
    path: str | os.PathLike[str], container: InputContainer, stream: VideoStream, max_seconds: float | None
) -> Iterator[tuple[VideoFrame, float]]:
    """Decode frames with their time, in seconds from the first; at least one, or a `MediaError`."""
    start = None
    for index, frame in enumerate(decoded_frames(path, container, stream)):
        # Raw streams have no clock; their frames follow each other at the stated rate.
        time = frame.time if frame.time is not None else index / float(stream.average_rate or ANY_FRAME_RATE)
        start = time if start is None else start
        if max_seconds is not None and time - start >= max_seconds - TIME_TOLERANCE_SECONDS:
            return
        yield frame, time - start
    if start is None:
        raise MediaError(path, "its video stream has no frames")


def _collect(
    path: str | os.PathLike[str],
    stream: VideoStream,
    timed_frames: Iterator[tuple[VideoFrame, float]],
    frame_rate: float | None,
) -> tuple[list[np.ndarray], list[float], float]:
    """Convert frames, at their own times or at a constant rate.

    Returns:
        The pictures, the times of the decoded frames, and the time of the first one on the clock of the file.
    """
    pictures: list[np.ndarray] = []
    times: list[float] = []
    start_seconds = 0.0
    previous = None
    for frame, seconds in timed_frames:
        if not times:
            start_seconds = frame.time or 0.0
        elif frame_rate is not None:
            _repeat_until(path, stream, pictures, previous, seconds, frame_rate)
        if frame_rate is None:
            _append(path, pictures, to_rgb(path, stream, frame))
        times.append(seconds)
        previous = frame
    if frame_rate is not None:
        end = times[-1] + 1 / mean_rate(path, stream, times, warn=False)
        _repeat_until(path, stream, pictures, previous, end, frame_rate)
        if not pictures:
            _append(path, pictures, to_rgb(path, stream, previous))
    return pictures, times, start_seconds


def _repeat_until(
    path: str | os.PathLike[str],
    stream: VideoStream,
    pictures: list[np.ndarray],
    frame: VideoFrame,
    end_seconds: float,
    frame_rate: float,
) -> None:
    """Append ``frame`` for every tick of the constant rate before ``end_seconds``; none: it is never seen."""
    picture = None
    while len(pictures) / frame_rate < end_seconds - TIME_TOLERANCE_SECONDS:
        picture = to_rgb(path, stream, frame) if picture is None else picture
        _append(path, pictures, picture)


def _append(path: str | os.PathLike[str], pictures: list[np.ndarray], picture: np.ndarray) -> None:
    if pictures and picture.shape != pictures[0].shape:
        (old_height, old_width, _), (height, width, _) = pictures[0].shape, picture.shape
        raise MediaError(path, f"its frame size changes from {old_width}x{old_height} to {width}x{height}")
    check_memory(path, (len(pictures) + 1) * max(picture.nbytes, _MIN_BYTES_PER_FRAME))
    pictures.append(picture)


def mean_rate(path: str | os.PathLike[str], stream: VideoStream, times: list[float], *, warn: bool = True) -> float:
    """Frames per second of the decoded part: as stated when the times agree with it, else as measured."""
    stated = float(stream.average_rate or stream.guessed_rate or 0)
    span = times[-1] - times[0]
    if span <= 0:
        return stated or ANY_FRAME_RATE
    if warn and rate_varies(times):
        logger.warning(
            "%s has a variable frame rate; its frames are returned as stored. Give `frame_rate` for a constant one.",
            os.fspath(path),
        )
    measured = (len(times) - 1) / span
    return stated if abs(stated - measured) < 0.01 * measured else measured


def rate_varies(times: list[float]) -> bool:
    """Whether the gaps between pictures differ by more than the clock of a file trembles."""
    gaps = np.diff(times)
    return len(gaps) > 0 and bool(gaps.std() > 0.02 * np.median(gaps) + 1e-3)  # 1 ms: Matroska and WebM
