"""A folder that datasets are made from, and its rows in the form in which Arrow stores them."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from datasets import Audio, Features, Image, List, Video


CONSENT_FILE = "consent.jsonl"
"""Beside the tables of a corpus, written by whoever asked the people: one line per person."""
_CONSENT_KEYS = {"identity_id", "status", "statement", "given_on", "expires_on", "allowed_uses"}
_CONSENT_STATUS = ("given", "not_needed", "not_recorded")
_NO_CONSENT = {
    "status": "not_recorded",
    "statement": None,
    "given_on": None,
    "expires_on": None,
    "allowed_uses": [],
}


@dataclass(frozen=True)
class SplitSettings:
    """How clips are divided; see `assign_splits`.

    Args:
        validation_share: of the clips, 0 to 1.
        test_share: of the clips, 0 to 1.
        seed: decides between groups of equal size.
    """

    validation_share: float = 0.1
    test_share: float = 0.1
    seed: int = 0


class Corpus(Protocol):
    """What a dataset is made from. Rows name media by path, relative to `folder`."""

    folder: Path

    def keys(self, config: str, split: str) -> list[str]:
        """The rows of a config and split, in order."""
        ...

    def row(self, config: str, key: str) -> dict[str, Any]:
        """One row. Keys that the schema of the config does not have are ignored; `None` stands for nothing known."""
        ...


def open_corpus(folder: Path, splits: SplitSettings | None = None) -> Corpus:
    """Open the output of `iap curate`, or a synthetic world.

    Args:
        folder: of the corpus.
        splits: how to divide it; `None` takes the defaults, or what the folder says itself.

    Raises:
        FileNotFoundError: if it is neither.
        ValueError: if the folder contradicts itself, or `splits` is given for a folder that has its own.
    """
    from iap_pipelines.data.curated_corpus import CuratedCorpus
    from iap_pipelines.data.world_corpus import WorldCorpus

    folder = Path(folder)
    if (folder / "tables").is_dir():
        return CuratedCorpus(folder, splits or SplitSettings())
    if (folder / "clips.jsonl").is_file():
        if splits is not None:
            raise ValueError("`splits` is given, but a synthetic world says itself which clip is in which split.")
        return WorldCorpus(folder)
    raise FileNotFoundError(
        f"`folder` must be the output of `iap curate` (with tables/) or of `iap synthesize` (with clips.jsonl), but "
        f"{str(folder)!r} is neither."
    )


def corpus_digest(folder: Path) -> str:
    """SHA-256 of everything that rows are made from, media left out: they are named after their content."""
    digest = hashlib.sha256()
    files = [*sorted(Path(folder).glob("tables/*.parquet")), *sorted(Path(folder).glob("*.json*"))]
    for path in files:
        with open(path, "rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def read_consent(folder: Path) -> dict[str, dict[str, Any]]:
    """Read `consent.jsonl` by person; empty without the file.

    Raises:
        ValueError: for a line that has other keys, or a status that is unknown.
    """
    path = Path(folder) / CONSENT_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    consent = {}
    for number, line in enumerate(lines, start=1):
        entry = json.loads(line)
        if not {"identity_id", "status"} <= entry.keys() <= _CONSENT_KEYS or entry["status"] not in _CONSENT_STATUS:
            raise ValueError(
                f"{CONSENT_FILE}, line {number}: expected `identity_id`, a `status` of {', '.join(_CONSENT_STATUS)}, "
                f"and perhaps {', '.join(sorted(_CONSENT_KEYS - {'identity_id', 'status'}))}, but got {line!r}."
            )
        consent[entry.pop("identity_id")] = _NO_CONSENT | entry
    return consent


def consent_of(consent: dict[str, dict[str, Any]], identity_id: str) -> dict[str, Any]:
    """What a person agreed to; nothing is taken for granted."""
    return consent.get(identity_id, _NO_CONSENT)


def storage_tables(
    corpus: Corpus, config: str, keys: Sequence[str], features: Features, *, rows_per_table: int, embed: bool
) -> Iterator[pa.Table]:
    """Rows as tables in storage form, so that nothing has to be decoded or encoded.

    Args:
        corpus: where they are.
        config: which.
        keys: rows, in order.
        features: of the config.
        rows_per_table: rows of each table but the last.
        embed: put the bytes of media files into the table; otherwise their absolute paths.
    """
    for start in range(0, len(keys), rows_per_table):
        rows = [corpus.row(config, key) for key in keys[start : start + rows_per_table]]
        stored = [_stored(row, dict(features), corpus.folder, embed) for row in rows]
        yield pa.Table.from_pylist(stored, schema=features.arrow_schema)


def _stored(value: Any, feature: Any, folder: Path, embed: bool) -> Any:
    """A value as Arrow stores it. Of a structure that is `None`, every field is null."""
    if isinstance(feature, Video | Audio | Image):
        return None if value is None else _file(folder / value, embed)
    if isinstance(feature, dict):
        return {
            name: _stored(None if value is None else value[name], inner, folder, embed)
            for name, inner in feature.items()
        }
    if isinstance(feature, List):
        return _stored_list(value, feature, folder, embed)
    return value


def _stored_list(values: Iterable[Any] | None, feature: List, folder: Path, embed: bool) -> list | None:
    if not isinstance(feature.feature, dict | List):
        return values  # numbers and texts, perhaps very many
    return [_stored(item, feature.feature, folder, embed) for item in values or ()]


def _file(path: Path, embed: bool) -> dict[str, Any]:
    if not embed:
        return {"bytes": None, "path": str(path.resolve())}
    return {"bytes": path.read_bytes(), "path": path.name}
