"""Clips and references to latents, with the same normalisation as the pipeline.

Letters: F frames, H height, W width, N samples of sound; C and C_audio latent channels; h, w latent rows and columns.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from diffusers import AutoencoderKLWan, MMAudioVAE
from torch import Tensor

from iap_pipelines.data.clip_folder import ClipEntry, IdentityEntry, read_clips, read_identities
from iap_pipelines.data.latent_store import LatentShardWriter
from iap_pipelines.media import read_audio, read_image, read_video
from iap_pipelines.provenance.digests import weights_fingerprint
from iap_pipelines.types import AudioSamples, VideoFrames


logger = logging.getLogger(__name__)

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class LatentEncoder:
    """
    Both codecs on their way in.

    Args:
        vae: video codec; `None` skips pictures.
        audio_vae: audio codec; `None` skips sound.
    """

    vae: AutoencoderKLWan | None
    audio_vae: MMAudioVAE | None

    @torch.no_grad()
    def encode_video(self, frames: Tensor) -> Tensor:
        """uint8 `[F, H, W, 3]` to normalised latents `[C, (F - 1) / 4 + 1, h, w]`."""
        return self._encode_pictures(frames.permute(3, 0, 1, 2)[None])[0]

    @torch.no_grad()
    def encode_frames(self, frames: Tensor) -> Tensor:
        """uint8 `[N, H, W, 3]` to normalised latents `[N, C, h, w]`, each picture encoded alone."""
        return self._encode_pictures(frames.permute(0, 3, 1, 2)[:, :, None])[:, :, 0]

    def _encode_pictures(self, pictures: Tensor) -> Tensor:
        parameter = next(self.vae.parameters())
        latents = self.vae.encode(pictures.to(parameter) / 127.5 - 1).latent_dist.mode()
        mean, std = (
            torch.tensor(values, device=latents.device, dtype=latents.dtype).view(1, -1, 1, 1, 1)
            for values in (self.vae.config.latents_mean, self.vae.config.latents_std)
        )
        return ((latents - mean) / std).float().cpu()

    @torch.no_grad()
    def encode_audio(self, audio: AudioSamples) -> Tensor:
        """Sound of any rate to scaled latents `[L, C_audio]`, L = samples at the codec's rate // (2 * hop)."""
        parameter = next(self.audio_vae.parameters())
        config = self.audio_vae.config
        samples = audio.to_mono().resample(config.sample_rate).samples.to(parameter.device)
        latents = self.audio_vae.encode(samples).latent_dist.mode() * config.scaling_factor
        return latents[0].transpose(0, 1).float().cpu()


@dataclass(frozen=True)
class PrecomputeSettings:
    """
    What latents depend on besides the codecs.

    Args:
        codecs: folder with `vae` and `audio_vae`; written down beside the latents.
        frames_per_clip: single frames encoded per clip, spread evenly from the first to the last.
        shard_size: clips or people per file.
        with_video: encode pictures.
        with_audio: encode sound.
    """

    codecs: str
    frames_per_clip: int = 5
    shard_size: int = 64
    with_video: bool = True
    with_audio: bool = True


def precompute_latents(
    folder: Path, output: Path, settings: PrecomputeSettings, device: str | torch.device = "cpu"
) -> None:
    """
    Encode every clip and every reference of a folder once.

    Args:
        folder: of clips; see [`read_clips`].
        output: folder of shards; those that were made of the files that they should hold are kept, so that an
            interrupted run continues and a folder may grow.
        settings: what to encode, and with what.
        device: where the codecs run.

    Raises:
        ValueError: if `output` was begun with other settings, or with codecs that were trained again since.
    """
    codecs = Path(settings.codecs)
    encoder = LatentEncoder(
        vae=AutoencoderKLWan.from_pretrained(codecs / "vae").to(device).eval() if settings.with_video else None,
        audio_vae=MMAudioVAE.from_pretrained(codecs / "audio_vae").to(device).eval() if settings.with_audio else None,
    )
    writer = LatentShardWriter(
        output,
        {"codecs": settings.codecs, "frames_per_clip": settings.frames_per_clip},
        {name: weights_fingerprint(codec) for name, codec in vars(encoder).items() if codec is not None},
    )
    kinds = "_".join(kind for kind, wanted in (("video", encoder.vae), ("audio", encoder.audio_vae)) if wanted)
    for name, identities in _shards(
        f"identities_{kinds}", list(read_identities(folder).values()), settings.shard_size
    ):
        source = _made_of(folder, identities)
        if not writer.has(name, source):
            tensors = [_encode_identity(encoder, identity) for identity in identities]
            writer.write(name, {key: value for entry in tensors for key, value in entry.items()}, source)
            logger.info("wrote %s", name)
    for name, clips in _shards(f"clips_{kinds}", read_clips(folder), settings.shard_size):
        source = _made_of(folder, clips)
        if not writer.has(name, source):
            tensors = [_encode_clip(encoder, clip, settings.frames_per_clip) for clip in clips]
            writer.write(name, {key: value for entry in tensors for key, value in entry.items()}, source)
            logger.info("wrote %s", name)


