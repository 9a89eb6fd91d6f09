"""The values everyone speaks in: pictures with their rate, sound with its rate, a person, a caption.

Every value is a frozen dataclass that checks itself when it is made, so that code which receives one need not.
Letters: F frames, H height, W width, C channels, N samples.
"""

import math
import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor

from iap_pipelines.identity_card import FACE_LATENTS, LORA, VOICE_LATENTS, Consent, IdentityCard


FaceInput = str | os.PathLike[str] | Image.Image
"""One picture of a face: a path or a PIL image."""


def check_positive(name: str, value: float, unit: str) -> None:
    """Raise a ``ValueError`` that names the argument unless ``value`` is a positive, finite number."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"`{name}` must be a positive, finite number of {unit}, but got {value!r}.")


@dataclass(frozen=True, eq=False)
class VideoFrames:
    """Pictures at a constant rate.

    Args:
        frames: uint8 RGB tensor ``[F, H, W, 3]`` in [0, 255], at least one frame.
        frame_rate: frames per second.

    Raises:
        ValueError: for another dtype or shape, an empty tensor, or a rate that is not positive and finite.
    """

    frames: Tensor
    frame_rate: float

    def __post_init__(self) -> None:
        frames = self.frames
        if not isinstance(frames, Tensor) or frames.dtype != torch.uint8:
            kind = frames.dtype if isinstance(frames, Tensor) else type(frames).__name__
            raise ValueError(f"`frames` must be a uint8 tensor [F, H, W, 3] in [0, 255], but got {kind}.")
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.numel() == 0:
            raise ValueError(f"`frames` must have the shape [F, H, W, 3] and not be empty, but got {[*frames.shape]}.")
        check_positive("frame_rate", self.frame_rate, "frames per second")

    @property
    def num_frames(self) -> int:
        return self.frames.shape[0]

    @property
    def height(self) -> int:
        return self.frames.shape[1]

    @property
    def width(self) -> int:
        return self.frames.shape[2]

    @property
    def duration_seconds(self) -> float:
        return self.num_frames / self.frame_rate


@dataclass(frozen=True, eq=False)
class AudioSamples:
    """Sound at a sampling rate.

    Args:
        samples: float32 tensor ``[C, N]`` in [-1, 1], at least one channel and one sample.
        sampling_rate: samples per second and channel.

    Raises:
        ValueError: for another dtype or shape, an empty tensor, values that are not finite or leave [-1, 1], or a
            rate that is not a positive integer.
    """

    samples: Tensor
    sampling_rate: int

    def __post_init__(self) -> None:
        samples = self.samples
        if not isinstance(samples, Tensor) or samples.dtype != torch.float32:
            kind = samples.dtype if isinstance(samples, Tensor) else type(samples).__name__
            raise ValueError(f"`samples` must be a float32 tensor [C, N] in [-1, 1], but got {kind}.")
        if samples.ndim != 2 or samples.numel() == 0:
            raise ValueError(f"`samples` must have the shape [C, N] and not be empty, but got {[*samples.shape]}.")
        if isinstance(self.sampling_rate, bool) or not isinstance(self.sampling_rate, int) or self.sampling_rate <= 0:
            raise ValueError(f"`sampling_rate` must be a positive integer in hertz, but got {self.sampling_rate!r}.")
        lowest, highest = (value.item() for value in samples.detach().aminmax())
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            raise ValueError("`samples` must be finite, but it contains NaN or infinity.")
        if lowest < -1 or highest > 1:
            raise ValueError(
                f"`samples` must lie in [-1, 1], but reaches from {lowest:.4g} to {highest:.4g}. "
                "Divide integer samples by their full scale, or clamp what overshoots."
            )

    @property
    def num_channels(self) -> int:
        return self.samples.shape[0]

    @property
    def num_samples(self) -> int:
        return self.samples.shape[1]

    @property
    def duration_seconds(self) -> float:
        return self.num_samples / self.sampling_rate

    def to_mono(self) -> Self:
        """Average the channels: ``[C, N]`` becomes ``[1, N]``."""
        if self.num_channels == 1:
            return self
        return type(self)(self.samples.mean(dim=0, keepdim=True), self.sampling_rate)

    def resample(self, sampling_rate: int) -> Self:
        """Bring the sound to another rate (windowed sinc, torchaudio's defaults), ``ceil(N * new / old)`` samples.

        The filter can overshoot a signal that touches full scale; what leaves [-1, 1] is clamped.
        """
        check_positive("sampling_rate", sampling_rate, "hertz")
        if sampling_rate == self.sampling_rate:
            return self
        # Imported here: torchaudio is needed for this one line, and values must be cheap to import.
        from torchaudio.functional import resample

        return type(self)(resample(self.samples, self.sampling_rate, sampling_rate).clamp(-1, 1), sampling_rate)


@dataclass(frozen=True)
class Subject:
    """A person to generate: how they look, how they sound, or only one of the two.

    Args:
        face: one picture of the face or several views of it: paths, PIL images, or a list of them. ``None``: any face.
        voice: a recording of the voice: a path (sound or video file) or samples. ``None``: any voice.
        name: what to call the person in messages and file names. It is not part of the caption.
        face_scale: strength of the face in guidance; 1 is neutral, 0 ignores it.
        voice_scale: strength of the voice in guidance; 1 is neutral, 0 ignores it.
        card: the identity card that the person was loaded from. It may hold latents instead of a face and a voice.
        adapter: name of a loaded LoRA adapter that belongs to this person. It acts on their references alone, so that
            it cannot change anybody else. ``None``: only adapters that belong to nobody act.

    Example:
        >>> ada = Subject(face=["ada_front.png", "ada_side.png"], voice="ada.wav", name="Ada")
        >>> ada.has_face, ada.has_voice, len(ada.views)
        (True, True, 2)

    Raises:
        ValueError: for an empty list of faces, another kind of face or voice, an empty name or adapter, or a negative
            scale.
    """

    face: FaceInput | list[FaceInput] | tuple[FaceInput, ...] | None = None
    voice: str | os.PathLike[str] | AudioSamples | None = None
    name: str | None = None
    face_scale: float = 1.0
    voice_scale: float = 1.0
    card: IdentityCard | None = None
    adapter: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.face, list | tuple):
            object.__setattr__(self, "face", tuple(self.face))
            if not self.face:
                raise ValueError("`face` is an empty list: give at least one view, or `None` for no face.")
        for view in self.views:
            _check_input("face", view, Image.Image, "a path, a PIL image, or a list of them")
        if self.voice is not None:
            _check_input("voice", self.voice, AudioSamples, "a path or AudioSamples")
        for field in ("name", "adapter"):
            text = getattr(self, field)
            if text is not None and (not isinstance(text, str) or not text.strip()):
                raise ValueError(f"`{field}` must be a text that is not empty, or `None`, but got {text!r}.")
        for field in ("face_scale", "voice_scale"):
            check_scale(field, getattr(self, field))

    @property
    def has_face(self) -> bool:
        return self.face is not None or self._card_has(FACE_LATENTS)

    @property
    def has_voice(self) -> bool:
        return self.voice is not None or self._card_has(VOICE_LATENTS)

    @property
    def lora(self) -> Path | None:
        """LoRA weights of the person's card, as `load_lora_weights` takes them."""
        return None if self.card is None else self.card.path(LORA)

    def _card_has(self, name: str) -> bool:
        return self.card is not None and name in self.card.files

    @property
    def views(self) -> tuple[FaceInput, ...]:
        """Every picture of the face, in the given order; empty without a face."""
        if self.face is None:
            return ()
        return self.face if isinstance(self.face, tuple) else (self.face,)

    # Identity folders are written and read in `hub/`. The methods are here because this is where a user of
    # `from_pretrained` looks for them; the test of the rooms knows of these imports.

    @classmethod
    def from_pretrained(cls, pretrained_name_or_path: str | os.PathLike[str], **hub_kwargs: Any) -> Self:
        """Load a person from an identity folder or repository.

        Args:
            pretrained_name_or_path: a folder, or a repository such as ``"org/ada"``.
            hub_kwargs: `revision`, `token`, `cache_dir`, `local_files_only`, `force_download`.

        Raises:
            ValueError: what is there is no identity, or not a whole one.
            OSError: the repository cannot be read; says why.
        """
        from iap_pipelines.hub.identity import load_subject

        return load_subject(pretrained_name_or_path, **hub_kwargs)

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        description: str | None = None,
        consent: Consent | None = None,
        pipe: Any = None,
        contents: Iterable[str] | None = None,
        lora: str | os.PathLike[str] | None = None,
        embeddings: Any = None,
    ) -> None:
        """Write an identity folder: references, ``identity.json`` and a card.

        Pictures and recordings are written anew, so that nothing but what is seen and heard in them is kept.

        Args:
            save_directory: a new or empty folder, or an identity folder to replace.
            description: how captions describe the person after the anchor: ``woman with red hair``.
            consent: what the person agreed to. Without it the folder can be used, but not published.
            pipe: the `IAPPipeline` that latents, keys and values or LoRA weights belong to.
            contents: what to write of the person: ``references`` (pictures and recording), ``latents``,
                ``keys_and_values`` (for the pipeline's own clip length, as ``<S1>``), in any combination.
                ``None``: the references and what the card holds besides them or instead.
            lora: file or folder of LoRA weights of this person.
            embeddings: `IdentityEmbeddings` of the person, for verification (`hub/verification.py`).

        Raises:
            ValueError: nothing to write, or something that needs a `pipe` without one.
        """
        from iap_pipelines.hub.identity import save_subject

        save_subject(
            self,
            save_directory,
            description=description,
            consent=consent,
            pipe=pipe,
            contents=contents,
            lora=lora,
            embeddings=embeddings,
        )

    def push_to_hub(self, repo_id: str, *, private: bool = True, token: str | None = None, **save_kwargs: Any) -> str:
        """Publish the person as a repository; private unless told otherwise.

        Args:
            repo_id: such as ``"org/ada"``.
            private: of a new repository.
            token: what to authenticate with; the one of `hf auth login` or ``HF_TOKEN`` if ``None``.
            save_kwargs: see `save_pretrained`.

        Returns:
            The address of the commit.

        Raises:
            ValueError: consent is missing.
            OSError: the Hub refuses or cannot be reached; says what to do.
        """
        from iap_pipelines.hub.identity import push_subject

        return push_subject(self, repo_id, private=private, token=token, **save_kwargs)


