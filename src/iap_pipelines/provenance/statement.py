"""What is said about a clip: values that become an assertion of a manifest and come back from one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args


ReferenceKind = Literal["face", "voice", "card"]
DigestSource = Literal["file", "pixels", "samples", "latents"]
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """One thing that a person was given by, known by its digest alone: whoever has it can recognise it.

    Args:
        subject: number of the anchor in the caption, from 1.
        kind: what it shows of the person; ``card`` is the ``identity.json`` of an identity card.
        sha256: 64 hexadecimal digits.
        of: what was hashed. A ``file`` byte by byte, as ``sha256sum`` does; what was given as a value by its contents.

    Raises:
        ValueError: for another kind or source, or a digest of another form.
    """

    subject: int
    kind: ReferenceKind
    sha256: str
    of: DigestSource

    def __post_init__(self) -> None:
        if not isinstance(self.subject, int) or self.subject < 1:
            raise ValueError(f"`subject` must be the number of an anchor, 1 or more, but got {self.subject!r}.")
        for name, allowed in (("kind", get_args(ReferenceKind)), ("of", get_args(DigestSource))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"`{name}` must be one of {', '.join(allowed)}, but got {getattr(self, name)!r}.")
        _check_digest("sha256", self.sha256)


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Which model made a clip, and from which references. It holds no names of people, no paths, and no caption.

    Args:
        model: repository on the Hub, or the name of a checkpoint that comes with the package. ``None``: a local one,
            whose path is nobody's business, or an unknown one.
        revision: commit of that repository.
        weights: `weights_fingerprint` of the transformer, adapters included.
        references: what the people of this clip were given by.

    Raises:
        ValueError: for a model that is a path, or a fingerprint of another form.
    """

    model: str | None = None
    revision: str | None = None
    weights: str | None = None
    references: tuple[Reference, ...] = ()

    def __post_init__(self) -> None:
        if self.model is not None and (self.model.startswith(("/", "~", ".")) or "\\" in self.model):
            raise ValueError(f"`model` must be a name, not a path, but got {self.model!r}: the clip would tell it.")
        if self.weights is not None:
            _check_digest("weights", self.weights)

    @property
    def names_model(self) -> bool:
        """Whether anything is said about which model it was."""
        return self.model is not None or self.weights is not None

    def to_assertion(self) -> dict[str, Any]:
        """What a manifest carries; `from_assertion` is the inverse."""
        model = {"name": self.model, "revision": self.revision, "weights_fingerprint": self.weights}
        return {
            "model": {key: value for key, value in model.items() if value is not None},
            "references": [vars(reference) for reference in self.references],
        }

    @classmethod
    def from_assertion(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_assertion` wrote.

        Raises:
            ValueError: for what it cannot have written.
        """
        try:
            model = data["model"]
            references = tuple(Reference(**entry) for entry in data["references"])
            return cls(
                model=model.get("name"),
                revision=model.get("revision"),
                weights=model.get("weights_fingerprint"),
                references=references,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a statement of this package: {error!r}") from error


def _check_digest(name: str, value: object) -> None:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError(f"`{name}` must be a SHA-256 of 64 hexadecimal digits, but got {value!r}.")
