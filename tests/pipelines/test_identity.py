"""Subjects on their way to the transformer, step by step."""

import pytest
import torch

from iap_pipelines import Subject
from iap_pipelines.pipelines.guidance import WITHOUT_IDENTITY, Branch, IdentityKey
from iap_pipelines.pipelines.identity import (
    LoadedIdentity,
    LoadedSubject,
    SubjectLatents,
    collate_identity,
    drop_conditions,
    fit_voice,
)
from tests.pipelines.tiny_people import face, person, voice


def faces(seed, num_views):
    return torch.randn(num_views, 4, 2, 2, generator=torch.Generator().manual_seed(seed))


def speech(seed, length):
    return torch.randn(length, 6, generator=torch.Generator().manual_seed(seed))


ADA = SubjectLatents(faces(1, 1), speech(1, 5))
BEN = SubjectLatents(faces(2, 2), speech(2, 3))
UNSEEN = SubjectLatents(voice=speech(3, 4))
NOBODY = SubjectLatents()


# --- Files ---


def test_one_list_or_one_per_prompt():
    one = LoadedIdentity.load([person(1), Subject()])
    assert one.num_subjects == (2,) and one.has_references
    several = LoadedIdentity.load([[person(1, face_scale=2.0)], [], [Subject(), person(2)]])
    assert several.num_subjects == (1, 0, 2)
    assert several.face_scales == ((2.0,), (), (1.0, 1.0))
    assert not LoadedIdentity.load([]).has_references and not LoadedIdentity.load([Subject()]).has_references


def test_files_and_values_are_read_alike(tmp_path):
    face(1).save(tmp_path / "ada.png")
    subject = LoadedIdentity.load([Subject(face=[str(tmp_path / "ada.png"), face(1)])]).samples[0][0]
    assert isinstance(subject, LoadedSubject) and subject.num_views == 2
    assert subject.views[0].tobytes() == subject.views[1].tobytes()


def test_latents_need_no_reading():
    assert LoadedIdentity.load([ADA]).samples[0][0] is ADA


def test_everybody_is_repeated_beside_themselves():
    people = LoadedIdentity.load([[ADA], [BEN, NOBODY]]).expand(4)
    assert people.num_subjects == (1, 1, 2, 2) and people.samples[1][0] is ADA


@pytest.mark.parametrize("is_padded, expected", [(False, 8000), (True, 16_000)])
def test_voices_are_cut_and_filled_up(is_padded, expected):
    short = fit_voice(voice(1, seconds=0.5), 16_000, 1.0, is_padded)
    assert short.num_samples == expected and not short.samples[:, 8000:].any()
    assert torch.equal(short.samples[:, :8000], voice(1, seconds=0.5).samples)
    assert fit_voice(voice(1, seconds=2.0), 16_000, 1.0, is_padded).num_samples == 16_000
    assert fit_voice(voice(1, seconds=2.0), 8000, 1.0, is_padded).num_samples == 8000


# --- Batches ---


def test_dropping_keeps_everybodys_place():
    ada, ben = drop_conditions([ADA, BEN], frozenset({0}), frozenset({1}))
    assert ada.faces is None and ada.voice is ADA.voice
    assert ben.faces is BEN.faces and ben.voice is None


def test_nobody_is_nothing():
    assert collate_identity([[], [NOBODY]]) is None


def test_equal_people_need_no_mask():
    inputs = collate_identity([[ADA], [ADA]])
    assert inputs.face_mask is None and inputs.voice_mask is None
    assert torch.equal(inputs.face_latents[1], ADA.faces) and torch.equal(inputs.voice_latents[0, 0], ADA.voice)


def test_different_people_are_padded_and_masked():
    inputs = collate_identity([[ADA], [NOBODY, BEN, UNSEEN], []])
    assert inputs.face_latents.shape == (3, 2, 4, 2, 2) and inputs.voice_latents.shape == (3, 2, 5, 6)
    assert inputs.face_mask.tolist() == [[True, False], [True, True], [False, False]]
    assert inputs.face_subjects[1].tolist() == [1, 1]
    assert inputs.voice_subjects[1].tolist() == [1, 2]
    assert inputs.voice_mask.sum(dim=-1).tolist() == [[5, 0], [3, 4], [0, 0]]
    assert torch.equal(inputs.voice_latents[1, 1, :4], UNSEEN.voice)


def test_faces_without_voices():
    inputs = collate_identity([[SubjectLatents(faces(1, 1))]])
    assert inputs.voice_latents is None and inputs.face_latents.shape == (1, 1, 4, 2, 2)


# --- Known people ---


def test_leaving_everybody_out_needs_no_memory(pipe):
    known = pipe.encode_identity([person(1), person(2)])
    everyone = frozenset({0, 1})
    assert known.memory(Branch(WITHOUT_IDENTITY, identity=IdentityKey(everyone, everyone))) is None
    with pytest.raises(ValueError, match="`identity` was not encoded for the other branch"):
        known.memory(Branch("other", identity=IdentityKey(frozenset({0}), everyone)))


def test_known_people_cannot_serve_any_number_of_clips(pipe):
    known = pipe.encode_identity([[person(1)], [person(2)]])
    assert known.expand(2) is known and known.expand(4).num_subjects == (1, 1, 1, 1)
    with pytest.raises(ValueError, match="`identity` holds 2 samples, which cannot serve 3 clips"):
        known.expand(3)


def test_a_scale_of_a_subject_is_prepared_for(pipe):
    known = pipe.encode_identity([person(1, voice_scale=2.0), person(2)])
    first = frozenset({0})
    assert set(known.memories) == {IdentityKey(), IdentityKey(first, first)}
