"""All sources together: who is kept, who they are, what may be given along with what."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from iap_pipelines.curation.config import CurationConfig
from iap_pipelines.curation.discovery import Input
from iap_pipelines.curation.ledger import Ledger
from iap_pipelines.curation.link import Linked, find_confirmed, find_dubbed, link_subjects
from iap_pipelines.curation.pair import Material, multi_view_sets, pair_references
from iap_pipelines.curation.people import identity_of, subjects_of
from iap_pipelines.curation.records import Clip, ClipMatch, ClipTurn, Lips, TurnText, View
from iap_pipelines.curation.results import (
    ClipSubject,
    Identity,
    Link,
    MultiView,
    Reference,
    Reject,
    SourceOutcome,
    Verdict,
    WrittenView,
    WrittenVoice,
)
from iap_pipelines.curation.stage import SourceFile
from iap_pipelines.curation.walk import Plan, Walked, read_only, walk


@dataclass(frozen=True)
class Collected:
    """Everything that the tables and the report are made from."""

    walked: dict[str, Walked]
    """by source"""
    outcomes: dict[str, SourceOutcome]
    """by source"""
    rejects: tuple[Reject, ...]
    """of files, sources and clips"""
    subjects: tuple[ClipSubject, ...]
    identities: tuple[Identity, ...]
    links: tuple[Link, ...]
    common_face: tuple[float, ...] | None
    """taken off all faces before they were compared; ``None`` when nothing was"""
    references: tuple[Reference, ...]
    multi_views: tuple[MultiView, ...]


def collect(found: Input, config: CurationConfig, plan: Plan, ledger: Ledger, folder: Path) -> Collected:
    """Read the ledger and decide everything that concerns more than one source.

    Raises:
        IncompleteError: when the ledger lacks a unit.
        RuntimeError: when something was lost; it never should be.
    """
    walked = {source.source_id: _read(plan, ledger, folder, source) for source in found.sources}
    subjects = _subjects(walked.values())
    linked = link_subjects(subjects, config.link)
    for reject_more in (_reject_unconfirmed, _reject_other_voices):
        if reject_more(walked, linked, config):
            subjects = _subjects(walked.values())
            linked = link_subjects(subjects, config.link)
    views, turns = _written_by_track(walked.values())
    identities = [identity_of(group, views, turns) for group in linked.groups]
    name_of = {subject_id: item.identity_id for item in identities for subject_id in item.subject_ids}
    subjects = [replace(subject, identity_id=name_of[subject.subject_id]) for subject in subjects]
    material = Material(subjects, views, turns, _words(walked.values()))
    outcomes = {source_id: _outcome(source_id, found) for source_id, found in walked.items()}
    collected = Collected(
        walked=walked,
        outcomes=outcomes,
        rejects=(*found.rejects, *(reject for item in walked.values() for reject in item.rejects.values())),
        subjects=tuple(subjects),
        identities=tuple(identities),
        links=linked.links,
        common_face=linked.common_face,
        references=tuple(pair_references(material, config.pair)),
        multi_views=tuple(multi_view_sets(identities, material, config.pair)),
    )
    check_conservation(found, collected)
    return collected


def _read(plan: Plan, ledger: Ledger, folder: Path, source: SourceFile) -> Walked:
    walked = walk(plan, ledger, folder / source.path, source, read_only, trust_files=True)
    walked.known.forget(Lips)  # a thousand numbers per second of each face, of all sources together too many
    return walked


def _subjects(walked: Iterable[Walked]) -> list[ClipSubject]:
    return [subject for item in walked for clip in item.kept for subject in subjects_of(item.known, clip)]


def _sync_scores(walked: Iterable[Walked]) -> dict[str, float | None]:
    return {
        record.clip_id: record.sync_score
        for item in walked
        if item.known.has(ClipMatch)
        for record in item.known.all(ClipMatch)
    }


def _reject_unconfirmed(walked: dict[str, Walked], linked: Linked, config: CurationConfig) -> bool:
    """Reject clips with voices of which neither lips nor another source say that they are the face's own."""
    limit = config.gates.max_dubbed_share
    if limit is None:
        return False
    subject_of = {subject.track_id: subject.subject_id for group in linked.groups for subject in group}
    unconfirmed = {
        subject_of[turn.track_id]
        for item in walked.values()
        for clip in item.kept
        for turn in item.known.all(ClipTurn, clip_id=clip.clip_id, match="unconfirmed")
    }
    confirmed = find_confirmed(linked, config.link, unconfirmed)
    num_before = sum(len(item.rejects) for item in walked.values())
    for item in walked.values():
        for clip in item.kept:
            turns = item.known.all(ClipTurn, clip_id=clip.clip_id)
            open_turns = [
                turn for turn in turns if turn.match == "unconfirmed" and subject_of[turn.track_id] not in confirmed
            ]
            dubbed = [turn for turn in turns if turn.match == "dubbed"]
            if open_turns and (share := _seconds([*open_turns, *dubbed]) / _seconds(turns)) > limit:
                detail = "lips do not follow this voice, and no other source knows this face with it"
                _reject(item, clip, Verdict(reason="dubbed", value=share, threshold=limit), detail)
    return sum(len(item.rejects) for item in walked.values()) > num_before