def check_scale(name: str, scale: object) -> None:
    """Raise a `ValueError` unless this is a strength of guidance: a finite number, 0 or more."""
    if isinstance(scale, bool) or not isinstance(scale, Real) or not math.isfinite(scale) or scale < 0:
        raise ValueError(f"`{name}` must be a finite number, 0 or more, but got {scale!r}.")


def _check_input(name: str, value: object, value_type: type, expected: str) -> None:
    is_path = isinstance(value, str | os.PathLike)
    if not is_path and not isinstance(value, value_type):
        raise ValueError(f"`{name}` must be {expected}, but got {type(value).__name__}.")
    if is_path and not os.fspath(value):
        raise ValueError(f"`{name}` is an empty path: give {expected}, or `None` for no {name}.")


# --- Captions ---------------------------------------------------------------------------------------------------

_CAPTION_FORM = (
    'Scene: green room. <S1>: left, woman with red hair. <S2>: right, man with round glasses. <S1> says: "red apple". '
    "Sounds: quiet."
)
_ANCHOR = re.compile(r"<S([1-9][0-9]{0,3})>")
_ANCHOR_LIKE = re.compile(r"<S([0-9]{0,9})>")
_PART_BOUNDARY = re.compile(r'\. (?:<S[0-9]+>: |<S[0-9]+> says: "|Sounds: )')
_PLACE = re.compile(
    r"(?:far |front |back |upper |lower |top |bottom )?(?:left|right|center|centre|middle|foreground|background)"
    r"|front|back|off[- ]screen"
    r"|(?:on|in|at|by|near|behind|beside|between|above|below|under|over|next to|to) .+"
)

