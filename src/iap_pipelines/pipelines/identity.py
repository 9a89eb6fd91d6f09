"""Subjects on their way into the transformer: files, then latents, then the constants that every step reads."""

import dataclasses
import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from iap_pipelines.identity_card import FACE_LATENTS, KEYS_AND_VALUES, VOICE_LATENTS, IdentityCard
from iap_pipelines.media import MediaError, read_audio, read_image
from iap_pipelines.models.transformer_iap import (
    IAPIdentityInputs,
    IAPIdentityMemory,
    KeyValue,
    LayerMemory,
    Towers,
)
from iap_pipelines.pipelines.guidance import Branch, IdentityKey
from iap_pipelines.provenance import Reference
from iap_pipelines.provenance.digests import reference_digest
from iap_pipelines.types import AudioSamples, Subject, check_scale


# Quieter than this everywhere (-60 dB of full scale) is a recording of nothing.
SILENCE_PEAK = 1e-3
MIN_VOICE_SECONDS = 0.3
"""Shorter recordings hold no timbre to speak of."""
MIN_FACE_PIXELS = 16
_FORMAT = "iap-encoded-identity-2"  # 2: with the digests of the references


@dataclass(frozen=True, eq=False)
class LoadedSubject:
    """A [`Subject`] whose files have been read."""

    views: tuple[Image.Image, ...] = ()
    voice: AudioSamples | None = None
    face_scale: float = 1.0
    voice_scale: float = 1.0
    references: tuple[Reference, ...] = ()
    """the files or values as they were given"""
    card: IdentityCard | None = None
    adapter: str | None = None

    @property
    def num_views(self) -> int:
        return len(self.views)


@dataclass(frozen=True, eq=False)
class SubjectLatents:
    """
    A subject as the transformer sees it. `IAPPipeline` takes it wherever it takes a [`Subject`].

    Raises:
        ValueError: another number of dimensions, no entries, NaN or infinity, or a negative scale.
    """

    faces: Tensor | None = None
    """`[V, C, h, w]`, one latent picture per view, as `IAPPipeline.encode_faces` returns it"""
    voice: Tensor | None = None
    """`[l, C_audio]`, as `IAPPipeline.encode_voice` returns it"""
    face_scale: float = 1.0
    voice_scale: float = 1.0
    card: IdentityCard | None = None
    adapter: str | None = None
    """name of the LoRA adapter that acts on these references alone"""

    def __post_init__(self) -> None:
        for name, shape in (("faces", "[V, C, h, w]"), ("voice", "[l, C_audio]")):
            latents = getattr(self, name)
            if latents is None:
                continue
            if latents.ndim != shape.count(",") + 1 or latents.numel() == 0:
                raise ValueError(f"`{name}` must have the shape {shape} and not be empty, got {list(latents.shape)}.")
            if not latents.isfinite().all():
                raise ValueError(f"`{name}` contains NaN or infinity.")
        for name in ("face_scale", "voice_scale"):
            check_scale(name, getattr(self, name))

    @property
    def num_views(self) -> int:
        return 0 if self.faces is None else self.faces.shape[0]

    def check_channels(self, num_face_channels: int, num_voice_channels: int, who: str) -> None:
        """Raise a `ValueError` about `who` if these are latents of other codecs than the transformer's."""
        for name, latents, expected in (
            ("faces", self.faces, num_face_channels),
            ("voice", self.voice, num_voice_channels),
        ):
            if latents is not None and latents.shape[1] != expected:
                raise ValueError(f"`{name}` of {who} must have {expected} channels, got {latents.shape[1]}.")


