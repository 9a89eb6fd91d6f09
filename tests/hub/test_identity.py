"""Identity folders: written, read back, published, and refused where they must be."""

import json
import logging
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
from huggingface_hub import create_repo, upload_folder
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image
from safetensors.torch import save_file

from iap_pipelines import Consent, IAPPipeline, Subject
from iap_pipelines.cli import main
from iap_pipelines.hub.adapters import load_adapters
from iap_pipelines.hub.publishing import publish_folder
from iap_pipelines.hub.verification import IdentityEmbeddings, embed_subject
from iap_pipelines.identity_card import CONSENT_FILE, EMBEDDINGS, LORA, IdentityCard
from iap_pipelines.media import read_video
from iap_pipelines.perception.interfaces import FaceDetection
from iap_pipelines.pipelines.fingerprint import LEARNED_ON, model_fingerprint
from iap_pipelines.pipelines.identity import EncodedIdentity
from tests.hub.people import STATEMENT, consent
from tests.pipelines.tiny_components import tiny_pipeline, tiny_transformer
from tests.pipelines.tiny_people import assert_close, assert_equal, assert_moved, face, generate, person, voice


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


@pytest.fixture(scope="module")
def other_pipe():
    """The same classes and sizes, other weights."""
    pipe = tiny_pipeline()
    with torch.no_grad():
        pipe.transformer.blocks[0].video.attn1.to_q.bias.neg_()
    return pipe


@pytest.fixture
def ada():
    return person(1, face=[face(1), face(2)], name="Ada")


def edit(folder, **changes):
    """Change identity.json by hand."""
    path = folder / "identity.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_references_come_back_equal(pipe, ada, tmp_path):
    ada.save_pretrained(tmp_path / "ada", description="woman with red hair", consent=consent())
    back = Subject.from_pretrained(tmp_path / "ada")
    assert (back.name, back.card.description, back.card.consent) == ("Ada", "woman with red hair", consent())
    assert len(back.views) == 2 and back.has_voice and back.card.base_model is None
    for view, path in zip(ada.views, back.views, strict=True):
        assert view.tobytes() == Image.open(path).tobytes()
    # The recording is stored with 16 bits.
    assert_close(generate(pipe, subjects=[ada]), generate(pipe, subjects=[back]), atol=1e-3)
    back.save_pretrained(tmp_path / "again")
    assert Subject.from_pretrained(tmp_path / "again").card.digest == back.card.digest


