"""Frames and sound to an mp4 file that plays anywhere. Letters: F frames, H height, W width, C channels, N samples."""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Literal
from uuid import uuid4

import av
import numpy as np
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from PIL import Image
from torch import Tensor

from iap_pipelines.media.colour import EXACT_CONVERSION, Planes
from iap_pipelines.media.errors import MediaError
from iap_pipelines.types import AudioSamples, check_positive


logger = logging.getLogger(__name__)

AAC_SAMPLING_RATES = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
"""Sampling rates that the codec knows, in hertz."""

EncoderPreset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"]
_CONSTANT_RATE_FACTOR = "17"  # x264: visually lossless; the drawn worlds are small and are trained on
_X264_PARAMETERS = "cpu-independent=1"  # with AVX-512, x264's bytes depend on what lies beside a picture in memory
_NUM_ENCODER_THREADS = 4  # the number of threads changes x264's bytes, so it may not depend on the machine
_AAC_BITS_PER_SAMPLE = 4
_MAX_AAC_BITS_PER_SECOND = 128_000  # per channel


def write_video(
    video: Tensor | np.ndarray | list[Image.Image],
    audio: Tensor | np.ndarray | None,
    path: str | os.PathLike[str],
    *,
    frame_rate: float,
    sampling_rate: int | None = None,
) -> Path:
    """Write pictures and sound as mp4 (H.264 4:2:0, AAC, index in front), which browsers play while it loads.

    The file appears complete or not at all, and equal input gives equal bytes. Sound is brought to the length of the
    pictures: silence fills it up, what is longer is cut; a warning says so when that is more than one frame.

    `diffusers.utils.encode_video` is not used: it rounds 12.5 frames per second to 12, writes in place, fails on odd
    sizes with an encoder's message, and converts every sound to stereo.

    Args:
        video: uint8 ``[F, H, W, 3]`` in [0, 255], or floating point in [0, 1], or a list of PIL images. H and W even.
        audio: floating point ``[C, N]`` or ``[N]`` in [-1, 1], one or two channels. ``None``: a silent film.
        path: where to write; ends in ``.mp4``. An existing file is replaced.
        frame_rate: frames per second.
        sampling_rate: of the sound, in hertz, one of `AAC_SAMPLING_RATES`. ``None`` only without sound.

    Returns:
        The path that was written.

    Raises:
        ValueError: for another kind, shape or range of values.
        MediaError: (a ValueError) when the file cannot be written; names the file and the reason.
    """
    check_positive("frame_rate", frame_rate, "frames per second")
    frames = _as_frames(video)
    rate = Fraction(frame_rate).limit_denominator(1001)
    return export_frames(frames, audio, path, num_frames=len(frames), frame_rate=rate, sampling_rate=sampling_rate)


def export_frames(
    frames: Iterable[np.ndarray | Planes],
    audio: Tensor | np.ndarray | None,
    path: str | os.PathLike[str],
    *,
    num_frames: int,
    frame_rate: float | Fraction,
    sampling_rate: int | None = None,
    preset: EncoderPreset = "medium",
) -> Path:
    """Write one clip as `write_video` does, from pictures that come one at a time.

    Args:
        frames: all of one even size; all RGB uint8 ``[H, W, 3]``, or all `Planes` of one matrix.
        audio: as in `write_video`.
        path: where to write; ends in ``.mp4``. An existing file is replaced.
        num_frames: how many pictures come.
        frame_rate: frames per second.
        sampling_rate: of the sound, in hertz, one of `AAC_SAMPLING_RATES`. ``None`` only without sound.
        preset: of x264. Faster ones give larger files of the same quality.

    Returns:
        The path that was written.

    Raises:
        ValueError: for odd sizes, other numbers of pictures, or sound of another kind.
        MediaError: (a ValueError) when the file cannot be written.
    """
    rate = Fraction(frame_rate).limit_denominator(1001)
    samples = None
    if audio is not None:
        _check_sampling_rate(sampling_rate)
        samples = _fit(_as_samples(audio), round(num_frames / rate * sampling_rate), sampling_rate / rate)
    with temporary_name(Path(path)) as temporary:
        with _open_for_writing(temporary) as container:
            num_written = _encode(container, frames, samples, rate, sampling_rate, preset)
        if num_written != num_frames:
            raise ValueError(f"`frames` gave {num_written} pictures, but `num_frames` is {num_frames}.")
    return Path(path)