_TEXT = r"(.+?)\.(?= <S[0-9]+>: | <S[0-9]+> says: \"| Sounds: |\Z)"
_SCENE_PART = re.compile(rf"Scene: {_TEXT}")
_SUBJECT_PART = re.compile(rf" <S([1-9][0-9]{{0,3}})>: {_TEXT}")
_LINE_PART = re.compile(r' <S([1-9][0-9]{0,3})> says: "([^"]+)"\.')
_SOUNDS_PART = re.compile(rf" Sounds: {_TEXT}")


def caption_anchors(prompt: str) -> tuple[int, ...]:
    """Find the subjects that a text speaks of.

    Returns:
        The numbers of the anchors ``<S1>``, ``<S2>``, … in ``prompt``, from 1, each once, sorted.

    >>> caption_anchors("<S2> hands <S1> a cup. <S2> smiles.")
    (1, 2)
    """
    return tuple(sorted({int(number) for number in _ANCHOR.findall(prompt)}))


def _check_one_line(name: str, text: str) -> None:
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"`{name}` must be a text that is not empty, but got {text!r}.")
    if text != text.strip():
        raise ValueError(f"`{name}` must not begin or end with white space, but got {text!r}.")
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise ValueError(
                f"`{name}` contains {character!r}, but a caption is one line of printable text: replace it by a space."
            )