def test_what_a_camera_left_in_a_file_stays_behind(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    face(1).save(tmp_path / "photo.jpg", exif=exif, comment=b"secret comment")
    Subject(face=tmp_path / "photo.jpg").save_pretrained(tmp_path / "ada")
    written = (tmp_path / "ada" / "views" / "0.png").read_bytes()
    assert not Image.open(tmp_path / "ada" / "views" / "0.png").getexif()
    assert b"home" not in written and b"secret" not in written


@pytest.mark.parametrize("contents", [("latents",), ("references", "latents", "keys_and_values")])
def test_latents_make_the_same_clip(pipe, ada, tmp_path, contents):
    ada.save_pretrained(tmp_path / "ada", pipe=pipe, contents=contents)
    back = Subject.from_pretrained(tmp_path / "ada")
    assert (back.views == ()) == ("references" not in contents) and back.has_face and back.has_voice
    alone = Subject(card=back.card)
    assert_equal(generate(pipe, subjects=[ada]), generate(pipe, subjects=[alone]))


def test_keys_and_values_make_the_same_clip(pipe, ada, tmp_path):
    ada.save_pretrained(tmp_path / "ada", pipe=pipe, contents="keys_and_values")
    back = Subject.from_pretrained(tmp_path / "ada")
    people = EncodedIdentity.from_card(back.card)
    assert_equal(generate(pipe, subjects=[ada]), generate(pipe, identity=people))
    with pytest.raises(ValueError, match="only keys and values. Pass those as `identity`"):
        generate(pipe, subjects=[back])


def test_another_model_refuses(pipe, other_pipe, ada, tmp_path):
    ada.save_pretrained(tmp_path / "ada", pipe=pipe, contents=["latents", "keys_and_values"])
    back = Subject.from_pretrained(tmp_path / "ada")
    for call in (lambda: generate(other_pipe, subjects=[back]), lambda: other_pipe.encode_identity([back])):
        with pytest.raises(ValueError, match="belongs to the model 'unnamed', but this pipeline has another one"):
            call()
    with pytest.raises(ValueError, match="`identity` was encoded by another model"):
        generate(other_pipe, identity=EncodedIdentity.from_card(back.card))


def test_without_a_fingerprint_names_decide(pipe, ada, tmp_path):
    ada.save_pretrained(tmp_path / "ada")
    edit(tmp_path / "ada", base_model={"name": "org/iap", "revision": "v1"})
    pipe.save_pretrained(tmp_path / "pipe")
    loaded = type(pipe).from_pretrained(tmp_path / "pipe")
    loaded.set_progress_bar_config(disable=True)
    with pytest.raises(ValueError, match=r"`subjects\[0\]` belongs to the model 'org/iap' \(revision v1\)"):
        generate(loaded, subjects=[Subject.from_pretrained(tmp_path / "ada")])
    edit(tmp_path / "ada", base_model={"name": str(tmp_path / "pipe")})
    generate(loaded, subjects=[Subject.from_pretrained(tmp_path / "ada")])


def test_a_fingerprint_knows_weights_and_nothing_else(pipe, other_pipe, tmp_path):
    expected = model_fingerprint(pipe.transformer)
    assert model_fingerprint(other_pipe.transformer) != expected
    changed = tiny_pipeline()
    for dtype in (torch.float16, torch.bfloat16):
        assert model_fingerprint(tiny_pipeline().transformer.to(dtype)) == expected
    changed.release_identity_weights()
    assert model_fingerprint(changed.transformer) == expected
    changed.transformer.add_adapter(LoraConfig(r=2, target_modules=["to_q", "ff.net.0.proj"], use_dora=True), "ada")
    assert model_fingerprint(changed.transformer) == expected


def test_publishing_needs_consent(hub, ada, tmp_path):
    with pytest.raises(ValueError, match="`consent` is missing.*ask them.*consent=Consent\\(statement="):
        ada.push_to_hub("org/ada")
    ada.save_pretrained(tmp_path / "ada")
    with pytest.raises(ValueError, match="--consent"):
        publish_folder(tmp_path / "ada", "org/ada")
    assert not hub.requests


def test_a_person_through_the_hub(hub, pipe, ada, tmp_path):
    lora = tmp_path / "lora"
    lora.mkdir()
    save_file({"transformer.blocks.0.lora_A.weight": torch.zeros(2, 2)}, lora / LORA)
    url = ada.push_to_hub("org/ada", consent=consent(), pipe=pipe, lora=lora)
    assert url.startswith(f"{hub.url}/org/ada/commit/")
    repository = hub.model("org/ada")
    assert repository.is_private
    assert {"README.md", "LICENSE.md", "identity.json", "views/0.png", "voice.flac", LORA} <= set(repository.files())
    assert STATEMENT.encode() in repository.files()["README.md"].data  # which was checked before it was sent

    back = Subject.from_pretrained("org/ada")
    assert back.lora.name == LORA and back.card.base_model.fingerprint == model_fingerprint(pipe.transformer)
    generate(pipe, subjects=[back])


def test_nothing_beside_the_card_is_published(hub, ada, tmp_path):
    ada.save_pretrained(tmp_path / "ada", consent=consent())
    (tmp_path / "ada" / "passport.jpg").write_bytes(b"private")
    publish_folder(tmp_path / "ada", "org/ada")
    assert "passport.jpg" not in hub.model("org/ada").files()


def test_a_person_who_holds_less_is_published_without_the_rest(hub, ada, tmp_path):
    ada.push_to_hub("org/ada", consent=consent())
    (tmp_path / "sheet.png").write_bytes(b"of somebody else")
    upload_folder(repo_id="org/ada", folder_path=tmp_path, path_in_repo="images", allow_patterns="*.png")
    replace(ada, face=face(1), voice=None).push_to_hub("org/ada", consent=consent())
    kept = {"README.md", "LICENSE.md", "identity.json", "views/0.png", "images/sheet.png"}
    assert set(hub.model("org/ada").files()) == kept


def test_what_was_to_be_private_does_not_go_into_a_public_repository(hub, ada):
    from huggingface_hub import create_repo

    create_repo("org/ada", private=False)
    with pytest.raises(OSError, match="it exists and is public, but was to be private. Nothing was sent"):
        ada.push_to_hub("org/ada", consent=consent())
    assert not hub.model("org/ada").files()
    ada.push_to_hub("org/ada", consent=consent(), private=False)


def test_an_expired_card_warns(ada, tmp_path, caplog):
    ada.save_pretrained(tmp_path / "ada", consent=consent(expires_on="2026-11-02"))
    with caplog.at_level(logging.WARNING):
        Subject.from_pretrained(tmp_path / "ada")
    assert "the consent of Ada ended on 2026-11-02" in caplog.text


def test_what_has_expired_is_not_published_until_it_is_renewed(hub, ada, tmp_path, capsys):
    ada.save_pretrained(tmp_path / "ada", consent=consent(expires_on="2026-11-02"))
    with pytest.raises(ValueError, match="the consent of Ada ended on 2026-11-02, so nothing is published. Ask again"):
        Subject.from_pretrained(tmp_path / "ada").push_to_hub("org/ada")
    folder = str(tmp_path / "ada")
    assert main(["publish", folder, "org/ada"]) == 2
    said = capsys.readouterr().err
    assert "ended on 2026-11-02" in said and not hub.requests
    # The command that the message names renews it.
    renew = shlex.split(re.search("`(iap identity .*?)`", said)[1].replace("YYYY-MM-DD", "2026-11-20"))
    assert main([*renew[1:], "--description", "woman"]) == 2  # "I, ..." is no statement
    assert main([STATEMENT if word == "I, ..." else word for word in renew[1:]]) == 0
    assert main(["publish", folder, "org/ada"]) == 0
    assert IdentityCard.load(folder).consent == Consent(statement=STATEMENT, given_on="2026-11-20")
    assert b"2026-11-02" not in hub.model("org/ada").files()["LICENSE.md"].data


def test_a_renewed_card_keeps_what_it_holds(pipe, other_pipe, ada, tmp_path):
    save_adapter(tmp_path / "lora")
    contents = ("references", "latents", "keys_and_values")
    ada.save_pretrained(tmp_path / "ada", pipe=pipe, contents=contents, lora=tmp_path / "lora")
    before = IdentityCard.load(tmp_path / "ada")
    back = Subject.from_pretrained(tmp_path / "ada")
    back.save_pretrained(tmp_path / "ada", consent=consent())
    after = IdentityCard.load(tmp_path / "ada")
    assert after.files == before.files and after.base_model == before.base_model and after.consent == consent()
    for kept in ({}, {"contents": "references"}):
        with pytest.raises(ValueError, match="the card of Ada belongs to the model"):
            back.save_pretrained(tmp_path / "other", pipe=other_pipe, **kept)
    replace(back, face=face(5)).save_pretrained(tmp_path / "new", lora=tmp_path / "lora", pipe=other_pipe)
    assert set(IdentityCard.load(tmp_path / "new").files) == {"views/0.png", "voice.flac", LORA}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"nickname": "A"}, "nickname: Extra inputs are not permitted"),
        ({"name": ""}, "name: String should have at least 1 character"),
        ({"format": "iap-identity-2"}, "format"),
        ({"files": {}}, "neither face nor voice"),
        ({"files": {"../secret.png": "0" * 64}}, r"`files` names \['../secret.png'\]"),
        ({"files": {"voice.flac": "0" * 64}}, "its SHA-256 differs"),
        ({"files": {"views/7.png": "0" * 64}}, "views/7.png: the file that identity.json names is missing"),
        ({"files": {"keys_and_values.safetensors": "0" * 64}}, "`base_model` is missing"),
        ({"consent": {"statement": STATEMENT}}, "consent.given_on: Field required"),
        ({"consent": {"statement": "yes", "given_on": "2026-11-01"}}, "consent.statement"),
        (
            {"consent": {"statement": STATEMENT, "given_on": "2026-11-02", "expires_on": "2026-11-01"}},
            "lies before `given_on`",
        ),
    ],
)
def test_a_card_that_is_not_right_says_what_is_wrong(ada, tmp_path, changes, reason):
    ada.save_pretrained(tmp_path / "ada")
    edit(tmp_path / "ada", **changes)
    with pytest.raises(ValueError, match=reason):
        Subject.from_pretrained(tmp_path / "ada")


