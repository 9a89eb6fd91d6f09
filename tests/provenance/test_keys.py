import logging
import os
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa

from iap_pipelines.provenance import ProvenanceError, SigningKey, development_key
from iap_pipelines.provenance.development_key import _warn_once, development_key_folder
from tests.provenance.credentials import KEY_MAKERS, issue, write_key


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("IAP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_development_key_is_made_once_and_readable_by_its_owner_alone(own_cache):
    first, second = SigningKey.configured(), SigningKey.configured()
    assert first == second and first.is_development
    folder = own_cache / "development_key"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]}
    assert modes == {"development_key": 0o700, "certificates.pem": 0o600, "private_key.pem": 0o600}
    assert os.listdir(own_cache) == ["development_key"]


def test_every_machine_has_its_own(tmp_path, monkeypatch):
    keys = []
    for name in "ab":
        monkeypatch.setenv("IAP_CACHE", str(tmp_path / name))
        keys.append(SigningKey.configured().private_key)
    assert keys[0] != keys[1]


def test_the_warning_is_said_once_and_says_what_to_do(own_cache, caplog):
    _warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        SigningKey.configured()
        SigningKey.configured()
    assert len(caplog.records) == 1
    assert "IAP_SIGNING_KEY" in caplog.text and str(own_cache) in caplog.text


def test_the_key_is_not_shown(own_cache):
    key = SigningKey.configured()
    assert "PRIVATE" not in repr(key) and key.private_key not in repr(key)


def test_the_cache_follows_the_system(monkeypatch, tmp_path):
    monkeypatch.delenv("IAP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert development_key_folder() == tmp_path / "iap-pipelines" / "development_key"


def test_an_expired_certificate_is_replaced(own_cache, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(development_key, "_VALID_FOR", -development_key._VALID_FOR / 10**6)
        development_key._create(development_key_folder())
    expired = (development_key_folder() / "certificates.pem").read_text()
    assert SigningKey.configured().certificates != expired


def test_a_folder_that_cannot_be_used_is_named(own_cache):
    own_cache.write_text("a file where a folder should be")
    with pytest.raises(ProvenanceError, match=str(own_cache)):
        SigningKey.configured()


def test_files_that_are_no_key(tmp_path):
    files = issue(tmp_path)
    for certificates, key, reason in (
        (files.private_key, files.private_key, "no file of PEM certificates"),
        (files.certificates, files.certificates, "no PEM file of a plain private key"),
        (files.certificates, tmp_path / "none", "no PEM file of a plain private key"),
        (files.certificates, issue(tmp_path / "other").private_key, "does not belong"),
    ):
        with pytest.raises(ProvenanceError, match=reason):
            SigningKey.from_files(certificates, key)


def test_an_encrypted_key_is_refused_without_asking(tmp_path):
    files = issue(tmp_path)
    write_key(files.private_key, KEY_MAKERS["es256"](), password=b"secret")
    with pytest.raises(ProvenanceError, match="plain private key"):
        SigningKey.from_files(files.certificates, files.private_key)


def test_a_key_that_c2pa_does_not_know(tmp_path):
    files, key = issue(tmp_path), dsa.generate_private_key(1024)
    write_key(files.private_key, key)
    with pytest.raises(ProvenanceError, match="does not belong|P-256"):
        SigningKey.from_files(files.certificates, files.private_key)


def test_older_forms_of_a_private_key_are_read(tmp_path):
    files = issue(tmp_path)
    key = serialization.load_pem_private_key(files.private_key.read_bytes(), None)
    traditional = serialization.PrivateFormat.TraditionalOpenSSL
    files.private_key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, traditional, serialization.NoEncryption())
    )
    assert b"BEGIN EC PRIVATE KEY" in files.private_key.read_bytes()
    assert "BEGIN PRIVATE KEY" in SigningKey.from_files(files.certificates, files.private_key).private_key