def _shards(name: str, entries: Sequence[Entry], size: int) -> Iterator[tuple[str, Sequence[Entry]]]:
    for index, start in enumerate(range(0, len(entries), size)):
        yield f"{name}_{index:05d}", entries[start : start + size]


def _made_of(folder: Path, entries: Sequence[IdentityEntry | ClipEntry]) -> str:
    """Digest of whose files, by name and size, a shard is made of, in order."""
    files = []
    for entry in entries:
        is_clip = isinstance(entry, ClipEntry)
        paths = [entry.path] if is_clip else [*entry.faces, *entry.voices]
        whose = entry.clip_id if is_clip else entry.identity
        files.append([whose, *([os.path.relpath(path, folder), os.path.getsize(path)] for path in paths)])
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def _encode_identity(encoder: LatentEncoder, identity: IdentityEntry) -> dict[str, Tensor]:
    tensors = {}
    if encoder.vae is not None and identity.faces:
        pictures = torch.stack([_picture(face) for face in identity.faces])
        tensors[f"{identity.identity}/faces"] = encoder.encode_frames(pictures)
    if encoder.audio_vae is not None:
        for index, voice in enumerate(identity.voices):
            tensors[f"{identity.identity}/voice_{index}"] = encoder.encode_audio(read_audio(voice))
    return tensors


def _encode_clip(encoder: LatentEncoder, clip: ClipEntry, frames_per_clip: int) -> dict[str, Tensor]:
    if clip.num_frames == 1:
        return {f"{clip.clip_id}/frames": encoder.encode_frames(_picture(clip.path)[None])}
    video, audio = read_video(clip.path)
    tensors = {}
    if encoder.vae is not None:
        indices = torch.linspace(0, clip.num_frames - 1, frames_per_clip).round().long()
        tensors[f"{clip.clip_id}/video"] = encoder.encode_video(_exactly(video, clip).frames)
        tensors[f"{clip.clip_id}/frames"] = encoder.encode_frames(video.frames[indices])
    if encoder.audio_vae is not None:
        if audio is None:
            raise ValueError(f"{clip.path}: the clip has no sound, but `with_audio` asks for it.")
        tensors[f"{clip.clip_id}/audio"] = encoder.encode_audio(trim_sound(audio, clip))
    return tensors


def _picture(path: Path) -> Tensor:
    """uint8 `[H, W, 3]`"""
    return torch.from_numpy(np.array(read_image(path).convert("RGB")))


def _exactly(video: VideoFrames, clip: ClipEntry) -> VideoFrames:
    if (video.num_frames, video.height, video.width) != (clip.num_frames, clip.height, clip.width):
        raise ValueError(
            f"{clip.path}: {video.num_frames} frames of {video.height}x{video.width}, but `clips.jsonl` says "
            f"{clip.num_frames} of {clip.height}x{clip.width}."
        )
    return video


def trim_sound(audio: AudioSamples, clip: ClipEntry) -> AudioSamples:
    """Exactly as long as the pictures: coding can add a few milliseconds at the end, or lose them."""
    num_samples = round(clip.num_frames / clip.frame_rate * audio.sampling_rate)
    samples = audio.samples[:, :num_samples]
    return AudioSamples(torch.nn.functional.pad(samples, (0, num_samples - samples.shape[1])), audio.sampling_rate)