def _check_description(name: str, text: str) -> None:
    """Refuse what would end early, or begin another part, once rendered between ``: `` and ``.``."""
    _check_one_line(name, text)
    if text.endswith("."):
        raise ValueError(f"`{name}` must not end with a full stop, rendering adds it: {text!r}.")
    boundary = _PART_BOUNDARY.search(text)
    if boundary:
        raise ValueError(
            f"`{name}` contains {boundary.group()[2:]!r} after a full stop, which begins another part of a caption: "
            f"{text!r}. Use a comma or another word there."
        )


@dataclass(frozen=True)
class SubjectDescription:
    """One person of a caption; the k-th one is anchored as ``<Sk>``.

    Args:
        appearance: what the person looks like, without the final full stop.
        position: where in the picture: ``left``, ``right``, ``center``, ``middle``, ``front``, ``back``,
            ``foreground``, ``background`` (``far left``, ``upper right``, …), ``off screen``, or a phrase that begins
            with a place word (``on the left``, ``behind the counter``). No comma. ``None``: not said.
    """

    appearance: str
    position: str | None = None

    def __post_init__(self) -> None:
        _check_description("appearance", self.appearance)
        head, comma, _ = self.appearance.partition(", ")
        if self.position is None:
            if comma and _PLACE.fullmatch(head):
                raise ValueError(
                    f"`appearance` begins with the place {head!r} and a comma: {self.appearance!r}. "
                    f"Give `position={head!r}` and the rest as `appearance`, or begin with the person."
                )
            return
        _check_description("position", self.position)
        if "," in self.position or not _PLACE.fullmatch(self.position):
            raise ValueError(
                "`position` must be a place like 'left', 'center', 'far right', 'off screen' or a phrase like "
                f"'on the sofa', 'behind the counter', without a comma, but got {self.position!r}."
            )

    def render(self) -> str:
        return self.appearance if self.position is None else f"{self.position}, {self.appearance}"

    @classmethod
    def parse(cls, text: str) -> Self:
        head, comma, rest = text.partition(", ")
        return cls(rest, head) if comma and _PLACE.fullmatch(head) else cls(text)


@dataclass(frozen=True)
class SpokenLine:
    """Words that one subject says.

    Args:
        subject: number of the anchor, from 1.
        text: the words, with any punctuation except the double quote ``"`` that ends them.
    """

    subject: int
    text: str

    def __post_init__(self) -> None:
        if isinstance(self.subject, bool) or not isinstance(self.subject, int) or self.subject < 1:
            raise ValueError(f"`subject` must be the number of an anchor, 1 or more, but got {self.subject!r}.")
        _check_one_line("text", self.text)
        if '"' in self.text:
            raise ValueError(
                f'`text` contains the double quote " that ends spoken words: {self.text!r}. Use “ ” or a single quote.'
            )


