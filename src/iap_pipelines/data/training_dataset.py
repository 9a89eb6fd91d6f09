"""Training samples from precomputed latents, and their batches.

Letters: B samples of a batch, R noise draws per sample, C and C_audio latent channels, F latent frames, h, w latent
rows and columns, L audio latents, l latents of one recording, T caption tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from iap_pipelines.data.clip_folder import ClipEntry, IdentityEntry
from iap_pipelines.data.conditions import (
    ConditionDropout,
    draw_conditions,
    speaking_order,
    with_silent_companion,
    without_anchors,
)
from iap_pipelines.data.latent_store import LatentStore
from iap_pipelines.models.transformer_iap import IAPIdentityInputs
from iap_pipelines.pipelines.identity import SubjectLatents, collate_identity


TargetKind = Literal["frames", "audio", "clips"]
ReferenceSource = Literal["own", "target"]


class TrainingSample(NamedTuple):
    """One clip with the conditions drawn for it."""

    video: Tensor | None
    """`[R, C, F, h, w]`, F = 1 for single frames; `None` if only sound is learned"""
    audio: Tensor | None
    """`[R, L, C_audio]`; `None` if only pictures are learned"""
    caption: str
    subjects: tuple[SubjectLatents, ...]
    """in the order of their slots"""
    exchanged: tuple[SubjectLatents, ...] | None = None
    """the same subjects with somebody else's references; empty if there is nobody else, `None` if not wanted"""


class TrainingBatch(NamedTuple):
    """Stacked samples; draws of one sample stand next to each other."""

    video: Tensor | None
    """`[B * R, C, F, h, w]`"""
    audio: Tensor | None
    """`[B * R, L, C_audio]`"""
    input_ids: Tensor
    """`[B, T]`"""
    attention_mask: Tensor
    """`[B, T]`, 0 on padding"""
    identity: IAPIdentityInputs | None
    """references of B samples, `None` if nobody has any"""
    num_draws: int
    """R"""
    exchanged: IAPIdentityInputs | None = None
    """references with which everybody is taken for somebody else, `None` if nobody has any"""
    has_exchanged: Tensor | None = None
    """bool `[B]`, which samples have references in `exchanged`; `None` if not wanted"""


@dataclass(frozen=True)
class SampleSettings:
    """
    What a sample is made of.

    Args:
        target: `frames` learns single frames, `audio` sound alone, `clips` both together.
        num_draws: times each sample is noised per step (single frames: different ones of the clip). Caption and
            references are encoded once for all draws.
        num_views: fewest and most pictures per face.
        voice_latents: fewest and most latents of a voice recording; a random piece is cut out.
        dropout: which conditions are left out, and how often.
        references: `own` takes faces and voices from a person's references, `target` from the target clip itself.
        anchors: whether captions say which subject is which.
        ordered_slots: how often subjects are numbered in the order in which they speak (`frames`: from left to right)
            instead of at random.
        silent_companions: how often a clip of one person gets a second one who says nothing but whose voice is a
            reference too (`audio` only: nobody is seen).
        exchanges: whether samples also bring somebody else's references for everybody: of the next subject, or of a
            stranger for who is alone.

    Raises:
        ValueError: if there are silent companions but pictures are learned.
    """

    target: TargetKind
    num_draws: int
    num_views: tuple[int, int]
    voice_latents: tuple[int, int]
    dropout: ConditionDropout
    references: ReferenceSource = "own"
    anchors: bool = True
    ordered_slots: float = 0.0
    silent_companions: float = 0.0
    exchanges: bool = False

    def __post_init__(self) -> None:
        if self.silent_companions and self.target != "audio":
            raise ValueError(
                f"`silent_companions` is {self.silent_companions}, but with `target: {self.target}` a companion would "
                "have to be seen; expected 0, or `target: audio`."
            )