def test_a_changed_file_is_noticed(ada, tmp_path):
    ada.save_pretrained(tmp_path / "ada")
    face(7).save(tmp_path / "ada" / "views" / "1.png")
    with pytest.raises(ValueError, match="views/1.png: it is not the file that identity.json names"):
        Subject.from_pretrained(tmp_path / "ada")


def test_the_digest_of_a_card_covers_its_files_and_enters_the_clip(pipe, ada, tmp_path):
    cards = []
    for index, subject in enumerate((ada, ada, person(3, name="Ada"))):
        subject.save_pretrained(tmp_path / str(index))
        cards.append(IdentityCard.load(tmp_path / str(index)))
    assert cards[0].digest == cards[1].digest != cards[2].digest
    ada.save_pretrained(tmp_path / "latents", pipe=pipe, contents=["latents", "keys_and_values"])
    whole, known = Subject.from_pretrained(tmp_path / "0"), Subject.from_pretrained(tmp_path / "latents")
    options = {"num_inference_steps": 1, "output_type": "latent"}
    for card, output in (
        (whole.card, pipe("<S1> hi", [whole], **options)),
        (known.card, pipe("<S1> hi", [known], **options)),
        (known.card, pipe("<S1> hi", identity=EncodedIdentity.from_card(known.card), **options)),
    ):
        named = [entry for entry in output.provenance[0].references if entry.kind == "card"]
        assert [(entry.subject, entry.sha256, entry.of) for entry in named] == [(1, card.digest, "file")]


