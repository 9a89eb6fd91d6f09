"""Every size that follows from another size: pixels to latents to tokens, seconds to samples to latents.

The transformer owns the arithmetic of its own positions; this file asks it for nothing and is asked by the pipeline,
the trainer and the tests, so that a literal such as 157 never appears elsewhere.
"""

import math
from dataclasses import dataclass
from numbers import Integral


@dataclass(frozen=True)
class CodecGeometry:
    """How strongly the codecs compress, and how the transformer groups video latents into tokens."""

    spatial_factor: int = 16
    """pixels per latent row or column"""
    temporal_factor: int = 4
    """frames per latent frame after the first, which covers one frame"""
    patch_size: tuple[int, int, int] = (1, 2, 2)
    """latent frames, rows and columns per token"""
    sampling_rate: int = 16_000
    """samples of sound per second"""
    samples_per_latent: int = 512
    """samples of sound per audio latent"""

    @property
    def audio_latents_per_second(self) -> float:
        return self.sampling_rate / self.samples_per_latent

    @property
    def pixel_multiple(self) -> tuple[int, int]:
        """Height and width must be multiples of these."""
        return self.spatial_factor * self.patch_size[1], self.spatial_factor * self.patch_size[2]

    def audio_position_scale(self, frame_rate: float) -> float:
        """Latent video frames per audio latent: puts both towers on one time axis."""
        return frame_rate / self.temporal_factor / self.audio_latents_per_second

    def voice_latents(self, num_samples: int) -> int:
        """Latents of a recording: the mel front end makes `samples // hop` frames and the VAE halves them."""
        return num_samples // (self.samples_per_latent // 2) // 2

    def clip(self, height: int, width: int, num_frames: int, frame_rate: float) -> "ClipGeometry":
        """
        Sizes of one clip.

        Args:
            height: pixels.
            width: pixels.
            num_frames: frames, one more than a multiple of `temporal_factor`.
            frame_rate: frames per second.

        Raises:
            ValueError: a size that the codecs cannot represent, naming the argument and the nearest sizes that work.
        """
        for name, size in (("height", height), ("width", width), ("num_frames", num_frames)):
            if not isinstance(size, Integral):
                raise ValueError(f"`{name}` must be an integer, got {size!r}.")
        for name, size, multiple in zip(("height", "width"), (height, width), self.pixel_multiple, strict=True):
            if size <= 0 or size % multiple != 0:
                lower = max(multiple, size // multiple * multiple)
                raise ValueError(
                    f"`{name}` must be a positive multiple of {multiple}, got {size}. Try {lower} or "
                    f"{lower + multiple}."
                )
        if num_frames <= 0 or (num_frames - 1) % self.temporal_factor != 0:
            lower = max(0, num_frames - 1) // self.temporal_factor * self.temporal_factor + 1
            raise ValueError(
                f"`num_frames` must be one more than a multiple of {self.temporal_factor}, got {num_frames}. Try "
                f"{lower} or "
                f"{lower + self.temporal_factor}."
            )
        if not (math.isfinite(frame_rate) and frame_rate > 0):
            raise ValueError(f"`frame_rate` must be a positive number of frames per second, got {frame_rate}.")
        num_latent_frames = (num_frames - 1) // self.temporal_factor + 1
        num_audio_latents = math.floor(num_frames / frame_rate * self.audio_latents_per_second)
        if num_audio_latents == 0:
            raise ValueError(
                f"`num_frames`={num_frames} at `frame_rate`={frame_rate} lasts less than one audio latent "
                f"({1 / self.audio_latents_per_second:.3f} s)."
            )
        return ClipGeometry(
            num_frames=num_frames,
            frame_rate=frame_rate,
            num_latent_frames=num_latent_frames,
            latent_height=height // self.spatial_factor,
            latent_width=width // self.spatial_factor,
            num_audio_latents=num_audio_latents,
            num_video_tokens=(num_latent_frames // self.patch_size[0])
            * (height // self.pixel_multiple[0])
            * (width // self.pixel_multiple[1]),
        )


@dataclass(frozen=True)
class ClipGeometry:
    """Sizes of one clip; see [`CodecGeometry.clip`]."""

    num_frames: int
    frame_rate: float
    num_latent_frames: int
    latent_height: int
    latent_width: int
    num_audio_latents: int
    num_video_tokens: int

    @property
    def duration_seconds(self) -> float:
        return self.num_frames / self.frame_rate