def export_sound(audio: AudioSamples, path: str | os.PathLike[str]) -> Path:
    """Write sound as FLAC with 16 bits; equal input gives equal bytes.

    What was recorded with 16 bits comes back as it was.

    Args:
        audio: one or two channels.
        path: where to write; ends in ``.flac``. An existing file is replaced.

    Raises:
        ValueError: for more than two channels.
        MediaError: (a ValueError) when the file cannot be written; names the file and the reason.
    """
    if audio.num_channels > 2:
        raise ValueError(
            f"`audio` must have one or two channels, but got {audio.num_channels}. Average them with audio.to_mono()."
        )
    layout = "mono" if audio.num_channels == 1 else "stereo"
    # The factor that reading divides by; only +1 itself has no 16-bit value.
    samples = (audio.samples.numpy() * 32768).round().clip(-32768, 32767).astype(np.int16).T.reshape(1, -1)
    with temporary_name(Path(path), ".flac") as temporary:
        options = {"fflags": "+bitexact"}
        with av.open(os.path.abspath(temporary), "w", format="flac", options=options) as container:
            stream = container.add_stream("flac", rate=audio.sampling_rate, layout=layout)
            stream.codec_context.flags |= Flags.bitexact
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="s16", layout=layout)
            frame.sample_rate, frame.pts = audio.sampling_rate, 0
            frame.time_base = Fraction(1, audio.sampling_rate)
            for piece in (frame, None):
                container.mux(stream.encode(piece))
    return Path(path)


def _as_frames(video: Tensor | np.ndarray | list[Image.Image]) -> np.ndarray:
    """Check the pictures and bring them to uint8 ``[F, H, W, 3]``."""
    if isinstance(video, list | tuple):
        video = _stack_images(video)
    if isinstance(video, Tensor):
        video = video.detach().cpu()
        video = (video.float() if video.is_floating_point() else video).numpy()
    if not isinstance(video, np.ndarray):
        raise ValueError(f"`video` must be a tensor, an array or PIL images, but got {type(video).__name__}.")
    if video.ndim != 4 or video.shape[-1] != 3 or video.size == 0:
        raise ValueError(
            f"`video` must be one clip [F, H, W, 3], but got the shape {[*video.shape]}. "
            "Of a batch, write one clip at a time: video[0]."
        )
    _check_even(*video.shape[1:3])
    if np.issubdtype(video.dtype, np.floating):
        return _unit_to_bytes(video)
    if video.dtype != np.uint8:
        raise ValueError(f"`video` must be uint8 in [0, 255] or floating point in [0, 1], but got {video.dtype}.")
    return video


def _stack_images(images: list[Image.Image]) -> np.ndarray:
    if not images or not all(isinstance(image, Image.Image) for image in images):
        raise ValueError("`video` as a list must hold PIL images, at least one. Of a batch, write video[0].")
    if len({image.size for image in images}) > 1:
        raise ValueError(f"`video` must have frames of one size, but got {sorted({image.size for image in images})}.")
    return np.stack([np.asarray(image.convert("RGB")) for image in images])


def _check_even(height: int, width: int) -> None:
    if height % 2 or width % 2:
        raise ValueError(
            f"`video` is {width}x{height} (width x height), but H.264 in 4:2:0 stores colour for 2x2 pixels and needs "
            f"even sizes: crop or pad to {width - width % 2}x{height - height % 2} or {width + width % 2}x"
            f"{height + height % 2}."
        )


def _unit_to_bytes(video: np.ndarray) -> np.ndarray:
    lowest, highest = float(video.min()), float(video.max())
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise ValueError("`video` must be finite, but it contains NaN or infinity.")
    if lowest < -1e-3 or highest > 1 + 1e-3:
        raise ValueError(
            f"`video` in floating point must lie in [0, 1], but reaches from {lowest:.4g} to {highest:.4g}. "
            "Pixels in [-1, 1] become video / 2 + 0.5, pixels in [0, 255] become uint8."
        )
    return (video.clip(0, 1) * 255).round().astype(np.uint8)


def _as_samples(audio: Tensor | np.ndarray) -> np.ndarray:
    """Check the sound and bring it to float32 ``[C, N]`` in [-1, 1]."""
    if isinstance(audio, Tensor):
        audio = audio.detach().cpu()
        audio = (audio.float() if audio.is_floating_point() else audio).numpy()
    if not isinstance(audio, np.ndarray) or not np.issubdtype(audio.dtype, np.floating):
        kind = audio.dtype if isinstance(audio, np.ndarray) else type(audio).__name__
        raise ValueError(f"`audio` must be a floating point tensor or array in [-1, 1], but got {kind}.")
    audio = audio[None] if audio.ndim == 1 else audio
    if audio.ndim != 2 or audio.shape[0] not in (1, 2) or audio.shape[1] == 0:
        raise ValueError(
            f"`audio` must be one sound [C, N] or [N] with one or two channels, but got the shape {[*audio.shape]}. "
            "Of a batch, write one at a time: audio[0]."
        )
    peak = float(np.abs(audio).max())
    if not np.isfinite(peak):
        raise ValueError("`audio` must be finite, but it contains NaN or infinity.")
    if peak > 1 + 1e-3:
        logger.warning("`audio` reaches %.4g beyond [-1, 1] and is clamped.", peak)
    return audio.clip(-1, 1).astype(np.float32)


def _check_sampling_rate(sampling_rate: int | None) -> None:
    if sampling_rate not in AAC_SAMPLING_RATES:
        raise ValueError(
            f"`sampling_rate` must be given with `audio` and be one of {AAC_SAMPLING_RATES} hertz, but got "
            f"{sampling_rate!r}. Bring the sound to one of them with AudioSamples.resample."
        )