def test_folders_of_something_else_are_left_alone(ada, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("dear diary")
    with pytest.raises(ValueError, match="holds something else than an identity"):
        ada.save_pretrained(tmp_path / "notes")
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["diary.txt"]
    with pytest.raises(ValueError, match="no identity folder"):
        Subject.from_pretrained(tmp_path / "notes")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"contents": "latents"}, "need the `pipe` that encodes them"),
        ({"contents": "pictures"}, "`contents` must be among references, latents, keys_and_values"),
        ({"lora": "nowhere"}, "`lora` must be a safetensors file"),
    ],
)
def test_wrong_options_leave_nothing_behind(ada, tmp_path, options, reason):
    with pytest.raises(ValueError, match=reason):
        ada.save_pretrained(tmp_path / "ada", **options)
    assert list(tmp_path.iterdir()) == []


def test_somebody_without_face_and_voice_has_no_card(tmp_path):
    with pytest.raises(ValueError, match="neither face nor voice"):
        Subject(name="Nobody").save_pretrained(tmp_path / "nobody")


def test_a_voice_alone(pipe, tmp_path):
    heard = Subject(voice=voice(1, num_channels=2), name="Heard")
    heard.save_pretrained(tmp_path / "heard", consent=consent())
    back = Subject.from_pretrained(tmp_path / "heard")
    assert not back.has_face and back.has_voice
    assert_close(generate(pipe, subjects=[heard]), generate(pipe, subjects=[back]), atol=1e-3)


def test_lora_weights_of_a_card_act_on_their_owner(hub, ada, tmp_path):
    base, other = tiny_pipeline(), tiny_pipeline()
    with torch.no_grad():
        other.transformer.blocks[0].video.attn1.to_q.bias.neg_()
    save_adapter(tmp_path / "lora")
    ada.push_to_hub("org/ada", consent=consent(), pipe=base, lora=tmp_path / "lora")
    back, ben = Subject.from_pretrained("org/ada"), person(4)
    plain = generate(base, subjects=[back, ben])
    with pytest.raises(ValueError, match=r"`subjects\[0\]` \(Ada\) belongs to the model"):
        load_adapters(other, [back, ben])
    people = load_adapters(base, [back, ben])
    assert [subject.adapter for subject in people] == ["subject_1", None]
    bound = generate(base, subjects=people)
    assert_moved(plain, bound)
    assert load_adapters(base, [back])[0].adapter == "subject_1_2"
    base.unload_lora_weights()
    base.load_lora_weights("org/ada", adapter_name="ada")  # an identity repository is a LoRA repository too
    assert_equal(bound, generate(base, subjects=[replace(back, adapter="ada"), ben]))


