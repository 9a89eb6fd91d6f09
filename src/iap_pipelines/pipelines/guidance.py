"""Guidance as arithmetic on named predictions, and the plan of which predictions a generation needs.

A *branch* is one call of the transformer per step. The conditional branch has everything; each other branch leaves
something out, and its contrast with the conditional branch says what that something contributes. A scale of 1 adds none
of it, so a branch whose scales are all 1 is never computed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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

    `conditional + sum over branches of (scale - 1) * (conditional - prediction of the branch)`. With one branch this is
    classifier-free guidance (arXiv 2207.12598).

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


@dataclass(frozen=True)
class Branch:
    """What one call of the transformer per step is given."""

    name: str
    has_prompt: bool = True
    """the prompt, or else the negative prompts"""
    dropped_face_subjects: frozenset[int] = frozenset()
    """subjects (from 0) whose faces are left out"""
    dropped_voice_subjects: frozenset[int] = frozenset()
    """subjects (from 0) whose voices are left out"""
    skip_layers: tuple[int, ...] = ()


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


@dataclass(frozen=True)
class GuidanceScales:
    """Scales as the user gives them. 1 is neutral everywhere."""

    text_video: float
    text_audio: float
    face: float
    voice: float
    subject_faces: Sequence[Sequence[float]]
    """per sample, per subject"""
    subject_voices: Sequence[Sequence[float]]
    """per sample, per subject"""

    def plan(self, *, skip_layers: tuple[int, ...], official: bool) -> GuidancePlan:
        """
        Decide which branches are needed.

        Args:
            skip_layers: layers that the unconditional branch leaves out.
            official: drop voices in the unconditional branch and let the video text scale alone decide whether it runs, as the
                published model does.
        """
        batch_size = len(self.subject_faces)
        num_subjects = max((len(scales) for scales in self.subject_faces), default=0)
        everyone = frozenset(range(num_subjects))
        branches = [Branch(CONDITIONAL)]
        video_scales, audio_scales = {}, {}

        def add(branch: Branch, video_scale: Tensor, audio_scale: Tensor) -> None:
            branches.append(branch)
            video_scales[branch.name] = video_scale
            audio_scales[branch.name] = audio_scale

        has_text_guidance = self.text_video != 1 or (self.text_audio != 1 and not official)
        if has_text_guidance:
            dropped_voices = everyone if official else frozenset()
            add(
                Branch(
                    UNCONDITIONAL, has_prompt=False, dropped_voice_subjects=dropped_voices, skip_layers=skip_layers
                ),
                torch.full((batch_size,), self.text_video),
                torch.full((batch_size,), self.text_audio),
            )
        if self.face != 1 or self.voice != 1:
            add(
                Branch(WITHOUT_IDENTITY, dropped_face_subjects=everyone, dropped_voice_subjects=everyone),
                torch.full((batch_size,), self.face),
                torch.full((batch_size,), self.voice),
            )
        for index in range(num_subjects):
            face_scales = _column(self.subject_faces, index)
            voice_scales = _column(self.subject_voices, index)
            if (face_scales != 1).any() or (voice_scales != 1).any():
                dropped = frozenset({index})
                add(
                    Branch(
                        without_subject(index), dropped_face_subjects=dropped, dropped_voice_subjects=dropped
                    ),
                    face_scales,
                    voice_scales,
                )
        return GuidancePlan(tuple(branches), video_scales, audio_scales)


def _column(rows: Sequence[Sequence[float]], index: int) -> Tensor:
    """Entry `index` of every row; rows that are too short are neutral."""
    return torch.tensor([row[index] if index < len(row) else 1.0 for row in rows])
