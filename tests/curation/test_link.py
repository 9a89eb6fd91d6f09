"""Identities: precise on noisy people, and never two people of one clip in one group, whatever the embeddings."""

import numpy as np
import pytest

from iap_pipelines.curation.calibrate import calibrate, strangers_of_clips
from iap_pipelines.curation.link import LinkSettings, find_common_face, find_confirmed, find_dubbed, link_subjects
from tests.curation.people import make_population, make_subject, unit


def _pairs(names):
    return {(a, b) for names in names for a in names for b in names if a < b}


def _groups(linked):
    return [[subject.subject_id for subject in group] for group in linked.groups]


@pytest.mark.parametrize("seed", range(5))
def test_people_are_found_again(seed):
    subjects, truth = make_population(seed)
    linked = link_subjects(subjects, LinkSettings())
    person = {subject.subject_id: who for subject, who in zip(subjects, truth, strict=True)}
    found = _pairs(_groups(linked))
    right = {pair for pair in found if person[pair[0]] == person[pair[1]]}
    everybody = [[name for name, who in person.items() if who == one] for one in set(truth)]
    assert len(right) >= 0.99 * len(found)
    assert len(right) >= 0.9 * len(_pairs(everybody))


@pytest.mark.parametrize("seed", range(20))
def test_two_people_of_one_clip_are_never_one(seed):
    """Also where nothing can be told apart: everybody looks and sounds nearly alike."""
    subjects, _ = make_population(seed, num_people=4, num_clips=15, face_noise=1.5, voice_noise=1.5)
    lax = LinkSettings(
        min_face_similarity=-1,
        min_voice_similarity=-1,
        min_group_face_similarity=-1,
        min_group_voice_similarity=-1,
        min_face_alone=-1,
    )
    for settings in (lax, LinkSettings()):
        linked = link_subjects(subjects, settings)
        for group in linked.groups:
            clips = [subject.clip_id for subject in group]
            assert len(clips) == len(set(clips))
        assert sorted(name for group in _groups(linked) for name in group) == [s.subject_id for s in subjects]
    assert {link.decision for link in link_subjects(subjects, lax).links} >= {"linked", "cannot_link"}


@pytest.mark.parametrize("seed", range(3))
def test_what_all_faces_have_in_common_is_taken_off(seed):
    """Drawn people, or one film's make-up: to an embedder that was made for others they all look alike."""
    subjects, truth = make_population(seed, num_people=60, num_clips=120, voice_noise=1.0, in_common=1.2)
    person = {subject.subject_id: who for subject, who in zip(subjects, truth, strict=True)}
    settings = LinkSettings(min_voice_similarity=0.3, min_group_voice_similarity=0.2)

    def rates(settings):
        linked = link_subjects(subjects, settings)
        found = _pairs(_groups(linked))
        right = sum(person[a] == person[b] for a, b in found)
        wanted = _pairs([[name for name, who in person.items() if who == one] for one in set(truth)])
        return linked.common_face, right / len(found), right / len(wanted)

    common, precision, recall = rates(settings)
    assert np.argmax(common) == 0 and common[0] > 0.5
    assert precision >= 0.99 and recall >= 0.7
    ordinary, _ = make_population(seed, num_people=60, num_clips=120)
    usual = link_subjects(ordinary, settings).common_face
    assert usual is None or np.linalg.norm(usual) < 0.1
    never = settings.model_copy(update={"min_people_to_center": None})
    common, precision, _ = rates(never)
    assert common is None and precision < 0.8
    assert rates(settings.model_copy(update={"min_people_to_center": 10_000}))[:2] == (None, precision)


@pytest.mark.parametrize("seed", range(3))
def test_people_are_counted_without_what_they_have_in_common(seed):
    """Otherwise those who are taken for one another are few, and say too little of it."""
    subjects, _ = make_population(seed, num_people=40, num_clips=80, voice_noise=1.0, in_common=1.6)
    settings = LinkSettings(min_voice_similarity=0.1, min_group_voice_similarity=0.0)
    never = settings.model_copy(update={"min_people_to_center": None})
    assert len(link_subjects(subjects, never).groups) < 30
    linked = link_subjects(subjects, settings)
    assert linked.common_face is not None and len(linked.groups) >= 38


