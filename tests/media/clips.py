"""Small clips that media tests make themselves."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch


def moving_ramp(num_frames: int = 25, height: int = 96, width: int = 128) -> torch.Tensor:
    """Smooth pictures that differ from frame to frame, uint8 ``[F, H, W, 3]``."""
    rows = torch.linspace(0, 1, height)[:, None]
    columns = torch.linspace(0, 1, width)[None]
    frames = []
    for index in range(num_frames):
        phase = index / num_frames
        channels = (rows + 0 * columns, 0 * rows + columns, (rows + columns) / 2)
        frames.append(torch.stack([((channel + phase) * torch.pi).sin().abs() for channel in channels], dim=-1))
    return (torch.stack(frames) * 255).round().to(torch.uint8)


def tone(seconds: float, sampling_rate: int = 16000, num_channels: int = 1) -> torch.Tensor:
    """A tone that grows louder, ``[C, N]``; its place in time can be seen."""
    time = torch.arange(round(seconds * sampling_rate)) / sampling_rate
    sound = 0.5 * (time / seconds) * torch.sin(2 * torch.pi * 220 * time)
    return sound[None].repeat(num_channels, 1)


def write_raw(path: Path, *, times_ms: list[int], sounds: dict[int, torch.Tensor] | None = None) -> Path:
    """Write a lossless Matroska file of 64x48 pixels.

    Frame k is a flat grey of level 10 * (k % 25), shown from ``times_ms[k]`` on. ``sounds`` are pieces ``[1, N]`` at
    16 kHz, keyed by the millisecond at which they start.
    """
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=1000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        stream.codec_context.time_base = Fraction(1, 1000)
        audio_stream = container.add_stream("pcm_f32le", rate=16000, layout="mono") if sounds else None
        for index, time in enumerate(times_ms):
            pixels = np.full((48, 64, 3), 10 * (index % 25), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv444p")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        for start, sound in (sounds or {}).items():
            for index, piece in enumerate(sound.split(320, dim=1)):  # 20 ms each, as codecs cut sound
                frame = av.AudioFrame.from_ndarray(piece.contiguous().numpy(), format="flt", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = 16000, start + 20 * index, Fraction(1, 1000)
                container.mux(audio_stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path, samples: np.ndarray, *, sampling_rate: int, codec: str, sample_format: str) -> Path:
    """Write packed samples ``[1, N * C]`` of one channel with any codec."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=sampling_rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format=sample_format, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = sampling_rate, 0, Fraction(1, sampling_rate)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