def _fit(samples: np.ndarray, num_samples: int, num_samples_per_frame: Fraction) -> np.ndarray:
    """Cut or fill up ``[C, N]`` to the length of the pictures."""
    excess = samples.shape[1] - num_samples
    if abs(excess) > num_samples_per_frame:
        logger.warning(
            "`audio` has %d samples and the pictures last for %d: %s.",
            samples.shape[1],
            num_samples,
            "the rest is cut" if excess > 0 else "silence follows",
        )
    return samples[:, :num_samples] if excess >= 0 else np.pad(samples, ((0, 0), (0, -excess)))


@contextmanager
def temporary_name(path: Path, suffix: str = ".mp4") -> Iterator[Path]:
    """Give a name beside ``path`` to write to; what is written there becomes ``path`` when all went well."""
    if path.suffix.lower() != suffix:
        kind = suffix[1:]
        raise MediaError(
            path, f"it is to be written as {kind}, but its name ends in {path.suffix!r}: call it *.{kind}"
        )
    if path.is_dir():
        raise MediaError(path, "it is a directory, expected the name of a file")
    if not path.parent.is_dir():
        raise MediaError(path, "the folder it is to be written to does not exist")
    temporary = path.with_name(f".{uuid4().hex}{suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except MediaError as error:  # it names the temporary file
        raise MediaError(path, error.reason) from error
    except OSError as error:  # PyAV's errors for permission, space and the like are OSErrors as well
        raise MediaError(path, f"it cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _open_for_writing(path: Path) -> OutputContainer:
    # Bit-exact: no version of the muxer in the file. Creation time is not written unless it is given.
    return av.open(os.path.abspath(path), "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"})


def _encode(
    container: OutputContainer,
    frames: Iterable[np.ndarray | Planes],
    samples: np.ndarray | None,
    rate: Fraction,
    sampling_rate: int | None,
    preset: str,
) -> int:
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError("`frames` gave no picture.")
    _check_even(*first.shape[:2])
    matrix = first.matrix if isinstance(first, Planes) else int(Colorspace.ITU709)
    video_stream = _add_video_stream(container, *first.shape[:2], rate, preset, matrix)
    audio_stream = None if samples is None else _add_audio_stream(container, samples.shape[0], sampling_rate)
    num_written = 0
    for index, picture in enumerate(chain([first], frames)):
        if picture.shape != first.shape or type(picture) is not type(first):
            raise ValueError(f"`frames` change their shape from {first.shape} to {picture.shape}.")
        container.mux(video_stream.encode(_video_frame(picture, index, rate)))
        if audio_stream is not None:
            # The sound of a frame follows the frame, so that the file is interleaved as players want it.
            end = round((index + 1) / rate * sampling_rate)
            piece = _audio_frame(samples[:, num_written:end], num_written, sampling_rate)
            container.mux(audio_stream.encode(piece))
            num_written = end
    container.mux(video_stream.encode(None))
    if audio_stream is not None:
        container.mux(audio_stream.encode(None))
    return index + 1


def _add_video_stream(
    container: OutputContainer, height: int, width: int, rate: Fraction, preset: str, matrix: int
) -> av.VideoStream:
    options = {"crf": _CONSTANT_RATE_FACTOR, "preset": preset, "x264-params": _X264_PARAMETERS}
    stream = container.add_stream("libx264", rate=rate, options=options)
    stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
    context = stream.codec_context
    context.thread_count = _NUM_ENCODER_THREADS
    context.flags |= Flags.bitexact
    # Stated, because players guess the colours of untagged video by its height.
    context.colorspace = matrix
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709
    context.color_range = ColorRange.MPEG
    return stream


def _add_audio_stream(container: OutputContainer, num_channels: int, sampling_rate: int) -> av.AudioStream:
    stream = container.add_stream("aac", rate=sampling_rate, layout="mono" if num_channels == 1 else "stereo")
    stream.bit_rate = num_channels * min(_AAC_BITS_PER_SAMPLE * sampling_rate, _MAX_AAC_BITS_PER_SECOND)
    stream.codec_context.flags |= Flags.bitexact
    return stream


def _video_frame(picture: np.ndarray | Planes, index: int, rate: Fraction) -> av.VideoFrame:
    if isinstance(picture, Planes):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture.pixels), format="yuv420p")
    else:
        frame = _to_planes(np.ascontiguousarray(picture))
    frame.pts, frame.time_base = index, 1 / rate
    return frame


def _to_planes(pixels: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        dst_color_trc=ColorTrc.BT709,
        dst_color_primaries=ColorPrimaries.BT709,
        interpolation=EXACT_CONVERSION,
    )


def _audio_frame(samples: np.ndarray, start: int, sampling_rate: int) -> av.AudioFrame:
    layout = "mono" if samples.shape[0] == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = sampling_rate, start, Fraction(1, sampling_rate)
    return frame