@pytest.mark.parametrize("seed", range(3))
def test_few_people_have_something_in_common_too(seed):
    subjects, truth = make_population(seed, num_people=10, num_clips=40, in_common=1.6)
    person = {subject.subject_id: who for subject, who in zip(subjects, truth, strict=True)}
    lax = LinkSettings(min_voice_similarity=0.2, min_group_voice_similarity=0.1)

    def precision(settings):
        found = _pairs(_groups(link_subjects(subjects, settings)))
        return np.mean([person[a] == person[b] for a, b in found])

    assert precision(lax) > 0.99 > precision(lax.model_copy(update={"min_people_to_center": None}))


@pytest.mark.parametrize("seed", range(5))
def test_what_a_few_share_by_chance_is_not_taken_off(seed):
    """Unlike faces, and a person who is found three times over because of other voices."""
    generator = np.random.default_rng(seed)
    faces = [unit(row) for row in generator.standard_normal((7, 128))]
    people = [[make_subject(f"{n}", f"clip-{n}", face=face, voice=VOICE)] for n, face in enumerate(faces)]
    repeated = [[make_subject(f"again-{n}", f"again-{n}", face=faces[0], voice=VOICE)] for n in range(2)]
    for groups in (people, [*people, *repeated]):
        common = find_common_face(groups, 5)
        assert common is None or np.linalg.norm(common) < 0.15
    assert np.linalg.norm(np.mean(faces, axis=0)) > 0.3, "which is not what they share"
    assert find_common_face(people[:4], 5) is None and find_common_face(people, None) is None


def test_what_all_share_is_found_the_better_the_more_there_are():
    shared = np.eye(128)[0]
    own = np.random.default_rng(0).standard_normal((400, 128)) / np.sqrt(128)
    people = [[make_subject(f"{n}", f"clip-{n}", face=shared + one, voice=VOICE)] for n, one in enumerate(own)]
    lengths = [np.linalg.norm(find_common_face(people[:count], 5)) for count in (6, 20, 400)]
    assert lengths[0] < lengths[1] < lengths[2]
    assert lengths[2] == pytest.approx(np.sqrt(0.5), abs=0.02), "their mean, for unit vectors"


def test_who_appears_often_does_not_become_what_is_common():
    subjects, _ = make_population(0, num_people=40, num_clips=60, in_common=1.0)
    often = [make_subject(f"often-{n}", f"often-{n}", face=np.eye(32)[1], voice=np.eye(16)[1]) for n in range(300)]
    linked = link_subjects([*subjects, *often], LinkSettings())
    assert abs(linked.common_face[1]) < 0.1
    assert max(map(len, linked.groups)) >= 300


def test_the_order_of_subjects_does_not_matter():
    subjects, _ = make_population(3)
    shuffled = [subjects[index] for index in np.random.default_rng(0).permutation(len(subjects))]
    assert link_subjects(subjects, LinkSettings()) == link_subjects(shuffled, LinkSettings())


FACE, OTHER_FACE = np.eye(8)[0], np.eye(8)[1]
VOICE, OTHER_VOICE = np.eye(4)[0], np.eye(4)[1]


@pytest.mark.parametrize(
    ("face", "voice", "decision", "num_people"),
    [
        (FACE, VOICE, "linked", 1),
        (FACE, OTHER_VOICE, "voice_differs", 2),
        (0.58 * FACE + np.sqrt(1 - 0.58**2) * OTHER_FACE, VOICE, "face_differs", 2),
        (FACE, None, "face_only", 1),
        (0.7 * FACE + np.sqrt(1 - 0.49) * OTHER_FACE, None, "not_heard", 2),
    ],
)
def test_an_edge_needs_face_and_voice(face, voice, decision, num_people):
    subjects = [
        make_subject("a", "clip-a", face=FACE, voice=VOICE),
        make_subject("b", "clip-b", face=face, voice=voice),
    ]
    linked = link_subjects(subjects, LinkSettings())
    assert [link.decision for link in linked.links] == [decision]
    assert len(linked.groups) == num_people


def test_somebody_who_is_never_heard_joins_no_two_who_are():
    subjects = [
        make_subject("a", "clip-a", face=FACE, voice=VOICE),
        make_subject("b", "clip-b", face=FACE, voice=OTHER_VOICE),
        make_subject("c", "clip-c", face=FACE, voice=None),
    ]
    groups = _groups(link_subjects(subjects, LinkSettings()))
    assert ["a", "b"] not in groups and len(groups) == 2


