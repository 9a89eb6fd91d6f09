"""Subjects on their way into the transformer: files, then latents, then the constants that every step reads."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from iap_pipelines.media import MediaError, read_audio, read_image
from iap_pipelines.models.transformer_iap import (
    IAPIdentityInputs,
    IAPIdentityMemory,
    KeyValue,
    LayerMemory,
    Towers,
)
from iap_pipelines.types import AudioSamples, Subject


# Quieter than this everywhere (-60 dB of full scale) is a recording of nothing.
SILENCE_PEAK = 1e-3
MIN_VOICE_SECONDS = 0.3
"""Shorter recordings hold no timbre to speak of."""
MIN_FACE_PIXELS = 16


class LoadedSubject(NamedTuple):
    """A [`Subject`] whose files have been read."""

    views: tuple[Image.Image, ...]
    voice: AudioSamples | None


class SubjectLatents(NamedTuple):
    """A subject as the transformer sees it."""

    faces: Tensor | None = None
    """`[V, C, h, w]`, one latent picture per view"""
    voice: Tensor | None = None
    """`[l, C_audio]`"""


def load_subject(subject: Subject, index: int) -> LoadedSubject:
    """
    Read a subject's files.

    Args:
        subject: whom to read.
        index: position in `subjects`, from 0; used in messages.

    Raises:
        ValueError: a file that cannot be read, a picture too small for a face, a recording that is empty, silent or too
            short. The message names the subject, the file and the reason.
    """
    who = f"`subjects[{index}]`" + (f" ({subject.name})" if subject.name else "")
    return LoadedSubject(tuple(_load_face(view, who) for view in subject.views), _load_voice(subject.voice, who))


def _load_face(view: str | os.PathLike | Image.Image, who: str) -> Image.Image:
    if isinstance(view, Image.Image):
        name, image = "the given image", view.convert("RGB")
    else:
        name = str(view)
        try:
            image = read_image(view)
        except MediaError as error:
            raise MediaError(f"Face of {who}: {error}") from error
    if min(image.size) < MIN_FACE_PIXELS:
        raise MediaError(
            f"Face of {who}: {name}: {image.width}x{image.height} pixels are too few, at least {MIN_FACE_PIXELS} are needed."
        )
    if all(low == high for low, high in image.getextrema()):
        raise MediaError(f"Face of {who}: {name}: the picture is one flat colour, there is nobody in it.")
    return image


def _load_voice(voice: str | os.PathLike | AudioSamples | None, who: str) -> AudioSamples | None:
    if voice is None:
        return None
    if isinstance(voice, AudioSamples):
        name, audio = "the given samples", voice
    else:
        name = str(voice)
        try:
            audio = read_audio(voice)
        except MediaError as error:
            raise MediaError(f"Voice of {who}: {error}") from error
    if audio.duration_seconds < MIN_VOICE_SECONDS:
        raise MediaError(
            f"Voice of {who}: {name}: {audio.duration_seconds:.2f} s of sound, at least {MIN_VOICE_SECONDS} s are needed."
        )
    if audio.samples.abs().max() < SILENCE_PEAK:
        raise MediaError(f"Voice of {who}: {name}: the recording is silent.")
    return audio


def drop_conditions(
    subjects: Sequence[SubjectLatents], dropped_faces: frozenset[int], dropped_voices: frozenset[int]
) -> list[SubjectLatents]:
    """Leave out the faces and voices of the subjects (from 0) named; everybody keeps their place."""
    return [
        SubjectLatents(
            None if index in dropped_faces else latents.faces, None if index in dropped_voices else latents.voice
        )
        for index, latents in enumerate(subjects)
    ]


def collate_identity(samples: Sequence[Sequence[SubjectLatents]]) -> IAPIdentityInputs | None:
    """
    Bring the subjects of several samples into one batch; the transformer masks what is padding.

    Args:
        samples: per sample, its subjects in the order of their anchors. Samples may have different numbers of subjects,
            views and lengths of speech.

    Returns:
        [`IAPIdentityInputs`], or `None` if nobody has a face or a voice.
    """
    faces = [
        [(subject, view) for subject, latents in enumerate(sample) if latents.faces is not None for view in latents.faces]
        for sample in samples
    ]
    voices = [
        [(subject, latents.voice) for subject, latents in enumerate(sample) if latents.voice is not None]
        for sample in samples
    ]
    inputs = IAPIdentityInputs()
    if any(faces):
        latents, subjects, mask = _pad_entries(faces)
        inputs = inputs._replace(face_latents=latents, face_subjects=subjects, face_mask=None if mask.all() else mask)
    if any(voices):
        length = max(voice.shape[0] for sample in voices for _, voice in sample)
        padded = [[(k, F.pad(voice, (0, 0, 0, length - voice.shape[0]))) for k, voice in sample] for sample in voices]
        latents, subjects, mask = _pad_entries(padded)
        lengths = torch.zeros(mask.shape, dtype=torch.long, device=mask.device)
        for row, sample in enumerate(voices):
            for column, (_, voice) in enumerate(sample):
                lengths[row, column] = voice.shape[0]
        voice_mask = torch.arange(length, device=mask.device) < lengths[..., None]
        voice_mask = None if voice_mask.all() else voice_mask
        inputs = inputs._replace(voice_latents=latents, voice_subjects=subjects, voice_mask=voice_mask)
    return inputs if any(faces) or any(voices) else None


def _pad_entries(samples: Sequence[Sequence[tuple[int, Tensor]]]) -> tuple[Tensor, Tensor, Tensor]:
    """Entries `[B, N, ...]`, their subjects `[B, N]`, and True where an entry is real `[B, N]`."""
    example = next(value for sample in samples for _, value in sample)
    batch_size, num_entries = len(samples), max(map(len, samples))
    values = example.new_zeros(batch_size, num_entries, *example.shape)
    subjects = torch.zeros(batch_size, num_entries, dtype=torch.long, device=example.device)
    mask = torch.zeros(batch_size, num_entries, dtype=torch.bool, device=example.device)
    for row, sample in enumerate(samples):
        for column, (subject, value) in enumerate(sample):
            values[row, column], subjects[row, column], mask[row, column] = value, subject, True
    return values, subjects, mask


@dataclass(frozen=True)
class EncodedIdentity:
    """
    The people of a generation, encoded for good: what `IAPPipeline.encode_identity` returns.

    Pass it as `identity` instead of `subjects` to skip reading and encoding, or to use a model whose identity weights were
    released. It belongs to one set of people, one clip length and one model.
    """

    memories: Mapping[str, IAPIdentityMemory | None]
    """by branch name; `None` for a branch without anybody"""
    num_latent_frames: int
    num_audio_latents: int
    num_subjects: tuple[int, ...]
    """per sample"""
    face_scales: tuple[tuple[float, ...], ...]
    """per sample, per subject"""
    voice_scales: tuple[tuple[float, ...], ...]
    """per sample, per subject"""

    def expand(self, num_samples: int) -> "EncodedIdentity":
        """
        The same people for `num_samples` clips: one sample serves all of them, several are repeated in turn.

        Raises:
            ValueError: `num_samples` is not a multiple of the samples held.
        """
        held = len(self.num_subjects)
        if num_samples % held != 0:
            raise ValueError(f"`identity` holds {held} samples, which cannot serve {num_samples} clips.")
        if num_samples == held:
            return self
        copies = num_samples // held
        by_id = {id(memory): _repeat_memory(memory, copies) for memory in self.memories.values() if memory is not None}
        return dataclasses.replace(
            self,
            memories={name: memory and by_id[id(memory)] for name, memory in self.memories.items()},
            num_subjects=_repeat_rows(self.num_subjects, copies),
            face_scales=_repeat_rows(self.face_scales, copies),
            voice_scales=_repeat_rows(self.voice_scales, copies),
        )

    def save(self, path: str | os.PathLike) -> None:
        """Write a safetensors file. Branches that share their constants share them in the file."""
        tensors, layout, stored = {}, {}, {}
        for branch, memory in self.memories.items():
            if memory is None:
                layout[branch] = None
                continue
            if id(memory) not in stored:
                stored[id(memory)] = f"memory{len(stored)}"
                tensors.update(_flatten_memory(memory, stored[id(memory)]))
            layout[branch] = {"prefix": stored[id(memory)], "num_layers": len(memory.layers)}
        metadata = {
            "format": "iap-encoded-identity-1",
            "branches": json.dumps(layout),
            "num_latent_frames": str(self.num_latent_frames),
            "num_audio_latents": str(self.num_audio_latents),
            "num_subjects": json.dumps(self.num_subjects),
            "face_scales": json.dumps(self.face_scales),
            "voice_scales": json.dumps(self.voice_scales),
        }
        save_file(tensors, path, metadata=metadata)

    @classmethod
    def load(cls, path: str | os.PathLike, device: str | torch.device = "cpu") -> "EncodedIdentity":
        """Read a file that `save` wrote."""
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != "iap-encoded-identity-1":
                raise ValueError(f"{os.fspath(path)}: not an encoded identity (format {metadata.get('format')!r}).")
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        by_prefix = {}
        memories = {}
        for branch, entry in json.loads(metadata["branches"]).items():
            if entry is not None and entry["prefix"] not in by_prefix:
                by_prefix[entry["prefix"]] = _unflatten_memory(tensors, entry["prefix"], entry["num_layers"])
            memories[branch] = None if entry is None else by_prefix[entry["prefix"]]
        return cls(
            memories=memories,
            num_latent_frames=int(metadata["num_latent_frames"]),
            num_audio_latents=int(metadata["num_audio_latents"]),
            num_subjects=tuple(json.loads(metadata["num_subjects"])),
            face_scales=tuple(map(tuple, json.loads(metadata["face_scales"]))),
            voice_scales=tuple(map(tuple, json.loads(metadata["voice_scales"]))),
        )


def _repeat_rows(rows: tuple, copies: int) -> tuple:
    return tuple(row for row in rows for _ in range(copies))


def _repeat_tensor(value: Tensor | None, copies: int) -> Tensor | None:
    """Repeat each sample; a single one is expanded without copying it."""
    if value is None:
        return None
    return value.expand(copies, *value.shape[1:]) if value.shape[0] == 1 else value.repeat_interleave(copies, dim=0)


def _repeat_memory(memory: IAPIdentityMemory, copies: int) -> IAPIdentityMemory:
    layers = []
    for layer in memory.layers:
        if layer is not None:
            towers = (pair and KeyValue(*(_repeat_tensor(tensor, copies) for tensor in pair)) for pair in layer.identity)
            layer = LayerMemory(identity=Towers(*towers))
        layers.append(layer)
    return IAPIdentityMemory(tuple(layers), Towers(*(_repeat_tensor(mask, copies) for mask in memory.mask)))


def _flatten_memory(memory: IAPIdentityMemory, prefix: str) -> dict[str, Tensor]:
    tensors = {}
    for tower in Towers._fields:
        mask = getattr(memory.mask, tower)
        if mask is not None:
            tensors[f"{prefix}.mask.{tower}"] = mask.contiguous()
        for index, layer in enumerate(memory.layers):
            key_value = None if layer is None else getattr(layer.identity, tower)
            if key_value is not None:
                tensors[f"{prefix}.{index}.{tower}.key"] = key_value.key.contiguous()
                tensors[f"{prefix}.{index}.{tower}.value"] = key_value.value.contiguous()
    return tensors


def _unflatten_memory(tensors: Mapping[str, Tensor], prefix: str, num_layers: int) -> IAPIdentityMemory:
    layers = []
    for index in range(num_layers):
        towers = {}
        for tower in Towers._fields:
            name = f"{prefix}.{index}.{tower}"
            if f"{name}.key" in tensors:
                towers[tower] = KeyValue(tensors[f"{name}.key"], tensors[f"{name}.value"])
        layers.append(LayerMemory(identity=Towers(**towers)) if towers else None)
    mask = Towers(*(tensors.get(f"{prefix}.mask.{tower}") for tower in Towers._fields))
    return IAPIdentityMemory(tuple(layers), mask)