class Command:
    """`iap generate` with a tiny model and two people; gives the decoded clip."""

    def __init__(self, folder):
        self.folder = folder
        tiny_pipeline().save_pretrained(folder / "model")
        for name, seed in (("ada", 1), ("ben", 2)):
            face(seed).save(folder / f"{name}.png")

    def __call__(self, *options, ada="", people=("ada", "ben")):
        output = self.folder / "clip.mp4"
        output.unlink(missing_ok=True)
        who = [f"face={self.folder / name}.png{ada if name == 'ada' else ''}" for name in people]
        subjects = [word for text in who for word in ("--subject", text)]
        arguments = ["--model", str(self.folder / "model"), "--output", str(output), "--steps", "1", "--quiet"]
        prompt = " ".join(f"<S{number}>" for number in range(1, len(people) + 1))
        status = main(["generate", "--prompt", prompt, "--no-provenance", *arguments, *subjects, *options])
        return read_video(output)[0].frames if status == 0 else None


def test_an_adapter_knows_its_model(tmp_path):
    base, other = tiny_pipeline(), tiny_pipeline()
    with torch.no_grad():
        other.transformer.blocks[0].video.attn1.to_q.bias.neg_()
    learned_on = {LEARNED_ON: model_fingerprint(base.transformer)}
    save_adapter(tmp_path, auto_mapping={"binding": "references"} | learned_on)
    with pytest.raises(ValueError, match="learned on another model .* Load the model that their card names"):
        other.load_lora_weights(tmp_path, adapter_name="ada")
    assert not getattr(other.transformer, "peft_config", {})
    for name in ("ada", "again"):  # the second one onto a model that has an adapter already
        base.load_lora_weights(tmp_path, adapter_name=name)
    assert base.transformer.peft_config["ada"].auto_mapping == {"binding": "references"} | learned_on


def test_a_card_takes_no_adapter_of_another_model(pipe, other_pipe, ada, tmp_path):
    save_adapter(tmp_path / "lora", auto_mapping={LEARNED_ON: model_fingerprint(pipe.transformer)})
    with pytest.raises(ValueError, match=r"`lora` .*learned on another model .* is `pipe` \(--model\)"):
        ada.save_pretrained(tmp_path / "ada", pipe=other_pipe, lora=tmp_path / "lora")
    assert [path.name for path in tmp_path.iterdir()] == ["lora"]
    ada.save_pretrained(tmp_path / "ada", pipe=pipe, lora=tmp_path / "lora" / LORA)
    assert LORA in IdentityCard.load(tmp_path / "ada").files


@pytest.mark.parametrize("where", ["folder", "repository", "identity"])
def test_lora_weights_of_an_expired_consent_warn(hub, ada, tmp_path, caplog, where):
    save_adapter(tmp_path / "lora")
    source = tmp_path / "lora"
    ended = consent(expires_on="2026-11-02")
    if where == "identity":
        source = tmp_path / "ada"
        ada.save_pretrained(source, consent=ended, pipe=tiny_pipeline(), lora=tmp_path / "lora")
    else:
        (source / CONSENT_FILE).write_text(ended.to_json())
    if where == "repository":
        create_repo("org/ada-lora")
        upload_folder(repo_id="org/ada-lora", folder_path=source)
        source = "org/ada-lora"
    [bound] = load_adapters(tiny_pipeline(), [ada], [source])
    assert bound.adapter == "subject_1"
    assert "LoRA weights show ended on 2026-11-02" in caplog.text