def test_a_weak_bridge_is_refused():
    angles = [0.0, 10.0, 50.0, 60.0]
    faces = [np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))]) for angle in angles]
    subjects = [
        make_subject(name, f"clip-{name}", face=face, voice=VOICE) for name, face in zip("abcd", faces, strict=True)
    ]
    settings = LinkSettings(min_face_similarity=0.75, min_group_face_similarity=0.74)
    linked = link_subjects(subjects, settings)
    assert _groups(linked) == [["a", "b"], ["c", "d"]]
    assert "weak_bridge" in {link.decision for link in linked.links}


def test_of_two_equal_faces_with_two_voices_the_less_supported_is_dubbed():
    subjects = [
        make_subject("a", "clip-a", face=FACE, voice=VOICE),
        make_subject("b", "clip-b", face=FACE, voice=VOICE),
        make_subject("dub", "clip-dub", face=FACE, voice=OTHER_VOICE),
    ]
    linked = link_subjects(subjects, LinkSettings())
    assert set(find_dubbed(linked, LinkSettings(), {})) == {"clip-dub"}
    pair = link_subjects([subjects[0], subjects[2]], LinkSettings())
    assert set(find_dubbed(pair, LinkSettings(), {"clip-a": 0.1, "clip-dub": 0.4})) == {"clip-a"}
    assert set(find_dubbed(pair, LinkSettings(), {"clip-a": 0.4, "clip-dub": 0.1})) == {"clip-dub"}


def test_a_voice_is_confirmed_by_another_source_of_this_face_with_this_voice():
    subjects = [
        make_subject("sure", "clip-a", face=FACE, voice=VOICE, source="film"),
        make_subject("open", "clip-b", face=FACE, voice=VOICE, source="show"),
        make_subject("open too", "clip-c", face=FACE, voice=VOICE, source="film"),
        make_subject("other voice", "clip-d", face=FACE, voice=OTHER_VOICE, source="show"),
        make_subject("other face", "clip-e", face=OTHER_FACE, voice=VOICE, source="show"),
        make_subject("silent", "clip-f", face=FACE, voice=None, source="show"),
    ]
    linked = link_subjects(subjects, LinkSettings())
    unconfirmed = {subject.subject_id for subject in subjects[1:]}
    assert find_confirmed(linked, LinkSettings(), unconfirmed) == {"open"}
    assert find_confirmed(linked, LinkSettings(), unconfirmed | {"sure"}) == set(), "nobody is sure"


def test_one_alike_voice_of_several_confirms_nothing():
    subjects = [
        make_subject("like", "clip-a", face=FACE, voice=VOICE),
        make_subject("unlike", "clip-b", face=FACE, voice=OTHER_VOICE),
        make_subject("open", "clip-c", face=FACE, voice=VOICE),
    ]
    linked = link_subjects(subjects, LinkSettings())
    assert "linked" in {link.decision for link in linked.links}
    assert find_confirmed(linked, LinkSettings(), {"open"}) == set()


def test_nobody():
    linked = link_subjects([], LinkSettings())
    assert linked.groups == () and linked.links == ()


def test_calibration_keeps_to_the_rate_that_is_wanted():
    generator = np.random.default_rng(0)
    strangers, same = generator.normal(0.0, 0.2, 20000), generator.normal(0.8, 0.1, 2000)
    for rate in (0.05, 0.01, 0.001):
        found = calibrate(strangers, same, rate)
        assert found.false_match_rate <= rate
        assert found.false_match_rate == pytest.approx(rate, rel=0.1)
    assert found.true_match_rate > 0.95
    assert calibrate([0.1, 0.3], [0.7, 0.9]).threshold == pytest.approx(0.5)
    with pytest.raises(ValueError, match="`different`"):
        calibrate([], [0.5])


def test_few_strangers_can_only_raise_a_threshold():
    few, many = calibrate([0.1, 0.3], []), calibrate(np.linspace(0.0, 0.3, 2000), [])
    assert few.advised(0.6) == 0.6 and few.advised(0.2) == few.threshold
    assert many.advised(0.6) == many.advised(0.2) == many.threshold < 0.31


def test_strangers_are_seen_at_once():
    subjects, truth = make_population(0)
    one_after_the_other = {one.track_id: (place, place + 0.5) for place, one in enumerate(subjects)}
    assert strangers_of_clips(subjects, one_after_the_other) == ([], [])
    faces, voices = strangers_of_clips(subjects, {one.track_id: (0.0, 1.0) for one in subjects})
    clips = [subject.clip_id for subject in subjects]
    assert len(faces) == sum(clips[:index].count(clip) for index, clip in enumerate(clips))
    assert 0 < len(voices) < len(faces)