@dataclass(frozen=True, eq=False)
class LoadedIdentity:
    """The people of a generation before they are encoded: per sample, its subjects in the order of their anchors."""

    samples: tuple[tuple[LoadedSubject | SubjectLatents, ...], ...]

    @classmethod
    def load(
        cls, subjects: Sequence[Subject | SubjectLatents] | Sequence[Sequence[Subject | SubjectLatents]]
    ) -> "LoadedIdentity":
        """
        Read everybody's files.

        Args:
            subjects: the people of every clip, or one such list per prompt.

        Raises:
            ValueError: see [`load_subject`]; or something that is no subject.
        """
        if not isinstance(subjects, list | tuple):
            raise ValueError(f"`subjects` must be a list of `Subject`, got {type(subjects).__name__}.")
        is_nested = bool(subjects) and all(isinstance(entry, list | tuple) for entry in subjects)
        samples = subjects if is_nested else [subjects]
        for entry in itertools.chain.from_iterable(samples):
            if not isinstance(entry, Subject | SubjectLatents):
                raise ValueError(f"`subjects` must hold `Subject`, got {type(entry).__name__}.")
        return cls(tuple(tuple(map(load_subject, sample, range(len(sample)))) for sample in samples))

    @property
    def num_subjects(self) -> tuple[int, ...]:
        return tuple(map(len, self.samples))

    @property
    def face_scales(self) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(subject.face_scale for subject in sample) for sample in self.samples)

    @property
    def voice_scales(self) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(subject.voice_scale for subject in sample) for sample in self.samples)

    @property
    def has_references(self) -> bool:
        """Whether anybody has a face or a voice."""
        return any(subject.num_views or subject.voice is not None for sample in self.samples for subject in sample)

    @property
    def references(self) -> tuple[tuple[Reference, ...], ...]:
        """Per sample, what its people were given by."""
        return tuple(
            tuple(
                reference
                for number, subject in enumerate(sample, start=1)
                for reference in (
                    subject.references if isinstance(subject, LoadedSubject) else _references(number, subject)
                )
            )
            for sample in self.samples
        )

    @property
    def adapters(self) -> frozenset[str]:
        """Adapters that belong to somebody."""
        named = (subject.adapter for sample in self.samples for subject in sample)
        return frozenset(adapter for adapter in named if adapter is not None)

    def expand(self, num_samples: int) -> "LoadedIdentity":
        """The same people for `num_samples` clips; see [`EncodedIdentity.expand`]."""
        return LoadedIdentity(repeat_rows(self.samples, num_samples // len(self.samples)))


def load_subject(subject: Subject | SubjectLatents, index: int) -> LoadedSubject | SubjectLatents:
    """
    Read a subject's files; latents are what they are.

    Args:
        subject: whom to read.
        index: position in `subjects`, from 0; used in messages.

    Raises:
        ValueError: a file that cannot be read, a picture too small for a face, a recording that is empty, silent or
            too short, scales of somebody without references. The message names the subject, the file and the reason.
    """
    name = getattr(subject, "name", None)
    who = f"`subjects[{index}]`" + (f" ({name})" if name else "")
    if isinstance(subject, Subject):
        subject = _load_latents(subject, who) if _is_card_alone(subject) else _load_files(subject, who, index)
    if not subject.num_views and subject.voice is None:
        if (subject.face_scale, subject.voice_scale) != (1, 1):
            raise ValueError(f"{who} has neither face nor voice, so `face_scale` and `voice_scale` have no effect.")
        if subject.adapter is not None:
            raise ValueError(f"{who} has neither face nor voice, so `adapter` has nothing to act on.")
    return subject


def _is_card_alone(subject: Subject) -> bool:
    return subject.card is not None and subject.face is None and subject.voice is None


def _load_files(subject: Subject, who: str, index: int) -> LoadedSubject:
    return LoadedSubject(
        views=tuple(_load_face(view, who) for view in subject.views),
        voice=_load_voice(subject.voice, who),
        face_scale=subject.face_scale,
        voice_scale=subject.voice_scale,
        references=_references(index + 1, subject),
        card=subject.card,
        adapter=subject.adapter,
    )


def _load_latents(subject: Subject, who: str) -> SubjectLatents:
    """What the identity card of a subject holds instead of a face and a voice."""
    paths = [subject.card.path(name) for name in (FACE_LATENTS, VOICE_LATENTS)]
    if paths == [None, None]:
        raise ValueError(
            f"{who} has neither face nor voice nor latents of them, only keys and values. Pass those as `identity`: "
            "`EncodedIdentity.from_card(subject.card)`."
        )
    faces, voice = (None if path is None else load_file(path)["latents"] for path in paths)
    return SubjectLatents(
        faces, voice, subject.face_scale, subject.voice_scale, card=subject.card, adapter=subject.adapter
    )


def fit_voice(voice: AudioSamples, sampling_rate: int, seconds: float, is_padded: bool = False) -> AudioSamples:
    """Resample a recording and cut it to `seconds`; `is_padded` fills a shorter one up with silence."""
    voice = voice.resample(sampling_rate)
    num_samples = round(seconds * sampling_rate)
    samples = voice.samples[:, :num_samples]
    if is_padded:
        samples = F.pad(samples, (0, num_samples - samples.shape[1]))
    return AudioSamples(samples, sampling_rate)


def _references(number: int, subject: Subject | SubjectLatents) -> tuple[Reference, ...]:
    """Digests of what subject `number`, from 1, was given by."""
    faces = subject.views if isinstance(subject, Subject) else ([] if subject.faces is None else [subject.faces])
    given = [("face", face) for face in faces]
    if subject.voice is not None:
        given.append(("voice", subject.voice))
    references = tuple(Reference(number, kind, *reference_digest(value)) for kind, value in given)
    return references + _card_references(number, subject.card)


def _card_references(number: int, card: IdentityCard | None) -> tuple[Reference, ...]:
    return () if card is None or card.digest is None else (Reference(number, "card", card.digest, "file"),)


def _load_face(view: str | os.PathLike | Image.Image, who: str) -> Image.Image:
    if isinstance(view, Image.Image):
        name, image = "the given image", view.convert("RGB")
    else:
        name = str(view)
        try:
            image = read_image(view)
        except MediaError as error:
            raise ValueError(f"Face of {who}: {error}") from error
    if min(image.size) < MIN_FACE_PIXELS:
        raise ValueError(
            f"Face of {who}: {name}: {image.width}x{image.height} pixels are too few, at least {MIN_FACE_PIXELS} are "
            f"needed."
        )
    if all(low == high for low, high in image.getextrema()):
        raise ValueError(f"Face of {who}: {name}: the picture is one flat colour, there is nobody in it.")
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
            raise ValueError(f"Voice of {who}: {error}") from error
    if audio.duration_seconds < MIN_VOICE_SECONDS:
        raise ValueError(
            f"Voice of {who}: {name}: {audio.duration_seconds:.2f} s of sound, at least {MIN_VOICE_SECONDS} s are "
            f"needed."
        )
    if is_silent(audio.samples):
        raise ValueError(f"Voice of {who}: {name}: the recording is silent.")
    return audio


def is_silent(samples: Tensor) -> bool:
    """Whether samples `[C, N]` are quieter than `SILENCE_PEAK` everywhere; a constant is as silent as zero."""
    return bool((samples - samples.mean(dim=-1, keepdim=True)).abs().max() < SILENCE_PEAK)


def drop_conditions(
    subjects: Sequence[SubjectLatents], dropped_faces: frozenset[int], dropped_voices: frozenset[int]
) -> list[SubjectLatents]:
    """
    Leave out the faces and voices of the subjects (from 0) named.

    Everybody keeps their number. With `identity_position="fixed"` those behind move up, as if there were no others.
    """
    return [
        dataclasses.replace(
            latents,
            faces=None if index in dropped_faces else latents.faces,
            voice=None if index in dropped_voices else latents.voice,
        )
        for index, latents in enumerate(subjects)
    ]


def collate_identity(samples: Sequence[Sequence[SubjectLatents]]) -> IAPIdentityInputs | None:
    """
    Bring the subjects of several samples into one batch; the transformer masks what is padding.

    Args:
        samples: per sample, its subjects in the order of their anchors. Samples may have different numbers of
            subjects, views and lengths of speech.

    Returns:
        [`IAPIdentityInputs`], or `None` if nobody has a face or a voice.
    """
    faces = [
        [
            (subject, view)
            for subject, latents in enumerate(sample)
            if latents.faces is not None
            for view in latents.faces
        ]
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

    Pass it as `identity` instead of `subjects` to skip reading and encoding, or to use a model whose identity weights
    were released. It belongs to one set of people, one clip length and one model.
    """

    memories: Mapping[IdentityKey, IAPIdentityMemory | None]
    """by what is seen of the references; `None` where nobody is left"""
    num_latent_frames: int
    num_audio_latents: int
    num_subjects: tuple[int, ...]
    """per sample"""
    face_scales: tuple[tuple[float, ...], ...]
    """per sample, per subject"""
    voice_scales: tuple[tuple[float, ...], ...]
    """per sample, per subject"""
    references: tuple[tuple[Reference, ...], ...]
    """per sample, what its people were given by"""
    model_fingerprint: str | None = None
    """of the model that encoded them, see `fingerprint.py`; `None` if it could not be told"""
    adapters: frozenset[str] = frozenset()
    """LoRA adapters that acted on their owners' references; they need not be loaded any more"""

    @property
    def has_references(self) -> bool:
        """Whether anybody has a face or a voice."""
        return any(memory is not None for memory in self.memories.values())

    def memory(self, branch: Branch) -> IAPIdentityMemory | None:
        """
        What a branch reads of these people; `None` if it leaves everybody out.

        Raises:
            ValueError: it was not encoded.
        """
        everyone = frozenset(range(max(self.num_subjects)))
        if branch.identity.dropped_faces >= everyone and branch.identity.dropped_voices >= everyone:
            return None
        if branch.identity not in self.memories:
            raise ValueError(
                f"`identity` was not encoded for the {branch.name} branch. Give `encode_identity` the same "
                "`skip_guidance_layers` and `compat` as this call."
            )
        return self.memories[branch.identity]

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
        return dataclasses.replace(
            self._map(lambda tensor: _repeat_tensor(tensor, copies)),
            num_subjects=repeat_rows(self.num_subjects, copies),
            face_scales=repeat_rows(self.face_scales, copies),
            voice_scales=repeat_rows(self.voice_scales, copies),
            references=repeat_rows(self.references, copies),
        )

    def to(self, device: str | torch.device, dtype: torch.dtype) -> "EncodedIdentity":
        """The same people on another device or in another precision; masks stay bool."""
        return self._map(
            lambda tensor: tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else tensor.dtype)
        )

    def _map(self, function: Callable[[Tensor], Tensor]) -> "EncodedIdentity":
        memories = {key: memory and _map_memory(memory, function) for key, memory in self.memories.items()}
        return dataclasses.replace(self, memories=memories)

    def save(self, path: str | os.PathLike) -> None:
        """Write a safetensors file."""
        tensors, layout = {}, []
        for index, (key, memory) in enumerate(self.memories.items()):
            if memory is not None:
                tensors.update(_flatten_memory(memory, f"memory{index}"))
            entry = {name: sorted(value) for name, value in key._asdict().items()}
            layout.append(entry | {"num_layers": None if memory is None else len(memory.layers)})
        metadata = {
            "format": _FORMAT,
            "memories": json.dumps(layout),
            "num_latent_frames": str(self.num_latent_frames),
            "num_audio_latents": str(self.num_audio_latents),
            "num_subjects": json.dumps(self.num_subjects),
            "face_scales": json.dumps(self.face_scales),
            "voice_scales": json.dumps(self.voice_scales),
            "references": json.dumps([[vars(reference) for reference in sample] for sample in self.references]),
            "adapters": json.dumps(sorted(self.adapters)),
        }
        if self.model_fingerprint is not None:
            metadata["model_fingerprint"] = self.model_fingerprint
        save_file(tensors, path, metadata=metadata)

    @classmethod
    def load(cls, path: str | os.PathLike, device: str | torch.device = "cpu") -> "EncodedIdentity":
        """Read a file that `save` wrote."""
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise ValueError(f"{os.fspath(path)}: not an encoded identity (format {metadata.get('format')!r}).")
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        memories = {}
        for index, entry in enumerate(json.loads(metadata["memories"])):
            key = IdentityKey(
                frozenset(entry["dropped_faces"]), frozenset(entry["dropped_voices"]), tuple(entry["skip_layers"])
            )
            num_layers = entry["num_layers"]
            memories[key] = None if num_layers is None else _unflatten_memory(tensors, f"memory{index}", num_layers)
        return cls(
            memories=memories,
            num_latent_frames=int(metadata["num_latent_frames"]),
            num_audio_latents=int(metadata["num_audio_latents"]),
            num_subjects=tuple(json.loads(metadata["num_subjects"])),
            face_scales=tuple(map(tuple, json.loads(metadata["face_scales"]))),
            voice_scales=tuple(map(tuple, json.loads(metadata["voice_scales"]))),
            references=tuple(
                tuple(Reference(**entry) for entry in sample) for sample in json.loads(metadata["references"])
            ),
            model_fingerprint=metadata.get("model_fingerprint"),
            adapters=frozenset(json.loads(metadata.get("adapters", "[]"))),
        )

    @classmethod
    def from_card(cls, card: IdentityCard, device: str | torch.device = "cpu") -> "EncodedIdentity":
        """
        Read the keys and values of an identity card, as loaded by `Subject.from_pretrained`.

        Raises:
            ValueError: the card has none.
        """
        path = card.path(KEYS_AND_VALUES)
        if path is None:
            raise ValueError(f"The identity card of {card.name} holds no keys and values: pass the subject itself.")
        loaded = cls.load(path, device)
        references = (loaded.references[0] + _card_references(1, card),)
        return dataclasses.replace(loaded, references=references)


def repeat_rows(rows: tuple, copies: int) -> tuple:
    """Each row `copies` times, one after another."""
    return tuple(row for row in rows for _ in range(copies))


def _repeat_tensor(value: Tensor, copies: int) -> Tensor:
    """Repeat each sample; a single one is expanded without copying it."""
    return value.expand(copies, *value.shape[1:]) if value.shape[0] == 1 else value.repeat_interleave(copies, dim=0)


def merge_memories(memories: Sequence[IAPIdentityMemory]) -> IAPIdentityMemory:
    """
    Join what several groups of people let the target read, each encoded without the others.

    Args:
        memories: of the same samples, layers and clip; at least one.
    """
    if len(memories) == 1:
        return memories[0]
    layers = []
    for parts in zip(*(memory.layers for memory in memories), strict=True):
        towers = {
            tower: _join_key_values([part and getattr(part.identity, tower) for part in parts])
            for tower in Towers._fields
        }
        layers.append(None if parts[0] is None else LayerMemory(identity=Towers(**towers)))
    mask = Towers(**{tower: _join_masks(memories, tower) for tower in Towers._fields})
    return IAPIdentityMemory(tuple(layers), mask)


def _join_key_values(parts: Sequence[KeyValue | None]) -> KeyValue | None:
    parts = [part for part in parts if part is not None]
    return KeyValue(*(torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True))) if parts else None


def _join_masks(memories: Sequence[IAPIdentityMemory], tower: str) -> Tensor | None:
    """`None` if no group of people has padding."""
    masks = []
    for memory in memories:
        key_value = next((getattr(layer.identity, tower) for layer in memory.layers if layer is not None), None)
        if key_value is not None:
            mask = getattr(memory.mask, tower)
            everything = key_value.key.new_ones(key_value.key.shape[:2], dtype=torch.bool)
            masks.append((everything if mask is None else mask, mask is not None))
    return torch.cat([mask for mask, _ in masks], dim=1) if any(padded for _, padded in masks) else None


def _map_memory(memory: IAPIdentityMemory, function: Callable[[Tensor], Tensor]) -> IAPIdentityMemory:
    layers = []
    for layer in memory.layers:
        if layer is not None:
            layer = LayerMemory(identity=Towers(*(pair and KeyValue(*map(function, pair)) for pair in layer.identity)))
        layers.append(layer)
    mask = Towers(*(None if mask is None else function(mask) for mask in memory.mask))
    return IAPIdentityMemory(tuple(layers), mask)


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