def _seconds(turns: Iterable[ClipTurn]) -> float:
    return sum(turn.end_seconds - turn.start_seconds for turn in turns)


def _reject_other_voices(walked: dict[str, Walked], linked: Linked, config: CurationConfig) -> bool:
    dubbed = find_dubbed(linked, config.link, _sync_scores(walked.values()))
    for item in walked.values():
        for clip in item.kept:
            if clip.clip_id in dubbed:
                other, similarity = dubbed[clip.clip_id]
                threshold = config.link.other_voice_similarity
                verdict = Verdict(reason="other_voice", value=similarity, threshold=threshold)
                _reject(item, clip, verdict, f"the same face has another voice in clip {other}")
    return bool(dubbed)


def _reject(walked: Walked, clip: Clip, verdict: Verdict, detail: str) -> None:
    walked.rejects[clip.clip_id] = Reject(
        record_id=clip.clip_id,
        level="clip",
        stage="link",
        kind="rejected",
        reason=verdict.reason,
        value=verdict.value,
        threshold=verdict.threshold,
        detail=detail,
        verdicts=(verdict,),
    )


def _written_by_track(
    walked: Iterable[Walked],
) -> tuple[dict[str, Sequence[View]], dict[str, Sequence[ClipTurn]]]:
    """Views and turns of kept clips that have a file, by track."""
    views, turns = defaultdict(list), defaultdict(list)
    for item in walked:
        kept = {clip.clip_id for clip in item.kept}
        if not kept:
            continue
        files = {record.id for kind in (WrittenView, WrittenVoice) for record in item.known.all(kind)}
        for view in item.known.all(View):
            if view.clip_id in kept and view.view_id in files:
                views[view.track_id].append(view)
        for turn in item.known.all(ClipTurn):
            if turn.clip_id in kept and turn.turn_id in files:
                turns[turn.track_id].append(turn)
    return views, turns


def _words(walked: Iterable[Walked]) -> dict[str, tuple[str, ...]]:
    return {
        text.turn_id: tuple("".join(c for c in text.text.lower() if c.isalnum() or c.isspace()).split())
        for item in walked
        if item.known.has(TurnText)
        for text in item.known.all(TurnText)
    }


def _outcome(source_id: str, walked: Walked) -> SourceOutcome:
    clips = walked.known.all(Clip) if walked.known.has(Clip) else ()
    own = walked.rejects.get(source_id)
    if own is not None:
        status = own.kind
    elif walked.kept:
        status = "kept"
    else:
        failed = [walked.rejects[clip.clip_id].kind == "failed" for clip in clips]
        status = "failed" if failed and all(failed) else "rejected"
    return SourceOutcome(source_id=source_id, status=status, num_clips=len(clips), num_kept_clips=len(walked.kept))


def check_conservation(found: Input, collected: Collected) -> None:
    """Every file of the input is kept, rejected or failed, and so is every clip of a source; exactly one of them.

    Raises:
        RuntimeError: when that is not so.
    """
    if set(collected.outcomes) != {source.source_id for source in found.sources}:
        raise RuntimeError("Sources were lost. Please report this.")
    counts = Counter(outcome.status for outcome in collected.outcomes.values())
    if not set(counts) <= {"kept", "rejected", "failed"}:
        raise RuntimeError(f"Sources ended as {sorted(counts)}. Please report this.")
    ids = [reject.record_id for reject in collected.rejects]
    if len(ids) != len(set(ids)):
        raise RuntimeError("Something was rejected twice. Please report this.")
    for source_id, walked in collected.walked.items():
        clips = {clip.clip_id for clip in walked.known.all(Clip)} if walked.known.has(Clip) else set()
        kept = {clip.clip_id for clip in walked.kept}
        rejected = set(walked.rejects) - {source_id}
        if kept | rejected != clips or kept & rejected:
            raise RuntimeError(f"Clips of {walked.known.source.path} were lost. Please report this.")
        if not clips and source_id not in walked.rejects:
            raise RuntimeError(f"{walked.known.source.path} has neither clips nor a reason. Please report this.")
