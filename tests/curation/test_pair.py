"""References: whose, from where, and never out of the target when there is anything else."""

from dataclasses import replace

import numpy as np
import pytest

from iap_pipelines.curation.pair import (
    Material,
    PairSettings,
    fingerprint_distance,
    multi_view_sets,
    pair_references,
)
from iap_pipelines.curation.people import identity_of
from tests.curation.people import make_subject, make_turn, make_view


FACE, VOICE = np.eye(8)[0], np.eye(4)[0]


def _material(seed):
    """Three people in random clips of random sources; views of random looks."""
    generator = np.random.default_rng(seed)
    subjects, views, turns, words = [], {}, {}, {}
    for clip in range(9):
        for person in generator.choice(3, generator.integers(1, 3), replace=False).tolist():
            subject = make_subject(
                f"{clip}-{person}",
                f"clip-{clip}",
                face=FACE,
                voice=VOICE if generator.random() < 0.8 else None,
                source=f"source-{clip // 2}",
            )
            subjects.append(replace(subject, identity_id=f"person-{person}"))
            views[subject.track_id] = [
                make_view(
                    f"view-{clip}-{person}-{number}",
                    subject,
                    score=float(generator.random()),
                    fingerprint=int(generator.integers(2**62)),
                    yaw=float(generator.normal(0, 20)),
                )
                for number in range(3)
            ]
            if subject.role == "speaker":
                seconds = float(generator.uniform(0.5, 4))
                turns[subject.track_id] = [make_turn(f"turn-{clip}-{person}", subject, seconds=seconds)]
                words[f"turn-{clip}-{person}"] = tuple(generator.choice(["red", "blue", "one", "two"], 4).tolist())
    return Material(subjects, views, turns, words)


@pytest.mark.parametrize("seed", range(10))
def test_references_are_of_the_same_person_and_of_another_clip_when_there_is_one(seed):
    material, settings = _material(seed), PairSettings()
    by_id = {subject.subject_id: subject for subject in material.subjects}
    view_of = {view.view_id: view for views in material.views.values() for view in views}
    turn_of = {turn.turn_id: turn for turns in material.turns.values() for turn in turns}
    owner = {subject.track_id: subject for subject in material.subjects}
    references = pair_references(material, settings)
    assert references
    for reference in references:
        target = by_id[reference.subject_id]
        given = view_of[reference.view_id] if reference.modality == "face" else turn_of[reference.turn_id]
        giver = owner[given.track_id]
        assert giver.identity_id == target.identity_id == reference.identity_id
        assert reference.from_clip_id == giver.clip_id == given.clip_id
        others = [subject for subject in material.subjects if subject.identity_id == target.identity_id]
        if reference.modality == "face" and len({subject.clip_id for subject in others}) > 1:
            assert giver.clip_id != target.clip_id
        if giver.clip_id == target.clip_id:
            assert reference.scope == "same_clip" and giver.subject_id == target.subject_id
        else:
            assert reference.scope == ("other_clip" if giver.source_id == target.source_id else "other_source")
        if reference.modality == "voice":
            assert given.end_seconds - given.start_seconds >= settings.min_voice_seconds
    assert len({reference.reference_id for reference in references}) == len(references)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_subjects_does_not_matter(seed):
    material = _material(seed)
    turned = replace(material, subjects=material.subjects[::-1])
    assert pair_references(material, PairSettings()) == pair_references(turned, PairSettings())


def _two(fingerprints, scores=(0.5, 0.5, 0.9)):
    """A target with one view, and another clip of the person with two."""
    target = replace(make_subject("t", "clip-t", face=FACE, voice=VOICE), identity_id="p")
    other = replace(make_subject("o", "clip-o", face=FACE, voice=VOICE), identity_id="p")
    views = {
        "track-t": [make_view("own", target, fingerprint=fingerprints[0], score=scores[0])],
        "track-o": [
            make_view("first", other, fingerprint=fingerprints[1], score=scores[1]),
            make_view("second", other, fingerprint=fingerprints[2], score=scores[2]),
        ],
    }
    turns = {"track-t": [make_turn("said", target)], "track-o": [make_turn("heard", other)]}
    return Material([target, other], views, turns, {})


def test_near_copies_come_last():
    far = 0xFFFF
    references = pair_references(_two((0, far, 1)), PairSettings())
    assert [item.view_id for item in references if item.subject_id == "t" and item.view_id] == ["first", "second"]
    only_copies = pair_references(_two((0, 1, 3)), PairSettings())
    assert {item.from_clip_id for item in only_copies if item.subject_id == "t"} == {"clip-o"}


def test_what_says_the_same_comes_last():
    material = _two((0, 0xFFFF, 0xFF))
    other = material.subjects[1]
    turns = {
        **material.turns,
        "track-o": [make_turn("same", other, seconds=4.0), make_turn("new", other, seconds=2.0)],
    }
    words = {"said": ("the", "red", "apple"), "same": ("a", "the", "red", "apple"), "new": ("two", "blue", "birds")}
    references = pair_references(replace(material, turns=turns, words=words), PairSettings())
    assert [item.turn_id for item in references if item.subject_id == "t" and item.turn_id] == ["new", "same"]


def test_a_person_with_one_clip_refers_to_itself():
    subject = make_subject("t", "clip-t", face=FACE, voice=VOICE)
    material = Material(
        [subject], {"track-t": [make_view("own", subject)]}, {"track-t": [make_turn("said", subject)]}, {}
    )
    assert {item.scope for item in pair_references(material, PairSettings())} == {"same_clip"}


def test_distances_of_fingerprints():
    assert fingerprint_distance("0000000000000000", "ffffffffffffffff") == 64
    assert fingerprint_distance("abc", "abc") == 0


@pytest.mark.parametrize("seed", range(5))
def test_multi_view_sets_hold_different_views_of_several_clips(seed):
    material, settings = _material(seed), PairSettings()
    groups = {}
    for subject in material.subjects:
        groups.setdefault(subject.identity_id, []).append(subject)
    identities = [identity_of(group, material.views, material.turns) for group in groups.values()]
    view_of = {view.view_id: view for views in material.views.values() for view in views}
    sets = multi_view_sets(identities, material, settings)
    assert sets
    for item in sets:
        views = [view_of[view_id] for view_id in item.view_ids]
        assert settings.min_views <= len(views) <= settings.max_views
        assert len({view.clip_id for view in views}) >= settings.min_clips
        for index, view in enumerate(views):
            for other in views[index + 1 :]:
                distance = fingerprint_distance(view.fingerprint, other.fingerprint)
                assert distance >= settings.min_fingerprint_distance
