"""What of a sample's conditions the model gets to see: permuted slots, dropped references and captions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from iap_pipelines.types import SpokenLine, StructuredCaption, SubjectDescription


_ANCHOR = re.compile(r"<S(\d+)>")
_ANCHOR_AND_COLON = re.compile(r"<S\d+>:? ?")


@dataclass(frozen=True)
class ConditionDropout:
    """
    How often conditions are left out, each a probability in [0, 1]. Draws are independent.

    Args:
        caption: the whole caption becomes empty: trains the branch without text.
        identity: no references at all, of nobody.
        face: the face of one subject.
        voice: the voice of one subject.
        appearance: the words for one subject's looks become `generic_appearance`, so that looks must come from the
            face.
        generic_appearance: those words.
    """

    caption: float = 0.0
    identity: float = 0.0
    face: float = 0.0
    voice: float = 0.0
    appearance: float = 0.0
    generic_appearance: str = "person"


@dataclass(frozen=True)
class DrawnConditions:
    """
    One draw for one sample; subjects in their new order.

    Args:
        caption: what the model reads.
        order: `order[k]` is the subject, numbered as in the clip from 0, that now has slot k and anchor `<S{k+1}>`.
        with_face: per slot, whether the face is shown.
        with_voice: per slot, whether the voice is heard.
    """

    caption: str
    order: tuple[int, ...]
    with_face: tuple[bool, ...]
    with_voice: tuple[bool, ...]


def draw_conditions(
    caption: str,
    num_subjects: int,
    dropout: ConditionDropout,
    generator: np.random.Generator,
    *,
    order: tuple[int, ...] | None = None,
) -> DrawnConditions:
    """
    Draw which conditions a sample has, and who sits in which slot.

    Args:
        caption: structured caption whose subjects are those of the clip, in order.
        num_subjects: people in the clip.
        dropout: how often what is left out.
        generator: source of all draws; always the same number of them, whatever they decide.
        order: of the subjects, as in [`DrawnConditions`]; a random one if not given.

    Raises:
        ValueError: if `caption` is not structured or has other subjects than the clip.
    """
    structured = StructuredCaption.parse(caption)
    if len(structured.subjects) != num_subjects:
        raise ValueError(
            f"`caption` describes {len(structured.subjects)} subjects, but the clip has {num_subjects}: {caption!r}."
        )
    drawn_order = tuple(generator.permutation(num_subjects).tolist())
    order = drawn_order if order is None else order
    no_caption, no_identity = generator.random(2) < (dropout.caption, dropout.identity)
    draws = generator.random((3, num_subjects))
    structured = permute_subjects(structured, order)
    structured = _hide_appearance(structured, draws[0] < dropout.appearance, dropout.generic_appearance)
    return DrawnConditions(
        caption="" if no_caption else structured.render(),
        order=order,
        with_face=tuple((~no_identity & (draws[1] >= dropout.face)).tolist()),
        with_voice=tuple((~no_identity & (draws[2] >= dropout.voice)).tolist()),
    )


def speaking_order(caption: str) -> tuple[int, ...]:
    """
    The subjects of a structured caption, from 0, in the order in which they begin to speak; silent ones last.

    >>> speaking_order('Scene: room. <S1>: left, man. <S2>: right, woman. <S2> says: "hi". <S1> says: "bye".')
    (1, 0)
    """
    structured = StructuredCaption.parse(caption)
    speakers = dict.fromkeys(line.subject - 1 for line in structured.lines)
    return (*speakers, *(index for index in range(len(structured.subjects)) if index not in speakers))


def permute_subjects(caption: StructuredCaption, order: Sequence[int]) -> StructuredCaption:
    """
    Number the subjects anew: the one that was `<S{order[k]+1}>` becomes `<S{k+1}>`, in every part of the caption.

    >>> caption = StructuredCaption.parse('Scene: room. <S1>: left, man. <S2>: right, woman. <S2> says: "hi".')
    >>> permute_subjects(caption, [1, 0]).render()
    'Scene: room. <S1>: right, woman. <S2>: left, man. <S1> says: "hi".'
    """
    number = {old + 1: new + 1 for new, old in enumerate(order)}

    def renumber(text: str) -> str:
        return _ANCHOR.sub(lambda match: f"<S{number[int(match[1])]}>", text)

    return StructuredCaption(
        scene=renumber(caption.scene),
        subjects=tuple(
            SubjectDescription(renumber(caption.subjects[old].appearance), caption.subjects[old].position)
            for old in order
        ),
        lines=tuple(SpokenLine(number[line.subject], line.text) for line in caption.lines),
        sounds=None if caption.sounds is None else renumber(caption.sounds),
    )


def with_silent_companion(caption: str, appearance: str, *, companion_is_left: bool) -> str:
    """
    A structured caption of one person, with somebody beside them who says nothing.

    >>> with_silent_companion('Scene: room. <S1>: center, man. <S1> says: "hi".', "person", companion_is_left=True)
    'Scene: room. <S1>: right, man. <S2>: left, person. <S1> says: "hi".'
    """
    structured = StructuredCaption.parse(caption)
    (speaker,) = structured.subjects
    places = ("right", "left") if companion_is_left else ("left", "right")
    companion = SubjectDescription(appearance, places[1])
    return replace(structured, subjects=(replace(speaker, position=places[0]), companion)).render()


def without_anchors(caption: str) -> str:
    """
    A caption that no longer says which subject is which (an ablation: the model then has to guess).

    >>> without_anchors('Scene: room. <S1>: left, man. <S2>: right, woman. <S2> says: "hi".')
    'Scene: room. left, man. right, woman. says: "hi".'
    """
    return _ANCHOR_AND_COLON.sub("", caption)


def _hide_appearance(caption: StructuredCaption, hidden: Sequence[bool], generic: str) -> StructuredCaption:
    subjects = tuple(
        replace(subject, appearance=generic) if hide else subject
        for subject, hide in zip(caption.subjects, hidden, strict=True)
    )
    return replace(caption, subjects=subjects)
