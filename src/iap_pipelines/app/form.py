"""What is filled in on the page, as values: the arguments of the pipeline, and the code that makes the same call."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from iap_pipelines.pipelines.pipeline_iap import IAPPipeline
from iap_pipelines.types import SpokenLine, StructuredCaption, Subject, SubjectDescription


@dataclass(frozen=True)
class PersonForm:
    """One person as filled in; an empty text means that nothing was given."""

    appearance: str
    position: str = ""
    faces: tuple[str, ...] = ()
    """paths of pictures"""
    voice: str | None = None
    """path of a recording"""
    face_scale: float = 1.0
    voice_scale: float = 1.0

    @property
    def files(self) -> tuple[str, ...]:
        return self.faces if self.voice is None else (*self.faces, self.voice)

    def describe(self, number: int) -> SubjectDescription:
        """The person in the caption; raises a ``ValueError`` that names them when nothing is said about them."""
        if not self.appearance.strip():
            raise ValueError(f"Say what <S{number}> looks like, or choose fewer people.")
        return SubjectDescription(self.appearance.strip().rstrip("."), self.position.strip() or None)


@dataclass(frozen=True, kw_only=True)
class GenerationForm:
    """A whole page.

    Args:
        people: in the order of their anchors.
        scene: where it happens.
        lines: number of the speaker and the words, in order; rows without words are left out.
        sounds: other sounds, or an empty text.
        seed: same seed, same clip.
        options: arguments of the pipeline by name.
    """

    people: tuple[PersonForm, ...]
    scene: str
    lines: tuple[tuple[int, str], ...] = ()
    sounds: str = ""
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def caption(self) -> StructuredCaption:
        """Raises a ``ValueError`` for what makes no caption."""
        return StructuredCaption(
            scene=self.scene.strip().rstrip("."),
            subjects=tuple(person.describe(number) for number, person in enumerate(self.people, start=1)),
            lines=tuple(SpokenLine(speaker, words.strip()) for speaker, words in self.lines if words.strip()),
            sounds=self.sounds.strip().rstrip(".") or None,
        )

    def subjects(self) -> list[Subject]:
        """The people with the files as they lie on this machine."""
        return [
            Subject(
                face=list(person.faces) or None,
                voice=person.voice,
                face_scale=person.face_scale,
                voice_scale=person.voice_scale,
            )
            for person in self.people
        ]

    def arguments(self) -> dict[str, Any]:
        """
        Options that differ from the pipeline's defaults. Guidance scales are always said: their defaults are those of
        a checkpoint, which may get others.
        """
        defaults = pipeline_defaults()
        return {name: value for name, value in self.options.items() if value != defaults[name] and value != ""}

    def file_names(self) -> dict[str, str]:
        """What each file is called in the code, by its path: its own name, with the anchor where two share one."""
        # A file that two people share is one file.
        owners = {path: number for number, person in enumerate(self.people, 1) for path in person.files}
        names = [Path(path).name for path in owners]
        return {
            path: name if names.count(name) == 1 else f"S{number}_{index}_{name}"
            for index, ((path, number), name) in enumerate(zip(owners.items(), names, strict=True))
        }

    def hide_folders(self, message: str) -> str:
        """A message about these files, without the folders they were uploaded to."""
        for path in self.file_names():
            message = message.replace(path, Path(path).name)
        return message

    def code(self, load: str, imports: tuple[str, ...] = ()) -> str:
        """
        Python that makes the same clip from files of these names.

        Args:
            load: expression that loads the pipeline.
            imports: lines that it needs.
        """
        names = self.file_names()
        lines = [
            "import torch",
            "from iap_pipelines import IAPPipeline, Subject, export_to_av",
            *imports,
            "from iap_pipelines.types import SpokenLine, StructuredCaption, SubjectDescription",
            "",
            f"pipe = {load}",
            "output = pipe(",
            *_caption_code(self.caption()),
            "    subjects=[",
            *(f"        {_subject_code(person, names)}," for person in self.people),
            "    ],",
            *(f"    {name}={value!r}," for name, value in self.arguments().items()),
            f"    generator=torch.Generator().manual_seed({self.seed}),",
            ")",
            "export_to_av(",
            "    output.frames[0],",
            "    output.audio[0],",
            '    "clip.mp4",',
            "    frame_rate=pipe.frame_rate,",
            "    sampling_rate=pipe.sampling_rate,",
            "    provenance=output.provenance[0],",
            ")",
        ]
        return "\n".join(lines) + "\n"


@cache
def pipeline_defaults() -> dict[str, Any]:
    """Defaults of the pipeline's arguments, by name."""
    parameters = inspect.signature(IAPPipeline.__call__).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}


def _caption_code(caption: StructuredCaption) -> Iterator[str]:
    yield "    StructuredCaption("
    yield f"        scene={caption.scene!r},"
    for name in ("subjects", "lines"):
        yield f"        {name}=["
        yield from (f"            {entry!r}," for entry in getattr(caption, name))
        yield "        ],"
    yield f"        sounds={caption.sounds!r},"
    yield "    ),"


def _subject_code(person: PersonForm, names: Mapping[str, str]) -> str:
    arguments = {
        "face": [names[path] for path in person.faces] or None,
        "voice": None if person.voice is None else names[person.voice],
        "face_scale": None if person.face_scale == 1 else person.face_scale,
        "voice_scale": None if person.voice_scale == 1 else person.voice_scale,
    }
    return f"Subject({', '.join(f'{name}={value!r}' for name, value in arguments.items() if value is not None)})"