class IdentityClipDataset:
    """
    Clips with references of their people. References come from elsewhere than the target, when there are any.

    Args:
        clips: what to learn.
        identities: everybody in the clips, by name.
        latents: of both.
        settings: what a sample is made of.

    Raises:
        ValueError: if there are no clips, or latents of a clip or a person are missing.
    """

    def __init__(
        self,
        clips: Sequence[ClipEntry],
        identities: dict[str, IdentityEntry],
        latents: LatentStore,
        settings: SampleSettings,
    ) -> None:
        self.clips = list(clips)
        self.identities = identities
        self.latents = latents
        self.settings = settings
        self._people = sorted({identity for clip in clips for identity in clip.identities})
        self._check()

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def learns_video(self) -> bool:
        return self.settings.target != "audio"

    @property
    def learns_audio(self) -> bool:
        return self.settings.target != "frames"

    def padding_references(self) -> SubjectLatents:
        """A face and a voice, shaped as those of this dataset, for [`pad_references`]."""
        seen = next((key for name in self._people if (key := f"{name}/faces") in self.latents), None)
        heard = next((key for name in self._people for key in self.latents.recordings(name)), None)
        faces = torch.zeros_like(self.latents.read(seen)[:1]) if self.learns_video and seen else None
        voice = torch.zeros_like(self.latents.read(heard)[:1]) if self.learns_audio and heard else None
        return SubjectLatents(faces, voice)

    def buckets(self) -> dict[tuple[int, ...], list[int]]:
        """Indices of the clips that can be stacked: equal number of people, height, width, frames and frame rate."""
        buckets: dict[tuple[int, ...], list[int]] = {}
        for index, clip in enumerate(self.clips):
            key = (len(clip.identities), clip.height, clip.width, clip.num_frames, clip.frame_rate)
            buckets.setdefault(key, []).append(index)
        return buckets

    def sample(self, index: int, generator: np.random.Generator) -> TrainingSample:
        """Clip `index` with conditions drawn from `generator`, which alone decides everything random about it."""
        clip = self.clips[index]
        if self.settings.silent_companions and len(clip.identities) == 1:
            clip = self._with_companion(clip, generator)
        drawn = draw_conditions(
            clip.caption, len(clip.identities), self.settings.dropout, generator, order=self._order(clip, generator)
        )
        subjects = []
        for slot, subject in enumerate(drawn.order):
            with_face = drawn.with_face[slot] and self.learns_video
            with_voice = drawn.with_voice[slot] and self.learns_audio
            faces = self._faces(clip, subject, generator) if with_face else None
            voice = self._voice(clip, subject, generator) if with_voice else None
            subjects.append(SubjectLatents(faces, voice))
        caption = drawn.caption if self.settings.anchors else without_anchors(drawn.caption)
        exchanged = self._exchanged(clip, subjects, generator) if self.settings.exchanges else None
        return TrainingSample(self._video(clip, generator), self._audio(clip), caption, tuple(subjects), exchanged)

    def _order(self, clip: ClipEntry, generator: np.random.Generator) -> tuple[int, ...] | None:
        """An order that is not random, now and then."""
        if self.settings.ordered_slots == 0 or generator.random() >= self.settings.ordered_slots:
            return None
        return speaking_order(clip.caption) if self.learns_audio else tuple(range(len(clip.identities)))

    def _stranger(self, clip: ClipEntry, generator: np.random.Generator) -> str | None:
        """Somebody who is not the one person of the clip."""
        others = [name for name in self._people if name != clip.identities[0]]
        return others[int(generator.integers(len(others)))] if others else None

    def _exchanged(
        self, clip: ClipEntry, subjects: Sequence[SubjectLatents], generator: np.random.Generator
    ) -> tuple[SubjectLatents, ...]:
        """Everybody with the references of the next one; who is alone, with as many of a stranger's."""
        if len(subjects) > 1:
            return (*subjects[1:], subjects[0])
        if self.settings.references == "target" or (stranger := self._stranger(clip, generator)) is None:
            return ()
        elsewhere = replace(clip, identities=(stranger,))
        faces = None if subjects[0].faces is None else self._faces(elsewhere, 0, generator)
        voice = None if subjects[0].voice is None else self._voice(elsewhere, 0, generator)
        return (SubjectLatents(faces, voice),)

    def _with_companion(self, clip: ClipEntry, generator: np.random.Generator) -> ClipEntry:
        """The clip, now and then with somebody from another clip who listens."""
        if len(self._people) == 1 or generator.random() >= self.settings.silent_companions:
            return clip
        companion = self._stranger(clip, generator)
        caption = with_silent_companion(
            clip.caption,
            self.settings.dropout.generic_appearance,
            companion_is_left=bool(generator.integers(2)),
        )
        speech = (*clip.speech, None) if clip.speech else ()
        return replace(clip, identities=(*clip.identities, companion), caption=caption, speech=speech)

    def _video(self, clip: ClipEntry, generator: np.random.Generator) -> Tensor | None:
        draws = self.settings.num_draws
        if self.settings.target == "audio":
            return None
        if self.settings.target == "clips":
            return self.latents.read(f"{clip.clip_id}/video").expand(draws, -1, -1, -1, -1)
        frames = self.latents.read(f"{clip.clip_id}/frames")
        chosen = generator.choice(len(frames), draws, replace=draws > len(frames))
        return frames[torch.from_numpy(chosen)][:, :, None]

    def _audio(self, clip: ClipEntry) -> Tensor | None:
        if not self.learns_audio:
            return None
        return self.latents.read(f"{clip.clip_id}/audio").expand(self.settings.num_draws, -1, -1)

    def _faces(self, clip: ClipEntry, subject: int, generator: np.random.Generator) -> Tensor | None:
        identity = self.identities[clip.identities[subject]]
        if f"{identity.identity}/faces" not in self.latents:
            return None
        faces = self.latents.read(f"{identity.identity}/faces")
        if self.settings.references == "target":
            frames = self.latents.read(f"{clip.clip_id}/frames")
            faces = cut_square(frames, subject, len(clip.identities), side=faces.shape[-1])
        else:
            faces = faces[_from_elsewhere(identity.face_clips, clip, len(faces))]
        fewest, most = self.settings.num_views
        count = min(len(faces), int(generator.integers(fewest, most, endpoint=True)))
        return faces[torch.from_numpy(generator.choice(len(faces), count, replace=False))]

    def _voice(self, clip: ClipEntry, subject: int, generator: np.random.Generator) -> Tensor | None:
        if self.settings.references == "target":
            voice = self._own_speech(clip, subject)
            if voice is None:
                return None
        else:
            identity = self.identities[clip.identities[subject]]
            recordings = self.latents.recordings(identity.identity)
            if not recordings:
                return None
            allowed = _from_elsewhere(identity.voice_clips, clip, len(recordings))
            voice = self.latents.read(recordings[allowed[int(generator.integers(len(allowed)))]])
        shortest, longest = self.settings.voice_latents
        length = min(len(voice), int(generator.integers(shortest, longest, endpoint=True)))
        start = int(generator.integers(len(voice) - length, endpoint=True))
        return voice[start : start + length]

    def _own_speech(self, clip: ClipEntry, subject: int) -> Tensor | None:
        """What a subject says in the clip; `None` for one who is silent."""
        if clip.speech[subject] is None:
            return None
        latents = self.latents.read(f"{clip.clip_id}/audio")
        per_second = len(latents) * clip.frame_rate / clip.num_frames
        start, end = (round(seconds * per_second) for seconds in clip.speech[subject])
        return latents[start : max(end, start + 1)]

    def _check(self) -> None:
        if not self.clips:
            raise ValueError("`clips` is empty: no clip has the wanted split and number of people.")
        kinds = {"frames": ("frames",), "audio": ("audio",), "clips": ("video", "audio")}[self.settings.target]
        if self.settings.references == "target":
            kinds = {*kinds, *(("frames",) if self.learns_video else ())}
            untold = [clip.clip_id for clip in self.clips if self.learns_audio and not clip.speech]
            if untold:
                raise ValueError(f"`references: target` needs to know who speaks when: {untold[0]} has no `lines`.")
        wanted = {f"{clip.clip_id}/{kind}" for clip in self.clips for kind in kinds}
        if self.learns_video:
            wanted |= {f"{identity}/faces" for identity in self._people if self.identities[identity].faces}
        missing = sorted(key for key in wanted if key not in self.latents)
        if self.learns_audio:
            audible = {identity for identity in self._people if self.identities[identity].voices}
            missing += sorted(identity for identity in audible if not self.latents.recordings(identity))
        if missing:
            raise ValueError(
                f"`latents` lacks {len(missing)} entries, {missing[0]!r} first. Run the precomputation to its end."
            )


