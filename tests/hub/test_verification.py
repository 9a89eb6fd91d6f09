"""Embeddings of identity cards with the recognisers that come in packages, on pictures and voices of people."""

import pytest

from iap_pipelines import Subject
from iap_pipelines.cli import main
from iap_pipelines.hub.verification import IdentityEmbeddings
from iap_pipelines.identity_card import EMBEDDINGS


@pytest.mark.slow
def test_a_card_tells_its_person_from_another(shared, tmp_path):
    media = shared / "media"
    if not media.is_dir():
        pytest.skip("needs ../shared/media, which is not part of the repository")
    people = {
        "michael": ("m1_man.jpg", "tts_am_michael_1.flac"),
        "michael-again": ("m1_man.jpg", "tts_am_michael_2.flac"),
        "other": ("n1_woman.jpg", "tts_af_heart_1.flac"),
    }
    held = {}
    for name, (face, voice) in people.items():
        subject = f"face={media / 'image' / face},voice={media / 'voice' / voice},name={name}"
        assert main(["identity", str(tmp_path / name), "--subject", subject, "--embeddings"]) == 0
        held[name] = IdentityEmbeddings.load(Subject.from_pretrained(tmp_path / name).card.path(EMBEDDINGS))
    same, other = (held["michael"].similarity(held[name]) for name in ("michael-again", "other"))
    assert same["face"] == pytest.approx(1, abs=1e-4)
    assert same["voice"] > other["voice"] + 0.2 and same["face"] > other["face"] + 0.2
    assert held["michael"].face_model.startswith("dlib@") and held["michael"].voice_model.startswith("campplus@")
