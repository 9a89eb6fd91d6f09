"""Keys that clips are signed with: the user's own, or a development key made on this machine."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from iap_pipelines.provenance.errors import ProvenanceError


if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

CERTIFICATES_VARIABLE, KEY_VARIABLE = "IAP_SIGNING_CERTIFICATES", "IAP_SIGNING_KEY"
"""Environment variables that name the two files of the user's key."""


@dataclass(frozen=True)
class SigningKey:
    """A private key and the certificates that say whose it is.

    Args:
        certificates: PEM, the signer's own first, then those that vouch for it, without the root.
        private_key: PEM, PKCS #8.
        algorithm: as C2PA calls it.
        is_development: made by this package, so that it vouches for nobody.
    """

    certificates: str = field(repr=False)
    private_key: str = field(repr=False)
    algorithm: str
    is_development: bool = False

    @classmethod
    def from_files(cls, certificates: str | os.PathLike[str], private_key: str | os.PathLike[str]) -> Self:
        """
        Read a key of one's own.

        Args:
            certificates: PEM file, the signer's certificate first. C2PA asks for the extended key usage
                ``emailProtection`` and refuses certificates that signed themselves.
            private_key: PEM file, not encrypted: elliptic curve (P-256, P-384, P-521), Ed25519, or RSA.

        Raises:
            ProvenanceError: for files that cannot be read, another kind of key, or one that belongs to another
                certificate.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization

        try:
            chain = x509.load_pem_x509_certificates(Path(certificates).read_bytes())
        except (OSError, ValueError) as error:
            raise ProvenanceError(f"{str(certificates)!r} is no file of PEM certificates: {error}") from error
        try:
            key = serialization.load_pem_private_key(Path(private_key).read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:  # TypeError: it is encrypted
            raise ProvenanceError(f"{str(private_key)!r} is no PEM file of a plain private key: {error}") from error
        if chain[0].public_key() != key.public_key():
            raise ProvenanceError(
                f"The key {str(private_key)!r} does not belong to the first certificate of {str(certificates)!r}."
            )
        encoding = serialization.Encoding.PEM
        pem = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        certificates_pem = b"".join(certificate.public_bytes(encoding) for certificate in chain)
        return cls(certificates_pem.decode(), pem.decode(), _algorithm(key, private_key))

    @classmethod
    def configured(cls) -> Self:
        """
        The user's key if `IAP_SIGNING_CERTIFICATES` and `IAP_SIGNING_KEY` name its files, else the development key.

        Raises:
            ProvenanceError: when only one of them is set; see also [`from_files`].
        """
        from iap_pipelines.provenance.development_key import development_key

        certificates, private_key = os.environ.get(CERTIFICATES_VARIABLE), os.environ.get(KEY_VARIABLE)
        if bool(certificates) != bool(private_key):
            raise ProvenanceError(f"Set both {CERTIFICATES_VARIABLE} and {KEY_VARIABLE}, or neither.")
        return cls.from_files(certificates, private_key) if certificates else development_key()


def _algorithm(key: "PrivateKeyTypes", path: str | os.PathLike[str]) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size in (256, 384, 521):
        return {256: "es256", 384: "es384", 521: "es512"}[key.key_size]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise ProvenanceError(
        f"{str(path)!r} holds a key that C2PA does not sign with; use P-256, P-384, P-521, Ed25519 or RSA."
    )
