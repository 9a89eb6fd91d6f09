"""Opening files that come from anywhere: what is checked before, and while, a stream is decoded.

Limits are constants, because they protect the machine and not the result: a caller who needs more of a file reads
less of it at a time (``max_seconds``).
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from iap_pipelines.media.errors import MediaError


MAX_PIXELS = 8192 * 4608
"""Most pixels of one video frame (8K): larger ones are refused before they are decoded."""

MAX_DECODED_BYTES = 2 * 1024**3
"""Most memory that the decoded pictures, or the decoded sound, of one call may take."""

# Formats that hold their own data. Left out on purpose: playlists and scripts (hls, concat, dash, …), which make the
# reader open other files and addresses, and formats that take any text for pictures (tty).
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,asf,mpegts,mpeg,mpegvideo,h264,hevc,ivf,ogg,gif,apng,"
    "wav,w64,flac,mp3,aac,ac3,eac3,aiff,au,caf,amr,wv,tta"
)


def check_file(path: str | os.PathLike[str]) -> None:
    """Refuse what is not a readable file with something in it.

    Raises:
        MediaError: for a missing file, a directory, a device or pipe, an empty file, or one without permission.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        raise MediaError(path, "there is no such file") from error
    except (OSError, ValueError) as error:
        raise MediaError(path, f"it cannot be opened ({getattr(error, 'strerror', None) or error})") from error
    if stat.S_ISDIR(status.st_mode):
        raise MediaError(path, "it is a directory, expected a file")
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(path, "it is a device or a pipe, expected a regular file")
    if status.st_size == 0:
        raise MediaError(path, "it is empty (0 bytes)")
    if not os.access(path, os.R_OK):
        raise MediaError(path, "permission to read it is denied")


def check_memory(path: str | os.PathLike[str], num_bytes: float) -> None:
    """Refuse to decode more than ``MAX_DECODED_BYTES``."""
    if num_bytes > MAX_DECODED_BYTES:
        raise MediaError(
            path,
            f"decoding it takes {num_bytes / 1024**3:.1f} GiB or more, the limit is {MAX_DECODED_BYTES / 1024**3:g} "
            "GiB: read a shorter part with `max_seconds`",
        )


def check_pixels(path: str | os.PathLike[str], width: int, height: int) -> None:
    """Refuse frames of more than ``MAX_PIXELS``."""
    if width * height > MAX_PIXELS:
        raise MediaError(path, f"its frames are {width}x{height} pixels, the limit is {MAX_PIXELS} pixels")


@contextmanager
def open_container(path: str | os.PathLike[str]) -> Iterator[InputContainer]:
    """Open a sound or video file for reading.

    Raises:
        MediaError: when it is not a file, or not one in a supported format.
    """
    check_file(path)
    try:
        # An absolute path cannot be taken for a protocol ("concat:…"), whatever the file is called.
        container = av.open(os.path.abspath(path), options={"format_whitelist": _FORMATS}, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(path, f"it is not a sound or video file, or its index is damaged ({_why(error)})") from error
    with container:
        yield container


def video_stream(path: str | os.PathLike[str], container: InputContainer) -> VideoStream:
    """Choose the first stream of moving pictures (the cover picture of a song is none)."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise MediaError(path, "it has no video stream")
    stream = _checked_codec(path, streams[0])
    check_pixels(path, stream.codec_context.width, stream.codec_context.height)
    return stream


def audio_stream(path: str | os.PathLike[str], container: InputContainer) -> AudioStream | None:
    """Choose the first audio stream, ``None`` when there is none."""
    return _checked_codec(path, container.streams.audio[0]) if container.streams.audio else None


def _checked_codec(path: str | os.PathLike[str], stream: VideoStream | AudioStream) -> VideoStream | AudioStream:
    if stream.codec_context is None:
        raise MediaError(path, f"its {stream.type} stream has a codec that is not supported")
    # Without "explode" a decoder hides damage behind invented pictures.
    stream.codec_context.options = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}
    return stream


def check_complete(path: str | os.PathLike[str], stream: VideoStream | AudioStream, max_seconds: float | None) -> None:
    """Refuse a file whose index points behind its end, within the part that is needed.

    A demuxer takes missing data for the end of the stream; only the index tells a short file from a shortened one.
    """
    size = os.path.getsize(path)
    start = stream.start_time or 0
    for entry in stream.index_entries:
        seconds = float((entry.timestamp - start) * stream.time_base)
        if entry.pos + entry.size > size and (max_seconds is None or seconds < max_seconds):
            raise MediaError(path, f"it is cut short: its {stream.type} is missing from {max(seconds, 0):.2f} s on")


def decoded_frames(
    path: str | os.PathLike[str], container: InputContainer, stream: VideoStream | AudioStream
) -> Iterator[VideoFrame | AudioFrame]:
    """Decode one stream from its beginning; damage is an error at the place where it is.

    Raises:
        MediaError: when a frame cannot be decoded or is marked as corrupt.
    """
    reached_seconds = 0.0
    frames = container.decode(stream)
    while True:
        try:
            frame = next(frames, None)
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(path, _damaged(stream.type, reached_seconds, _why(error))) from error
        if frame is None:
            return
        reached_seconds = frame.time if frame.time is not None else reached_seconds
        if frame.is_corrupt:
            raise MediaError(path, _damaged(stream.type, reached_seconds, "frame marked as corrupt"))
        yield frame


def _damaged(kind: str, seconds: float, reason: str) -> str:
    way_out = f"; `max_seconds` reads only what comes before {seconds:.2f} s" if seconds > 0 else ""
    return f"it is damaged: its {kind} cannot be decoded from about {seconds:.2f} s on ({reason}){way_out}"


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