def _from_elsewhere(origins: Sequence[str | None], clip: ClipEntry, count: int) -> list[int]:
    """Indices of the references that were not taken from this clip; of all when there are no others."""
    own = {i for i, origin in enumerate(origins) if origin is not None and origin == clip.cut_from}
    return [i for i in range(count) if i not in own] or list(range(count))


def cut_square(frames: Tensor, position: int, num_people: int, side: int) -> Tensor:
    """
    Cut the square around one person out of latents of people who stand side by side.

    Args:
        frames: latents `[N, C, h, w]`.
        position: counted from the left, from 0.
        num_people: who share the width evenly.
        side: latent rows and columns of the square, at most h and w.

    Returns:
        `[N, C, side, side]`.

    >>> cut_square(torch.arange(8.0).expand(1, 1, 6, 8), 1, 2, side=6)[0, 0, 0].tolist()
    [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    """
    height, width = frames.shape[-2:]
    left = round((position + 0.5) * width / num_people - side / 2)
    left, top = min(max(left, 0), width - side), (height - side) // 2
    return frames[..., top : top + side, left : left + side]


def collate(
    samples: Sequence[TrainingSample], tokenizer: PreTrainedTokenizerBase, caption_length: int
) -> TrainingBatch:
    """
    Stack samples of one bucket.

    Args:
        samples: with targets of equal shape.
        tokenizer: of the text encoder.
        caption_length: tokens T of every caption, padded; longer ones are cut.
    """
    tokens = tokenizer(
        [sample.caption for sample in samples],
        padding="max_length",
        max_length=caption_length,
        truncation=True,
        return_tensors="pt",
    )
    targets = [sample.video if sample.video is not None else sample.audio for sample in samples]
    return TrainingBatch(
        video=None if samples[0].video is None else torch.cat([sample.video for sample in samples]),
        audio=None if samples[0].audio is None else torch.cat([sample.audio for sample in samples]),
        input_ids=tokens.input_ids,
        attention_mask=tokens.attention_mask,
        identity=collate_identity([sample.subjects for sample in samples]),
        num_draws=len(targets[0]),
        **_collate_exchanged([sample.exchanged for sample in samples]),
    )


