"""Guidance as arithmetic on named predictions, and the plan of which predictions a generation needs.

A *branch* is one call of the transformer per step. The conditional branch has everything; each other branch leaves
something out, and its contrast with the conditional branch says what that something contributes. A scale of 1 adds
none of it, so a branch whose scales are all 1 is never computed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor


CONDITIONAL = "conditional"
UNCONDITIONAL = "unconditional"
WITHOUT_IDENTITY = "without_identity"


def without_subject(index: int) -> str:
    """Name of the branch that leaves out subject `index` (from 0)."""
    return f"without_subject_{index + 1}"


def apply_guidance(predictions: Mapping[str, Tensor], scales: Mapping[str, Tensor]) -> Tensor:
    """
    Move the conditional prediction away from what it would be without a condition.

    `conditional + sum over branches of (scale - 1) * (conditional - prediction of the branch)`. With one branch this
    is classifier-free guidance (arXiv 2207.12598).

    Args:
        predictions: velocities by branch name, all of one shape; must contain `"conditional"`.
        scales: per branch, `[B]`, one scale per sample. 1 is neutral.

    Returns:
        Guided velocity, shaped and typed as the conditional prediction.
    """
    conditional = predictions[CONDITIONAL]
    guided = conditional
    for name, scale in scales.items():
        weight = (scale - 1).to(conditional).reshape(-1, *[1] * (conditional.ndim - 1))
        guided = guided + weight * (conditional - predictions[name])
    return guided


class IdentityKey(NamedTuple):
    """What a branch sees of the references. Branches that see the same share one memory, computed once."""

    dropped_faces: frozenset[int] = frozenset()
    """subjects (from 0) whose faces are left out"""
    dropped_voices: frozenset[int] = frozenset()
    """subjects (from 0) whose voices are left out"""
    skip_layers: tuple[int, ...] = ()
    """layers left out; identity tokens skip them too, which changes what later layers offer"""


@dataclass(frozen=True)
class Branch:
    """What one call of the transformer per step is given."""

    name: str
    has_prompt: bool = True
    """the prompt, or else the negative prompts"""
    identity: IdentityKey = IdentityKey()


@dataclass(frozen=True)
class GuidancePlan:
    """The branches of a generation and how they are combined per tower."""

    branches: tuple[Branch, ...]
    video_scales: Mapping[str, Tensor]
    """`[B]` per branch name"""
    audio_scales: Mapping[str, Tensor]
    """`[B]` per branch name"""

    @property
    def uses_negative_prompt(self) -> bool:
        return any(not branch.has_prompt for branch in self.branches)


IDENTITY_SCALES = ("face_guidance_scale", "voice_guidance_scale")
SCALES = ("guidance_scale", "audio_guidance_scale", *IDENTITY_SCALES)
"""Every checkpoint has a choice of its own for these, in its config."""


@dataclass(frozen=True)
class GuidanceSettings:
    """
    Guidance as the user asks for it; fields are named as the arguments of `IAPPipeline.__call__`. 1 is neutral
    everywhere.

    Raises:
        ValueError: a scale that is negative or not finite, an unknown `compat`, layers to skip in a branch that never
            runs.
    """

    guidance_scale: float = 4.0
    audio_guidance_scale: float = 3.0
    face_guidance_scale: float = 1.0
    voice_guidance_scale: float = 1.0
    skip_guidance_layers: tuple[int, ...] = ()
    """layers that the unconditional branch leaves out"""
    compat: str = "native"
    """`"official"` drops voices in the unconditional branch and lets `guidance_scale` alone decide whether it runs"""

    def __post_init__(self) -> None:
        layers = self.skip_guidance_layers
        if not isinstance(layers, Sequence) or not all(isinstance(layer, int) for layer in layers):
            raise ValueError(f"`skip_guidance_layers` must be a list of layer numbers, got {layers!r}.")
        object.__setattr__(self, "skip_guidance_layers", tuple(sorted(set(layers))))
        for name in SCALES:
            scale = getattr(self, name)
            if not isinstance(scale, Real) or not math.isfinite(scale) or scale < 0:
                raise ValueError(f"`{name}` must be a finite number, 0 or more, got {scale!r}.")
        if self.compat not in ("native", "official"):
            raise ValueError(f"`compat` must be 'native' or 'official', got {self.compat!r}.")
        if self.skip_guidance_layers and not self.has_text_guidance:
            raise ValueError("`skip_guidance_layers` has no effect while text guidance is off (its scales are 1).")

    @classmethod
    def of_call(cls, config: Mapping[str, Any], **given: Any) -> Self:
        """
        What a call asks for.

        Args:
            config: of the pipeline, with the checkpoint's own scales.
            given: fields by name; those that are `None` or left out are the checkpoint's, or as declared here.
        """
        chosen = {name: value for name, value in given.items() if value is not None}
        own = {name: config[name] for name in SCALES}
        return cls(**(own | chosen))

    @property
    def is_official(self) -> bool:
        return self.compat == "official"

    @property
    def has_text_guidance(self) -> bool:
        """Whether the unconditional branch, the one with the negative prompts, runs."""
        return self.guidance_scale != 1 or (self.audio_guidance_scale != 1 and not self.is_official)

    @property
    def has_identity_guidance(self) -> bool:
        return self.face_guidance_scale != 1 or self.voice_guidance_scale != 1

    def plan(
        self,
        face_scales: Sequence[Sequence[float]],
        voice_scales: Sequence[Sequence[float]],
        has_references: bool = True,
    ) -> GuidancePlan:
        """
        Decide which branches are needed.

        Args:
            face_scales: per clip, per subject.
            voice_scales: likewise.
            has_references: whether anybody has a face or a voice. Without any there is nothing to leave out.
        """
        batch_size = len(face_scales)
        num_subjects = max(map(len, face_scales))
        everyone = frozenset(range(num_subjects))
        branches = [Branch(CONDITIONAL)]
        video_scales, audio_scales = {}, {}

        def add(branch: Branch, video_scale: Tensor, audio_scale: Tensor) -> None:
            branches.append(branch)
            video_scales[branch.name] = video_scale
            audio_scales[branch.name] = audio_scale

        if self.has_text_guidance:
            seen = IdentityKey(
                dropped_voices=everyone if self.is_official else frozenset(), skip_layers=self.skip_guidance_layers
            )
            add(
                Branch(UNCONDITIONAL, has_prompt=False, identity=seen),
                torch.full((batch_size,), float(self.guidance_scale)),
                torch.full((batch_size,), float(self.audio_guidance_scale)),
            )
        if self.has_identity_guidance and has_references:
            add(
                Branch(WITHOUT_IDENTITY, identity=IdentityKey(everyone, everyone)),
                torch.full((batch_size,), float(self.face_guidance_scale)),
                torch.full((batch_size,), float(self.voice_guidance_scale)),
            )
        for index in range(num_subjects):
            face_column, voice_column = _column(face_scales, index), _column(voice_scales, index)
            if (face_column != 1).any() or (voice_column != 1).any():
                dropped = frozenset({index})
                add(Branch(without_subject(index), identity=IdentityKey(dropped, dropped)), face_column, voice_column)
        return GuidancePlan(tuple(branches), video_scales, audio_scales)


def _column(rows: Sequence[Sequence[float]], index: int) -> Tensor:
    """Entry `index` of every row; rows that are too short are neutral."""
    return torch.tensor([float(row[index]) if index < len(row) else 1.0 for row in rows])
