"""What a clip says about its model and its people: everything needed to recognise them, nothing to find them."""

import hashlib

import pytest

from iap_pipelines import IAPPipeline, Subject, export_to_av
from iap_pipelines.pipelines.identity import EncodedIdentity, SubjectLatents
from iap_pipelines.provenance import read_provenance
from tests.pipelines.tiny_people import face, person, prompt_for, seeded, voice


def call(pipe, subjects=None, **options):
    num_subjects = len(subjects) if subjects else 1
    options = {"generator": seeded(), "output_type": "latent", "num_inference_steps": 1} | options
    return pipe(options.pop("prompt", prompt_for(num_subjects)), subjects, **options)


def digests(output, index=0):
    return [(entry.subject, entry.kind, entry.of) for entry in output.provenance[index].references]


def test_references_are_named_by_subject(pipe):
    output = call(pipe, [person(1), Subject(voice=voice(2)), Subject(face=[face(3), face(4)])])
    assert digests(output) == [
        (1, "face", "pixels"),
        (1, "voice", "samples"),
        (2, "voice", "samples"),
        (3, "face", "pixels"),
        (3, "face", "pixels"),
    ]
    assert len({entry.sha256 for entry in output.provenance[0].references}) == 5
    assert output.to_tuple()[:2] == (output.frames, output.audio)


def test_files_are_known_by_their_bytes(pipe, tmp_path):
    path = tmp_path / "ada.png"
    face(1).save(path)
    reference = call(pipe, [Subject(face=path)]).provenance[0].references[0]
    assert reference.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_clip_of_a_batch_has_its_own(pipe):
    output = call(pipe, [[person(1)], [person(2)]], prompt=[prompt_for(1), prompt_for(1)], num_videos_per_prompt=2)
    first, same, second, _ = (entry.references for entry in output.provenance)
    assert first == same != second


def test_encoded_people_keep_their_digests(pipe, tmp_path):
    people = pipe.encode_identity([person(1)])
    people.save(tmp_path / "people.safetensors")
    loaded = EncodedIdentity.load(tmp_path / "people.safetensors")
    expected = call(pipe, [person(1)]).provenance
    assert call(pipe, identity=loaded, prompt=prompt_for(1)).provenance == expected


def test_latents_are_known_by_their_values(pipe):
    latents = SubjectLatents(faces=pipe.encode_faces([face(1)]))
    assert digests(call(pipe, [latents])) == [(1, "face", "latents")]


def test_the_fingerprint_follows_the_weights(own_pipe):
    before = call(own_pipe, [person(1)]).provenance[0].weights
    assert call(own_pipe, [person(2)], num_inference_steps=2).provenance[0].weights == before
    for parameter in own_pipe.transformer.parameters():
        parameter.data += 1e-3
    assert call(own_pipe, [person(1)]).provenance[0].weights != before


def test_the_embedded_checkpoint_is_named():
    from iap_pipelines.assets import EMBEDDED_CHECKPOINT
    from iap_pipelines.pipelines.model_provenance import model_provenance

    provenance = model_provenance(IAPPipeline.from_pretrained(EMBEDDED_CHECKPOINT))
    assert (provenance.model, provenance.revision) == ("iap-tiny", None)


def test_a_repository_is_named_with_its_commit(own_pipe):
    commit = "0123456789abcdef" * 2 + "01234567"
    own_pipe.register_to_config(_name_or_path="org/iap")
    own_pipe.transformer.register_to_config(
        _name_or_path=f"/home/ada/hub/models--org--iap/snapshots/{commit}/transformer"
    )
    provenance = call(own_pipe, [person(1)]).provenance[0]
    assert (provenance.model, provenance.revision) == ("org/iap", commit)


@pytest.mark.parametrize("is_saved", [True, False])
def test_no_personal_data_reaches_the_file(own_pipe, tmp_path, is_saved):
    """Names, paths, captions: every text that went in is looked for in the finished file."""
    home = tmp_path / "ada-lovelace"
    home.mkdir()
    face(1).save(home / "portrait-of-ada.png")
    if is_saved:
        own_pipe.save_pretrained(home / "private-checkpoint")
        own_pipe = IAPPipeline.from_pretrained(home / "private-checkpoint")
    subject = Subject(face=home / "portrait-of-ada.png", voice=voice(1), name="Ada Lovelace")
    output = own_pipe("<S1> wears a secret hat", [subject], generator=seeded(), num_inference_steps=1)
    path = home / "clip-of-ada.mp4"
    export_to_av(
        output.frames[0],
        output.audio[0],
        path,
        frame_rate=own_pipe.frame_rate,
        sampling_rate=own_pipe.sampling_rate,
        provenance=output.provenance[0],
    )
    report = read_provenance(path)
    assert report.provenance == output.provenance[0]
    assert report.provenance.weights and len(report.provenance.references) == 2
    content = path.read_bytes().lower()
    private = (
        "lovelace",
        "portrait",
        "secret hat",
        "private-checkpoint",
        "clip-of",
        str(home),
    )
    assert [text for text in private if text.encode() in content] == []
