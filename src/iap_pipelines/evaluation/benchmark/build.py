"""A benchmark from a folder of clips whose people are known (`iap_pipelines.data.clip_folder`)."""

import logging
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from iap_pipelines.data.clip_folder import ClipEntry, IdentityEntry, read_clips, read_identities
from iap_pipelines.evaluation.benchmark.schema import (
    FILE_NAME,
    NAME_PATTERN,
    Benchmark,
    BenchmarkFolder,
    BenchmarkItem,
)
from iap_pipelines.media import MediaError, export_sound, read_video


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Group:
    """Items of one kind: which clips, and what of their people is given."""

    name: str
    multi: bool
    in_pair: bool = False
    with_face: bool = True
    with_voice: bool = True


GROUPS = (
    Group("multi", multi=True),
    Group("single", multi=False),
    Group("in-pair", multi=False, in_pair=True),
    Group("face-only", multi=False, with_voice=False),
    Group("voice-only", multi=False, with_face=False),
)
"""In-pair references are the middle picture and the sound of the clip itself: only clips of one person have them."""


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """How a benchmark is made.

    Args:
        name: what results call it.
        licence: of the references.
        version: of the benchmark.
        description: where the people come from.
        split: of the folder whose people are taken; they should be unknown to the models that are scored.
        items_per_group: clips per group; fewer if the folder has fewer.
        max_identities: most people to take; ``None``: all.
        seed: of the generator's noise; item i gets ``seed + i``.
        with_targets: copy the real clips too, for FID, FVD and FAD.
        dataset_id: repository on the Hub, for `.eval_results`.
    """

    name: str
    licence: str
    version: str = "1"
    description: str = ""
    split: str = "test"
    items_per_group: int = 8
    max_identities: int | None = None
    seed: int = 0
    with_targets: bool = False
    dataset_id: str | None = None


def build_benchmark(
    dataset: Path, output: Path, settings: BuildSettings, *, report: Callable[[str, int, int], None] | None = None
) -> BenchmarkFolder:
    """Write a benchmark: items of every group, and copies of the references that they name.

    Clips are chosen in the order of their names, those first whose people are not in yet. Cross-pair references are
    the first picture and the first recording of each person's `identities.jsonl` line, which belong to no clip; the
    next two pictures serve copy-paste. Nothing is drawn at random.

    Args:
        dataset: folder with `clips.jsonl` and `identities.jsonl`.
        output: folder to write; must not exist or be empty.
        settings: what to take.
        report: is told the step, how many items are finished, and how many there are.

    Raises:
        FileNotFoundError: if ``dataset`` is no such folder.
        ValueError: if ``output`` is not empty, no clip of the split can be used, or a name of a clip or person cannot
            be that of a file.
    """
    if output.exists() and any(output.iterdir()):
        raise ValueError(f"`output` must be an empty folder or not exist, but {output} holds files.")
    identities = read_identities(dataset)
    clips = [clip for clip in read_clips(dataset) if clip.split == settings.split and clip.identities]
    chosen = _choose(clips, identities, settings)
    if not chosen:
        raise ValueError(f"`split` {settings.split!r} of {dataset} has no clip whose people have references.")
    _check_names([clip for _, clip in chosen])
    items = []
    for number, (group, clip) in enumerate(chosen):
        item = _item(group, clip, identities, output, settings, settings.seed + number)
        items += [item] if item else []
        if report:
            report("benchmark", number + 1, len(chosen))
    benchmark = Benchmark(
        format="iap-benchmark-1",
        name=settings.name,
        version=settings.version,
        description=settings.description or f"{len(items)} prompts from the {settings.split} split of {dataset.name}",
        licence=settings.licence,
        dataset_id=settings.dataset_id,
        items=tuple(items),
    )
    content = benchmark.model_dump(mode="json", exclude_defaults=True)
    (output / FILE_NAME).write_text(
        yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=200), encoding="utf-8"
    )
    return BenchmarkFolder(output)


