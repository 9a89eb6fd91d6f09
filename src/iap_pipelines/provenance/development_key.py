"""A key for those who have none: made on this machine when it is first needed, never shipped, vouching for nobody."""

import logging
import os
import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from iap_pipelines.provenance.errors import ProvenanceError
from iap_pipelines.provenance.keys import CERTIFICATES_VARIABLE, KEY_VARIABLE, SigningKey


if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "IAP_CACHE"
DEVELOPMENT_ORGANIZATION = "iap-pipelines development key"
"""Issuer that every reader of a clip is shown."""

_COMMON_NAME = "made on a user's machine, vouches for nobody"
_VALID_FOR = timedelta(days=3650)  # a clip without a time stamp is refused once its certificate has expired
_CERTIFICATES, _PRIVATE_KEY = "certificates.pem", "private_key.pem"


def development_key_folder() -> Path:
    """`$IAP_CACHE`, else `iap-pipelines` in `$XDG_CACHE_HOME` or `~/.cache`; in it the folder of the key."""
    base = os.environ.get(CACHE_VARIABLE)
    if not base:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "iap-pipelines"
    return Path(base) / "development_key"


def development_key() -> SigningKey:
    """
    The key of this machine, made if there is none or its certificate has expired.

    Its folder is readable by its owner alone.

    Raises:
        ProvenanceError: it cannot be written or read; names the folder.
    """
    from cryptography import x509

    folder = development_key_folder()
    try:
        if not folder.is_dir():
            _create(folder)
        certificate = x509.load_pem_x509_certificate((folder / _CERTIFICATES).read_bytes())
        if certificate.not_valid_after_utc < datetime.now(UTC):
            shutil.rmtree(folder)
            _create(folder)
    except (OSError, ValueError) as error:
        raise ProvenanceError(
            f"The development key in {str(folder)!r} cannot be used ({error}). Remove that folder, let "
            f"{CACHE_VARIABLE} name one that can be written, or set {CERTIFICATES_VARIABLE} and {KEY_VARIABLE}."
        ) from error
    _warn_once(str(folder))
    return replace(SigningKey.from_files(folder / _CERTIFICATES, folder / _PRIVATE_KEY), is_development=True)


@cache
def _warn_once(folder: str) -> None:
    logger.warning(
        "Clips are signed with a development key made on this machine (%s): it shows that a clip was not edited, but "
        "not who made it. Let %s and %s name a certificate chain and a key of your own.",
        folder,
        CERTIFICATES_VARIABLE,
        KEY_VARIABLE,
    )


def _create(folder: Path) -> None:
    """Write both files where nobody else can read, then give the folder its name: it is complete or not there."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    # C2PA refuses certificates that signed themselves; the root signs one and its key is forgotten.
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(key, root_key)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".development_key", dir=folder.parent))  # mode 700
    try:
        for name, content in (
            (_CERTIFICATES, certificate.public_bytes(serialization.Encoding.PEM)),
            (_PRIVATE_KEY, pem),
        ):
            with open(os.open(temporary / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
        os.rename(temporary, folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster: its key is as good
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _certificate(key: "EllipticCurvePrivateKey", root_key: "EllipticCurvePrivateKey") -> "Certificate":
    """A certificate as C2PA asks for it (section 14.5 of its specification, version 2.2), issued by `root_key`."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    organization = x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, DEVELOPMENT_ORGANIZATION)
    common_name = x509.NameAttribute(x509.NameOID.COMMON_NAME, _COMMON_NAME)
    root_name = x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")
    usages = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")
        + ("encipher_only", "decipher_only"),
        False,
    )
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([organization, common_name]))
        .issuer_name(x509.Name([organization, root_name]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **usages), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
