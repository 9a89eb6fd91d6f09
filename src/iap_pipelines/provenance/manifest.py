"""Signing: a statement becomes a C2PA manifest inside the file. `reading.py` is the way back."""

import logging
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from iap_pipelines.provenance.errors import ProvenanceError
from iap_pipelines.provenance.keys import SigningKey
from iap_pipelines.provenance.statement import Provenance
from iap_pipelines.version import __version__


logger = logging.getLogger(__name__)

SOFTWARE = "iap-pipelines"
AI_GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's term for media that a trained model made."""
CREATED, ACTIONS_ASSERTION = "c2pa.created", "c2pa.actions.v2"
GENERATION_ASSERTION = "iap-pipelines.generation"
"""Label of our own statement in a manifest."""


def sign_clip(path: str | os.PathLike[str], provenance: Provenance, key: SigningKey | None = None) -> None:
    """
    Sign a finished mp4 file: put a manifest into it that says how it was made. The pictures and the sound stay as they
    are.

    Nothing is asked of the network: there is no time stamp of an authority. Two signatures of one file differ, in the
    names that C2PA gives a manifest (random) and in the signature (ECDSA draws a number).

    Args:
        path: the file, which is replaced at once or not at all.
        provenance: what to say.
        key: whom to sign as; [`SigningKey.configured`] if `None`.

    Raises:
        ProvenanceError: the key or the file cannot be used.
    """
    import c2pa

    key = SigningKey.configured() if key is None else key
    if not provenance.names_model:
        logger.warning(
            "The manifest of the clip does not say which model made it. Give export_to_av the `provenance` of the "
            "pipeline's output."
        )
    path = Path(path)
    temporary = path.with_name(f".{uuid4().hex}{path.suffix}")
    try:
        signer = c2pa.Signer.from_info(
            c2pa.C2paSignerInfo(key.algorithm, key.certificates.encode(), key.private_key.encode(), None)
        )
        # A thumbnail would repeat a face outside the video.
        with (
            c2pa.Context.from_dict({"builder": {"thumbnail": {"enabled": False}}}) as context,
            c2pa.Builder(_manifest(provenance), context) as builder,
            open(path, "rb") as source,
            open(temporary, "w+b") as target,
        ):
            builder.sign(signer, "video/mp4", source, target)
        os.replace(temporary, path)
    except c2pa.C2paError as error:
        raise ProvenanceError(
            f"The clip cannot be signed: {' '.join(str(error).split())}. C2PA asks for a certificate that another one "
            "signed, with the extended key usage emailProtection. `provenance=None` writes a clip without provenance."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _manifest(provenance: Provenance) -> dict[str, Any]:
    """The claim: this software made the clip with a trained model. No title, which would be the name of the file."""
    software = {"name": SOFTWARE, "version": __version__}
    created = {"action": CREATED, "digitalSourceType": AI_GENERATED, "softwareAgent": software}
    return {
        "claim_generator_info": [software],
        "assertions": [
            {"label": ACTIONS_ASSERTION, "data": {"actions": [created]}},
            {"label": GENERATION_ASSERTION, "data": provenance.to_assertion()},
        ],
    }
