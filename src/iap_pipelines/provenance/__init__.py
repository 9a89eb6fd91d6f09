"""Who made a clip, signed into the file (C2PA); the only room that knows c2pa and cryptography."""

from iap_pipelines.provenance.errors import ProvenanceError
from iap_pipelines.provenance.keys import SigningKey
from iap_pipelines.provenance.manifest import sign_clip
from iap_pipelines.provenance.reading import ProvenanceReport, read_provenance
from iap_pipelines.provenance.statement import Provenance, Reference


__all__ = [
    "Provenance",
    "ProvenanceError",
    "ProvenanceReport",
    "Reference",
    "SigningKey",
    "read_provenance",
    "sign_clip",
]
