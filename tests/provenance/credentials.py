"""Certificates and keys as an authority would issue them, in files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa


PEM = serialization.Encoding.PEM
KEY_MAKERS = {
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "es512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
}


class Credentials(NamedTuple):
    certificates: Path
    private_key: Path
    root: Path


def issue(folder: Path, algorithm: str = "es256", organization: str = "Example Studio") -> Credentials:
    """A root that trusts itself, and a certificate that it issued to ``organization``."""
    folder.mkdir(parents=True, exist_ok=True)
    root_key, key = ec.generate_private_key(ec.SECP256R1()), KEY_MAKERS[algorithm]()
    root_name, name = _name("Example Authority"), _name(organization)
    root = _certificate(root_name, root_name, root_key.public_key(), root_key, is_authority=True)
    certificate = _certificate(name, root_name, key.public_key(), root_key, is_authority=False)
    files = Credentials(folder / "chain.pem", folder / "key.pem", folder / "root.pem")
    files.certificates.write_bytes(certificate.public_bytes(PEM))
    files.root.write_bytes(root.public_bytes(PEM))
    write_key(files.private_key, key)
    return files


def write_key(path: Path, key, password: bytes | None = None) -> None:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, encryption))


def _name(organization: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organization)])


def _certificate(subject, issuer, public_key, issuer_key, is_authority):
    usages = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    usages += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    used = "key_cert_sign" if is_authority else "digital_signature"
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{usage: usage == used for usage in usages}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not is_authority:
        usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(issuer_key, hashes.SHA256())
