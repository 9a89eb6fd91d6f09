"""A benchmark is a folder: `benchmark.yaml`, and the pictures and recordings that it names."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from iap_pipelines.evaluation.references import ClipReference, SubjectReference
from iap_pipelines.types import StructuredCaption, Subject, caption_anchors


FILE_NAME = "benchmark.yaml"

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Pairing = Literal["in_pair", "cross_pair"]


class StrictModel(BaseModel):
    """Rejects unknown keys and cannot be changed after it was checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BenchmarkSubject(StrictModel):
    """A person of one prompt, anchored as `<Sk>` by position. Paths are relative to the benchmark."""

    identity: str
    """who it is; unique within the prompt"""
    faces: tuple[str, ...] = ()
    """pictures given to the generator; none: the voice only"""
    voices: tuple[str, ...] = ()
    """recordings given to the generator, of which it takes the first; none: the face only"""
    other_faces: tuple[str, ...] = ()
    """pictures of this person that are not given, for copy-paste"""


class BenchmarkItem(StrictModel):
    """One clip to generate."""

    id: Name
    """unique; names the file"""
    prompt: str
    """the caption, with an anchor `<Sk>` for each subject"""
    seed: NonNegativeInt
    """of the generator's noise"""
    pairing: Pairing
    """`in_pair`: references come from the clip whose caption this is; `cross_pair`: from elsewhere"""
    subjects: tuple[BenchmarkSubject, ...]
    """in the order of the anchors"""
    texts: tuple[str | None, ...] | None = None
    """what each subject should say; null: read from the spoken lines of a structured caption"""
    height: PositiveInt | None = None
    """pixels; null here and below: the model's own choice"""
    width: PositiveInt | None = None
    """pixels"""
    num_frames: PositiveInt | None = None
    """frames"""
    frame_rate: PositiveFloat | None = None
    """frames per second"""
    target: str | None = None
    """the real clip of this caption, for FID, FVD and FAD"""

    @model_validator(mode="after")
    def _check(self) -> Self:
        anchors = caption_anchors(self.prompt)
        if anchors and anchors[-1] > len(self.subjects):
            raise ValueError(f"`prompt` names <S{anchors[-1]}>, but {self.id} has {len(self.subjects)} `subjects`.")
        identities = [subject.identity for subject in self.subjects]
        if len(set(identities)) < len(identities):
            raise ValueError(f"`subjects` of {self.id} must be different people, but are {identities}.")
        if self.texts is not None and len(self.texts) != len(self.subjects):
            raise ValueError(f"`texts` of {self.id} must have one entry per subject, null for no words.")
        return self

    @property
    def num_people(self) -> str:
        return "multi" if len(self.subjects) > 1 else "single"

    @property
    def condition(self) -> str:
        """What is given of the people: `face_and_voice`, `face_only`, `voice_only`, `mixed` or `none`."""
        given = {(bool(subject.faces), bool(subject.voices)) for subject in self.subjects}
        names = {(True, True): "face_and_voice", (True, False): "face_only", (False, True): "voice_only"}
        return names.get(next(iter(given)), "none") if len(given) == 1 else ("mixed" if given else "none")

    def lines(self) -> tuple[str | None, ...]:
        """What each subject should say; ``None`` where nothing is asked."""
        if self.texts is not None:
            return self.texts
        try:
            caption = StructuredCaption.parse(self.prompt)
        except ValueError:
            return (None,) * len(self.subjects)
        spoken = [[line.text for line in caption.lines if line.subject == k] for k in range(1, len(self.subjects) + 1)]
        return tuple(" ".join(texts) or None for texts in spoken)


class Benchmark(StrictModel):
    """Prompts, references and seeds."""

    format: Literal["iap-benchmark-1"]
    name: Name
    """what results and cards call it"""
    version: str
    """a change of any item is another version"""
    description: str
    """where it comes from and what it asks"""
    licence: str
    """of the references"""
    dataset_id: str | None = None
    """its repository on the Hub, `owner/name`, for `.eval_results`"""
    models: str | None = None
    """settings file of `iap evaluate` that it is meant to be scored with, relative to the benchmark"""
    items: Annotated[tuple[BenchmarkItem, ...], Field(min_length=1)]
    """the clips to generate"""

    @model_validator(mode="after")
    def _check(self) -> Self:
        ids = [item.id for item in self.items]
        repeated = sorted({name for name in ids if ids.count(name) > 1})
        if repeated:
            raise ValueError(f"`items` must have different ids, but {repeated} appear twice.")
        return self


class BenchmarkFolder:
    """A benchmark with its files, all of which exist.

    Args:
        folder: where `benchmark.yaml` lies.

    Raises:
        FileNotFoundError: for a missing file; names the item.
        ValueError: for a `benchmark.yaml` that is not one; names the key.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        path = self.folder / FILE_NAME
        if not path.is_file():
            raise FileNotFoundError(f"`benchmark` must be a folder with a {FILE_NAME}, but there is no {path}.")
        content = path.read_bytes()
        try:
            self.benchmark = Benchmark.model_validate(yaml.safe_load(content))
        except (ValidationError, yaml.YAMLError) as error:
            raise ValueError(f"{path}: {error}") from error
        digest = hashlib.sha256(content)
        for name, owner in sorted(self._files().items()):
            file = self.folder / name
            if not file.is_file():
                raise FileNotFoundError(f"{path}: {owner} names {name!r}, but there is no such file.")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        self.revision = digest.hexdigest()[:12]
        """first 12 digits of the SHA-256 of everything in it"""

    def subjects(self, item: BenchmarkItem) -> list[Subject]:
        """The references that the generator is given."""
        return [
            Subject(
                face=[self.folder / face for face in subject.faces] or None,
                voice=self.folder / subject.voices[0] if subject.voices else None,
                name=subject.identity,
            )
            for subject in item.subjects
        ]

    def given_files(self, item: BenchmarkItem) -> list[Path]:
        """The files of `subjects`, in order."""
        return [self.folder / name for subject in item.subjects for name in (*subject.faces, *subject.voices[:1])]

    def reference(self, item: BenchmarkItem, video: Path) -> ClipReference:
        """What ``video``, made for ``item``, is compared with."""
        subjects = tuple(
            SubjectReference(
                name=subject.identity,
                faces=tuple(self.folder / face for face in subject.faces),
                other_faces=tuple(self.folder / face for face in subject.other_faces),
                voices=tuple(self.folder / voice for voice in subject.voices),
                text=text,
            )
            for subject, text in zip(item.subjects, item.lines(), strict=True)
        )
        labels = {"condition": item.condition, "pairing": item.pairing, "people": item.num_people}
        return ClipReference(
            item.id, video, subjects, item.prompt, labels, self.folder / item.target if item.target else None
        )

    def _files(self) -> dict[str, str]:
        """Every file that is named, and the first item that names it."""
        files: dict[str, str] = {}
        for item in self.benchmark.items:
            named = [
                name for subject in item.subjects for name in (*subject.faces, *subject.voices, *subject.other_faces)
            ]
            for name in [*named, *([item.target] if item.target else [])]:
                files.setdefault(name, f"item {item.id}")
        if self.benchmark.models:
            files.setdefault(self.benchmark.models, "`models`")
        return files