@dataclass(frozen=True)
class StructuredCaption:
    """Who is where, who says what, and what else is heard, in a form that renders to one line and parses back.

    Args:
        scene: the place and what happens, without the final full stop. It may name anchors (``<S1> waves``).
        subjects: the k-th entry is the person anchored as ``<Sk>``, from 1.
        lines: what is said, in order.
        sounds: other sounds, without the final full stop. ``None``: not said.

    Example:
        >>> caption = StructuredCaption("green room", [SubjectDescription("woman", "left")], [SpokenLine(1, "hello")])
        >>> caption.render()
        'Scene: green room. <S1>: left, woman. <S1> says: "hello".'
        >>> StructuredCaption.parse(caption.render()) == caption
        True

    Raises:
        ValueError: for an empty part, an anchor without its subject, or text that could not be parsed back.
    """

    scene: str
    subjects: tuple[SubjectDescription, ...] = ()
    lines: tuple[SpokenLine, ...] = ()
    sounds: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "subjects", _tuple_of("subjects", self.subjects, SubjectDescription))
        object.__setattr__(self, "lines", _tuple_of("lines", self.lines, SpokenLine))
        _check_description("scene", self.scene)
        if self.sounds is not None:
            _check_description("sounds", self.sounds)
        for number in _ANCHOR_LIKE.findall(self.render()):
            if number.startswith("0") or not number or int(number) > len(self.subjects):
                raise ValueError(
                    f"The caption names <S{number}>, but it has {len(self.subjects)} `subjects`, anchored "
                    f"{', '.join(f'<S{k}>' for k in range(1, len(self.subjects) + 1)) or 'by nothing'}."
                )

    def render(self) -> str:
        """Write the caption as one line; `parse` is the exact inverse."""
        parts = [f"Scene: {self.scene}."]
        parts += [f"<S{number}>: {subject.render()}." for number, subject in enumerate(self.subjects, start=1)]
        parts += [f'<S{line.subject}> says: "{line.text}".' for line in self.lines]
        if self.sounds is not None:
            parts.append(f"Sounds: {self.sounds}.")
        return " ".join(parts)

    @classmethod
    def parse(cls, prompt: str) -> Self:
        """Read a caption that `render` wrote.

        Raises:
            ValueError: when ``prompt`` is not in that form; says where it departs from it.
        """
        if not isinstance(prompt, str):
            raise ValueError(f"`prompt` must be a text, but got {type(prompt).__name__}.")
        scene = _SCENE_PART.match(prompt)
        if scene is None:
            raise _not_structured("it must begin with 'Scene: ', a text and a full stop", prompt)
        subjects, position = _take_all(_SUBJECT_PART, prompt, scene.end())
        numbers = [int(match[1]) for match in subjects]
        if numbers != list(range(1, len(subjects) + 1)):
            raise _not_structured(f"subjects must be numbered 1, 2, … in order, but are {numbers}", prompt)
        lines, position = _take_all(_LINE_PART, prompt, position)
        sounds = _SOUNDS_PART.match(prompt, position)
        position = sounds.end() if sounds else position
        if position != len(prompt):
            raise _not_structured(f"{prompt[position:].strip()[:60]!r} does not belong there", prompt)
        return cls(
            scene=scene[1],
            subjects=tuple(SubjectDescription.parse(match[2]) for match in subjects),
            lines=tuple(SpokenLine(int(match[1]), match[2]) for match in lines),
            sounds=sounds[1] if sounds else None,
        )


def _tuple_of(name: str, values: Iterable[object], value_type: type) -> tuple:
    values = tuple(values) if isinstance(values, list | tuple) else values
    if not isinstance(values, tuple) or not all(isinstance(value, value_type) for value in values):
        raise ValueError(f"`{name}` must be a tuple of {value_type.__name__}, but got {values!r}.")
    return values


def _take_all(part: re.Pattern[str], prompt: str, position: int) -> tuple[list[re.Match[str]], int]:
    """Match ``part`` again and again from ``position``; returns the matches and where they end."""
    matches = []
    while match := part.match(prompt, position):
        matches.append(match)
        position = match.end()
    return matches, position


def _not_structured(reason: str, prompt: str) -> ValueError:
    shown = prompt if len(prompt) <= 120 else prompt[:117] + "..."
    return ValueError(
        f"`prompt` is not a structured caption: {reason}. Got {shown!r}; expected the form {_CAPTION_FORM!r}."
    )