def _choose(
    clips: Sequence[ClipEntry], identities: dict[str, IdentityEntry], settings: BuildSettings
) -> list[tuple[Group, ClipEntry]]:
    """Every group takes one clip in turn, so that a small folder gives something to each; sorted by group.

    Clips with the most people who are not in yet come first, as long as there is room for these people.
    """
    left = [clip for clip in clips if all(_has_references(identities.get(name)) for name in clip.identities)]
    known: set[str] = set()
    chosen: list[tuple[Group, ClipEntry]] = []
    limit = settings.max_identities or len(identities)
    for _ in range(settings.items_per_group):
        for group in GROUPS:
            fitting = [
                clip
                for clip in left
                if (len(clip.identities) > 1) == group.multi and len(known | set(clip.identities)) <= limit
            ]
            if fitting:
                clip = min(fitting, key=lambda clip: (-len(set(clip.identities) - known), clip.clip_id))
                left.remove(clip)
                known |= set(clip.identities)
                chosen.append((group, clip))
    return sorted(chosen, key=lambda pair: GROUPS.index(pair[0]))


def _has_references(identity: IdentityEntry | None) -> bool:
    return identity is not None and bool(identity.faces) and bool(identity.voices)


def _check_names(clips: Sequence[ClipEntry]) -> None:
    for clip in clips:
        if not re.fullmatch(NAME_PATTERN, clip.clip_id):
            raise ValueError(
                f"`clip_id` {clip.clip_id!r} must be letters, digits, `.`, `_` and `-`, of which a letter or a digit "
                "is the first: a file is named after it."
            )
        for identity in clip.identities:
            if identity in ("", ".", "..") or "/" in identity or "\\" in identity:
                raise ValueError(f"`identity` {identity!r} cannot be the name of a folder, which it is to be.")


def _item(
    group: Group,
    clip: ClipEntry,
    identities: dict[str, IdentityEntry],
    output: Path,
    settings: BuildSettings,
    seed: int,
) -> BenchmarkItem | None:
    try:
        pairs = (
            [_in_pair(clip, output)]
            if group.in_pair
            else [_cross_pair(identities[k], output) for k in clip.identities]
        )
    except MediaError as error:
        logger.warning("Left out: the clip %s cannot give a reference: %s", clip.clip_id, error)
        return None
    subjects = [
        {
            "identity": identity,
            "faces": faces if group.with_face else [],
            "voices": voices if group.with_voice else [],
            "other_faces": _copy_references(identities[identity].faces[1:3], "face", identity, output, first=1)
            if group.with_face
            else [],
        }
        for identity, (faces, voices) in zip(clip.identities, pairs, strict=True)
    ]
    values: dict[str, Any] = {
        "id": f"{group.name}-{clip.clip_id}",
        "prompt": clip.caption,
        "seed": seed,
        "pairing": "in_pair" if group.in_pair else "cross_pair",
        "subjects": subjects,
        "height": clip.height,
        "width": clip.width,
        "num_frames": clip.num_frames,
        "frame_rate": clip.frame_rate,
    }
    if settings.with_targets:
        values["target"] = _copy(clip.path, f"targets/{clip.clip_id}", output)
    return BenchmarkItem.model_validate(values)


def _cross_pair(person: IdentityEntry, output: Path) -> tuple[list[str], list[str]]:
    return (
        _copy_references(person.faces[:1], "face", person.identity, output),
        _copy_references(person.voices[:1], "voice", person.identity, output),
    )


def _in_pair(clip: ClipEntry, output: Path) -> tuple[list[str], list[str]]:
    """The middle picture and the sound of the clip."""
    video, audio = read_video(clip.path)
    if audio is None:
        raise MediaError(clip.path, "it has no sound")
    folder = output / "in_pair"
    folder.mkdir(parents=True, exist_ok=True)
    face, voice = folder / f"{clip.clip_id}.png", folder / f"{clip.clip_id}.flac"
    Image.fromarray(video.frames[video.num_frames // 2].numpy()).save(face)
    export_sound(audio.to_mono(), voice)
    return [face.relative_to(output).as_posix()], [voice.relative_to(output).as_posix()]


def _copy_references(paths: Sequence[Path], role: str, owner: str, output: Path, *, first: int = 0) -> list[str]:
    """By role and number, which starts at ``first``: files of one person may have the same name."""
    return [_copy(path, f"references/{owner}/{role}_{number}", output) for number, path in enumerate(paths, first)]


def _copy(path: Path, stem: str, output: Path) -> str:
    name = f"{stem}{path.suffix}"
    (output / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, output / name)
    return name