def _collate_exchanged(samples: Sequence[tuple[SubjectLatents, ...] | None]) -> dict[str, Any]:
    if samples[0] is None:
        return {}
    given = [any(subject.faces is not None or subject.voice is not None for subject in sample) for sample in samples]
    return {"exchanged": collate_identity(samples), "has_exchanged": torch.tensor(given)}


def pad_references(batch: TrainingBatch, padding: SubjectLatents) -> TrainingBatch:
    """
    Give a batch without faces or without voices one that nobody sees, so that every parameter has a gradient.

    Args:
        batch: of any number of samples.
        padding: a face `[1, C, h, w]` and a voice `[1, C_audio]`, or `None` for what no batch has.
    """
    count = len(batch.input_ids)
    padded = {"identity": _padded(batch.identity, padding, count)}
    if batch.has_exchanged is not None:
        padded["exchanged"] = _padded(batch.exchanged, padding, count)
    return batch._replace(**padded)


def _padded(inputs: IAPIdentityInputs | None, padding: SubjectLatents, count: int) -> IAPIdentityInputs:
    inputs = inputs or IAPIdentityInputs()
    nobody = torch.zeros(count, 1, dtype=torch.long)
    unseen = torch.zeros(count, 1, dtype=torch.bool)
    if inputs.face_latents is None and padding.faces is not None:
        faces = padding.faces.expand(count, *padding.faces.shape)
        inputs = inputs._replace(face_latents=faces, face_subjects=nobody, face_mask=unseen)
    if inputs.voice_latents is None and padding.voice is not None:
        voices = padding.voice.expand(count, 1, *padding.voice.shape)
        inputs = inputs._replace(voice_latents=voices, voice_subjects=nobody, voice_mask=unseen[..., None])
    return inputs
