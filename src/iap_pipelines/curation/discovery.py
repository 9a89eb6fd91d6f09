"""What lies in the input folder."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from iap_pipelines.curation.records import ID_LENGTH
from iap_pipelines.curation.results import Reject
from iap_pipelines.curation.stage import SourceFile


VIDEO_SUFFIXES = frozenset(
    ".mp4 .mov .m4v .mkv .webm .avi .flv .wmv .asf .ts .mts .m2ts .mpg .mpeg .3gp .3g2 .ogv .mxf .gif".split()
)
"""Files with these suffixes are sources, whatever they really are; others are counted and left alone."""


@dataclass(frozen=True)
class Input:
    """The files of a folder.

    Args:
        sources: one per different content, in the order of their paths.
        rejects: files that are copies of a source, or cannot be read; and folders that cannot be.
        ignored: number of other files by suffix.
    """

    sources: tuple[SourceFile, ...]
    rejects: tuple[Reject, ...]
    ignored: dict[str, int]

    @property
    def num_files(self) -> int:
        """Files with the suffix of a video, and folders that cannot be read."""
        return len(self.sources) + len(self.rejects)


def find_sources(
    folder: Path, *, leave_out: Path | None = None, report: Callable[[str, int, int], None] | None = None
) -> Input:
    """Look through a folder and everything below it, linked folders too; each folder once, whatever leads to it.

    Args:
        folder: the input.
        leave_out: a folder that is not looked into: the output, when it lies inside.
        report: called with ``"hash"``, the number of files that are done, and their total.

    Raises:
        NotADirectoryError: when there is no such folder.
        ValueError: when it holds no video.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"`input` must be a folder of videos, but {str(folder)!r} is none.")
    videos, rejects, ignored = [], [], Counter()

    def fail(error: OSError) -> None:
        name = Path(error.filename).relative_to(folder).as_posix()
        rejects.append(_rejected(name, "failed", "unreadable", error.strerror or str(error)))

    for path in _files(folder, leave_out, fail):
        if path.suffix.lower() in VIDEO_SUFFIXES:
            videos.append(path)
        else:
            ignored[path.suffix.lower() or path.name] += 1
    if not videos and not rejects:
        raise ValueError(
            f"`input` holds no videos: {str(folder)!r} has no file called {', '.join(sorted(VIDEO_SUFFIXES))}."
        )
    sources: dict[str, SourceFile] = {}
    for number, path in enumerate(videos, start=1):
        name = path.relative_to(folder).as_posix()
        found = _identify(path, name)
        if isinstance(found, SourceFile) and found.source_id in sources:
            found = _rejected(name, "rejected", "duplicate", f"same bytes as {sources[found.source_id].path}")
        if isinstance(found, SourceFile):
            sources[found.source_id] = found
        else:
            rejects.append(found)
        if report is not None:
            report("hash", number, len(videos))
    return Input(tuple(sources.values()), tuple(rejects), dict(sorted(ignored.items())))


def _files(folder: Path, leave_out: Path | None, fail: Callable[[OSError], None]) -> Iterator[Path]:
    root, left_out = folder.resolve(), None if leave_out is None else leave_out.resolve()
    seen: set[Path] = set()
    for parent, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        found: dict[Path, str] = {}
        for name in sorted(folders):
            found.setdefault((Path(parent) / name).resolve(), name)
        folders[:] = [
            name
            for path, name in found.items()
            # A link to what the input lies in would find all of it again.
            if not (path in seen or root.is_relative_to(path) or (left_out and path.is_relative_to(left_out)))
        ]
        seen |= found.keys()
        yield from (Path(parent) / name for name in sorted(names))


def _identify(path: Path, name: str) -> SourceFile | Reject:
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return SourceFile(source_id=digest[:ID_LENGTH], path=name, num_bytes=path.stat().st_size)
    except OSError as error:
        return _rejected(name, "failed", "unreadable", error.strerror or str(error))


def _rejected(name: str, kind: str, reason: str, detail: str) -> Reject:
    return Reject(record_id=name, level="source", stage="input", kind=kind, reason=reason, detail=detail)
