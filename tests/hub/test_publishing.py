"""Publishing a folder: what is checked before, what the Hub may answer, and what never leaves this machine."""

import functools
import logging
import shutil

import numpy as np
import pytest
import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file, save_file

from iap_pipelines import Subject
from iap_pipelines.cli import main
from iap_pipelines.hub.errors import HubError
from iap_pipelines.hub.publishing import publish_folder
from iap_pipelines.identity_card import CONSENT_FILE, LORA, Consent
from tests.hub.people import STATEMENT, consent
from tests.pipelines.tiny_people import face


MODEL_CARD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-video
tags: [lora]
base_model: org/iap
base_model_relation: adapter
---

# An adapter

## Intended use
Tests.
## Prohibited use
Everything else.
## Training data
None.
## Scores
None.
## Limits
It does nothing.
## Licence
Apache-2.0.
"""

DATASET_CARD = """---
license: cc-by-4.0
pretty_name: Nobody
task_categories: [text-to-video]
configs:
- config_name: default
  data_files:
  - {split: train, path: data/train-*.parquet}
---

# Nobody

## Intended use
Tests.
## Prohibited use
Everything else.
## Consent
Nobody is shown.
## Limits
It is empty.
## Licence
CC BY 4.0.
"""
CLIPS_CARD = DATASET_CARD.replace("data/train-*.parquet", "clips.jsonl")


@pytest.fixture
def adapter(tmp_path):
    folder = tmp_path / "adapter"
    folder.mkdir()
    save_file({"transformer.blocks.0.lora_A.weight": torch.randn(20, 20)}, folder / LORA)
    (folder / "README.md").write_text(MODEL_CARD)
    (folder / CONSENT_FILE).write_text(consent().to_json())
    return folder


def test_an_adapter_and_a_dataset_there_and_back(hub, adapter, tmp_path):
    publish_folder(adapter, "org/adapter")
    back = load_file(f"{snapshot_download('org/adapter')}/{LORA}")
    assert torch.equal(back["transformer.blocks.0.lora_A.weight"], load_file(adapter / LORA).popitem()[1])

    import pyarrow
    import pyarrow.parquet

    (tmp_path / "data" / "data").mkdir(parents=True)
    table = pyarrow.table({"clip": np.arange(5)})
    pyarrow.parquet.write_table(table, tmp_path / "data" / "data" / "train-00000-of-00001.parquet")
    (tmp_path / "data" / "README.md").write_text(DATASET_CARD)
    publish_folder(tmp_path / "data", "org/data")
    assert ("datasets", "org/data") in hub.repositories
    back = snapshot_download("org/data", repo_type="dataset")
    assert pyarrow.parquet.read_table(f"{back}/data/train-00000-of-00001.parquet") == table


def test_lora_weights_of_a_person_need_their_consent(hub, adapter, capsys):
    (adapter / CONSENT_FILE).unlink()
    publish = ["publish", str(adapter), "org/adapter"]
    assert main(publish) == 2
    said = capsys.readouterr().err
    assert '--consent "I, ..." --consent-date 2026-11-25' in said and "--no-person" in said
    assert not hub.repositories
    assert main([*publish, "--consent", STATEMENT, "--consent-date", "2026-11-01", "--allowed-use", "tests"]) == 0
    assert hub.model("org/adapter").is_private
    assert Consent.load(snapshot_download("org/adapter")) == consent()
    assert not (adapter / CONSENT_FILE).exists()


def test_lora_weights_of_nobody_need_no_consent(hub, adapter):
    with pytest.raises(ValueError, match="`no_person` and a consent exclude each other"):
        publish_folder(adapter, "org/style", no_person=True)
    (adapter / CONSENT_FILE).unlink()
    publish_folder(adapter, "org/style", no_person=True)
    assert not hub.model("org/style").is_private and CONSENT_FILE not in hub.model("org/style").files()


def test_a_consent_that_is_none_is_refused(hub, adapter):
    (adapter / CONSENT_FILE).write_text('{"statement": "yes", "given_on": "2026-11-01"}')
    with pytest.raises(ValueError, match="consent.json: statement: "):
        publish_folder(adapter, "org/adapter")
    assert not hub.repositories


def test_lora_weights_whose_consent_has_ended_are_refused(hub, adapter, capsys):
    (adapter / CONSENT_FILE).write_text(consent(expires_on="2026-11-02").to_json())
    publish = ["publish", str(adapter), "org/adapter"]
    assert main(publish) == 2
    said = capsys.readouterr().err
    assert "the consent of the person ended on 2026-11-02" in said and f"iap publish {adapter} REPOSITORY" in said
    assert not hub.requests
    assert main([*publish, "--consent", STATEMENT, "--consent-date", "2026-11-20"]) == 0
    assert Consent.load(snapshot_download("org/adapter")).expires_on is None


@pytest.mark.parametrize(("expires_on", "is_refused"), [("2026-11-02", True), ("9999-01-01", False), (None, False)])
def test_a_dataset_of_people_whose_consent_has_ended_is_refused(hub, tmp_path, expires_on, is_refused):
    import pyarrow
    import pyarrow.parquet

    (tmp_path / "identities").mkdir()
    agreed = {"status": "given", "expires_on": expires_on}
    people = [
        {"identity_id": name, "consent": agreed if name == "ada" else agreed | {"expires_on": None}}
        for name in ("ben", "ada")
    ]
    schema = pyarrow.schema(
        [
            ("identity_id", pyarrow.string()),
            ("consent", pyarrow.struct([("status", pyarrow.string()), ("expires_on", pyarrow.string())])),
        ]
    )
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(people, schema), tmp_path / "identities" / "train-0.parquet")
    (tmp_path / "README.md").write_text(DATASET_CARD.replace("data/train-*", "identities/train-*"))
    if is_refused:
        with pytest.raises(ValueError, match=r"consent of ada ended on 2026-11-02.*`consent.jsonl`.*build it again"):
            publish_folder(tmp_path, "org/data")
        assert not hub.requests
    else:
        assert publish_folder(tmp_path, "org/data")


def test_consent_of_a_dataset_is_not_given_in_passing(hub, tmp_path):
    (tmp_path / "clips.jsonl").write_text("")
    with pytest.raises(ValueError, match="are for LoRA weights, but .* is of the kind 'dataset'"):
        publish_folder(tmp_path, "org/data", no_person=True)


def test_a_branch_of_its_own(hub, adapter):
    publish_folder(adapter, "org/adapter", revision="v1")
    publish_folder(adapter, "org/adapter", revision="v1")
    assert LORA in hub.model("org/adapter").files("v1") and not hub.model("org/adapter").files()


def test_publishing_twice_sends_nothing_twice(hub, adapter):
    publish_folder(adapter, "org/adapter")
    hub.forget()
    publish_folder(adapter, "org/adapter")
    assert hub.count("PUT", "/_large/") == hub.count("POST", "/commit/") == 0


def test_publishing_fewer_files_takes_the_others_out(hub, tmp_path):
    """Shards, weights and their indices go in the same commit; what somebody else put there stays."""
    folders = {
        "datasets": ("datasets", tmp_path / "data", DATASET_CARD),
        "models": ("models", tmp_path / "iap", MODEL_CARD),
        "clips": ("datasets", tmp_path / "clips", CLIPS_CARD),
    }
    others = {
        "datasets": ["extra/clip.mp4"],
        "models": [LORA, f"loras/ada/{LORA}", "transformer/model.fp16.safetensors"],
        "clips": ["extra/ada.png"],
    }
    names = {
        "datasets": [
            "data/train-00000-of-00002.parquet",
            "data/train-00001-of-00002.parquet",
            *others["datasets"],
        ],
        "models": [
            "model_index.json",
            "transformer/model-00001-of-00001.safetensors",
            "transformer/model.safetensors.index.json",
            *others["models"],
        ],
        "clips": ["clips.jsonl", "faces/ada.png", "faces/ben.png", *others["clips"]],
    }
    fewer = {
        "datasets": ["data/train-00000-of-00001.parquet"],
        "models": ["model_index.json", "transformer/model.safetensors"],
        "clips": ["clips.jsonl", "faces/ada.png"],
    }
    for case, (kind, folder, card) in folders.items():
        publish = functools.partial(publish_folder, folder, f"org/{case}")
        _write(folder, card, names[case])
        publish()
        shutil.rmtree(folder)
        _write(folder, card, fewer[case])
        hub.forget()
        publish()
        assert hub.count("POST", "/commit/") == 1
        kept = {"README.md", *others[case], *fewer[case]}
        assert set(hub.repositories[kind, f"org/{case}"].files()) == kept
        hub.forget()
        publish()
        assert hub.count("POST", "/commit/") == 0


def _write(folder, card, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "README.md").write_text(card)


@pytest.mark.parametrize(
    ("method", "path", "status", "headers", "reason"),
    [
        ("POST", "/repos/create", 401, (), "the Hub does not know you \\(401\\). Run `hf auth login`"),
        ("POST", "/repos/create", 403, (), "your token may not do this \\(403\\)"),
        ("POST", "/preupload/", 404, (), "there is no such repository, or it is private"),
        ("POST", "/commit/", 409, (), "somebody else is changing it at this moment \\(409\\). Nothing is lost"),
        ("POST", "/commit/", 429, (("Retry-After", "7"),), "too many requests \\(429\\). Wait 7 seconds"),
        ("POST", "/commit/", 500, (), "the Hub has a problem of its own \\(500\\). Try again later"),
        ("PUT", "/_large/", 503, (), "the Hub has a problem of its own \\(503\\). Try again later"),
    ],
)
def test_what_the_hub_refuses_is_said_in_one_line(hub, impatient, adapter, method, path, status, headers, reason):
    hub.fail(method, path, status=status, headers=headers, times=-1)
    with pytest.raises(HubError, match=f"^org/adapter: {reason}") as refused:
        publish_folder(adapter, "org/adapter")
    assert refused.value.status == status and "\n" not in str(refused.value)


def test_a_moment_of_trouble_is_waited_out(hub, impatient, adapter):
    hub.fail("POST", "/preupload/", status=429, times=2)
    hub.fail("PUT", "/_large/", drop_after_bytes=100)
    hub.fail("PUT", "/_large/", status=503)
    publish_folder(adapter, "org/adapter")
    assert LORA in hub.model("org/adapter").files()


def test_a_connection_that_stays_away_is_named_and_the_same_call_continues(hub, impatient, adapter):
    hub.fail("POST", "/commit/", drop_after_bytes=1, times=-1)
    with pytest.raises(HubError, match="the connection to the Hub failed.*run the same again"):
        publish_folder(adapter, "org/adapter")
    hub.forget()
    publish_folder(adapter, "org/adapter")
    assert hub.count("PUT", "/_large/") == 0 and LORA in hub.model("org/adapter").files()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "the Hub does not know you"),
        (404, "there is no such repository"),
        (429, "too many requests"),
        (502, "the Hub has a problem of its own"),
    ],
)
def test_people_who_cannot_be_read(hub, impatient, status, reason):
    hub.fail("GET", "/api/models/org/ada", status=status, times=-1)
    with pytest.raises(HubError, match=f"org/ada: {reason}"):
        Subject.from_pretrained("org/ada")


def test_a_repository_and_a_revision_that_are_not_there(hub, tmp_path):
    with pytest.raises(HubError, match="org/nobody: there is no such repository"):
        Subject.from_pretrained("org/nobody")
    Subject(face=face(1), name="Ada").push_to_hub("org/ada", consent=consent())
    with pytest.raises(HubError, match="org/ada: it has no revision 'v9'"):
        Subject.from_pretrained("org/ada", revision="v9")


def test_without_a_token_one_is_asked_for(hub, adapter, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="Run `hf auth login`"):
        publish_folder(adapter, "org/adapter")


def test_the_token_appears_nowhere(hub, impatient, adapter, tmp_path, caplog, capfd):
    """Neither in logs at their most talkative, nor in errors, nor in any file, when things go well or wrong."""
    with caplog.at_level(logging.DEBUG):
        Subject(face=face(1), name="Ada").push_to_hub("org/ada", consent=consent(), token=hub.token)
        publish_folder(adapter, "org/adapter")
        hub.fail("POST", "/commit/", status=500, times=-1)
        with pytest.raises(HubError) as refused:
            publish_folder(adapter, "org/other")
        Subject.from_pretrained("org/ada", token=hub.token).save_pretrained(tmp_path / "ada")
    output = capfd.readouterr()
    assert caplog.text
    for text in (caplog.text, output.out, output.err, str(refused.value)):
        assert hub.token not in text
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert not [path for path in written if hub.token.encode() in path.read_bytes()]
    assert all(hub.token not in str(repository.files()) for repository in hub.repositories.values())


def test_tokens_and_pickles_stay_here(hub, adapter):
    (adapter / "notes.txt").write_text("my token is hf_" + "a" * 34)
    with pytest.raises(ValueError, match="notes.txt: it contains what looks like a Hugging Face access token"):
        publish_folder(adapter, "org/adapter")
    (adapter / "notes.txt").unlink()
    (adapter / "optimizer.pt").write_bytes(b"")
    with pytest.raises(ValueError, match="optimizer.pt: pickles run code"):
        publish_folder(adapter, "org/adapter")
    (adapter / "optimizer.pt").unlink()
    (adapter / ".secret").write_text("hf_" + "a" * 34)
    publish_folder(adapter, "org/adapter")
    assert set(hub.model("org/adapter").files()) == {LORA, "README.md", CONSENT_FILE}


def test_what_is_not_ready_is_refused_before_anything_is_sent(hub, adapter, tmp_path):
    (adapter / "README.md").unlink()
    with pytest.raises(ValueError, match="README.md: There is no card: write one. See model_cards/"):
        publish_folder(adapter, "org/adapter")
    with pytest.raises(ValueError, match="there is no such folder"):
        publish_folder(tmp_path / "nowhere", "org/adapter")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="model_index.json \\(pipeline\\)"):
        publish_folder(tmp_path / "empty", "org/adapter")
    assert not hub.requests