def test_lora_weights_on_the_command_line(tmp_path, capsys):
    shared, owned = str(tmp_path / "shared"), str(tmp_path / "owned")
    save_adapter(shared)
    save_adapter(owned, auto_mapping={"binding": "references"})
    clip = Command(tmp_path)
    plain = clip()
    everywhere = clip("--lora", shared)
    of_ada = clip(ada=f",lora={shared}")
    assert not np.array_equal(plain, everywhere) and not np.array_equal(plain, of_ada)
    assert not np.array_equal(everywhere, of_ada)
    assert np.array_equal(of_ada, clip(ada=f",lora={owned}"))
    for nothing in (clip("--lora", shared, "--lora-scale", "0"), clip("--lora-scale", "0", ada=f",lora={owned}")):
        assert np.array_equal(plain, nothing)
    alone = {"people": ("ada",)}
    assert np.array_equal(clip("--lora", owned, **alone), clip(ada=f",lora={owned}", **alone))

    capsys.readouterr()
    assert clip("--lora", owned) is None
    assert f"Give them with their owner: --subject face=...,lora={owned}." in capsys.readouterr().err
    assert clip("--lora-scale", "0.5") is None
    assert "`--lora-scale` has no effect without LoRA weights" in capsys.readouterr().err


def test_lora_weights_of_a_repository_on_the_command_line(hub, tmp_path, capsys):
    save_adapter(tmp_path / "lora")
    create_repo("org/ada-lora")
    upload_folder(repo_id="org/ada-lora", folder_path=tmp_path / "lora")
    clip = Command(tmp_path)
    assert np.array_equal(clip("--lora", "org/ada-lora"), clip("--lora", str(tmp_path / "lora")))
    capsys.readouterr()
    assert clip("--lora", "org/nothing") is None
    assert "iap generate: org/nothing: there is no such repository" in capsys.readouterr().err


def save_adapter(folder, **config):
    """LoRA weights as a training run leaves them."""
    transformer = tiny_transformer()
    transformer.add_adapter(LoraConfig(r=2, target_modules=["attn1.to_q", "attn1.to_v"], **config), "ada")
    with torch.no_grad():
        for name, parameter in transformer.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(0))
    IAPPipeline.save_lora_weights(
        folder,
        get_peft_model_state_dict(transformer, adapter_name="ada"),
        transformer_lora_adapter_metadata=transformer.peft_config["ada"].to_dict(),
    )


class MeanColour:
    """Finds one face per picture that is not dark, and tells faces apart by their colour."""

    name, revision = "mean-colour", "1"

    def detect(self, image):
        box = (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
        return [FaceDetection(box, np.zeros((5, 2), np.float32), 1.0)] if image.mean() > 20 else []

    def embed(self, image, face):
        colour = image.mean(axis=(0, 1)) - 128
        return colour / np.linalg.norm(colour)


class Loudness:
    name, revision = "loudness", "1"

    def embed(self, audio):
        return np.array([audio.samples.std().item(), 1.0])


def test_embeddings_for_verification(ada, tmp_path, caplog):
    red, blue = (Image.new("RGB", (32, 32), colour) for colour in ("#c84040", "#4040c8"))
    for image in (red, blue):
        image.putpixel((0, 0), (0, 0, 0))
    dark = Image.new("RGB", (32, 32), "#050505")
    dark.putpixel((0, 0), (20, 0, 0))
    models = {"face_detector": MeanColour(), "face_embedder": MeanColour(), "voice_embedder": Loudness()}
    known = Subject(face=[red, dark], voice=voice(1), name="Red")
    known.save_pretrained(tmp_path / "red", embeddings=embed_subject(known, **models), consent=consent())
    assert "A face was found in 1 of 2 pictures only" in caplog.text
    back = Subject.from_pretrained(tmp_path / "red")
    held = IdentityEmbeddings.load(back.card.path(EMBEDDINGS))
    assert (held.face_model, held.voice_model) == ("mean-colour@1", "loudness@1")
    assert held.similarity(embed_subject(back, **models)) == pytest.approx({"face": 1.0, "voice": 1.0}, abs=1e-3)
    assert held.similarity(embed_subject(Subject(face=blue), **models))["face"] < 0.9
    back.save_pretrained(tmp_path / "again")
    assert EMBEDDINGS in Subject.from_pretrained(tmp_path / "again").card.files
    with pytest.raises(ValueError, match="No face was found in the pictures of Dark"):
        embed_subject(Subject(face=dark, name="Dark"), **models)
    with pytest.raises(ValueError, match="There is nothing to embed"):
        embed_subject(Subject(face=red), voice_embedder=Loudness())
    with pytest.raises(ValueError, match="embedded by different models, 'mean-colour@1' and 'other'"):
        held.similarity(IdentityEmbeddings(face=held.face, face_model="other"))
