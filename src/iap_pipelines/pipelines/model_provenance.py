"""What a pipeline can say about itself in the manifest of a clip."""

import re
from pathlib import Path
from typing import Protocol

from iap_pipelines.models.transformer_iap import IAPTransformer3DModel
from iap_pipelines.provenance import Provenance
from iap_pipelines.provenance.digests import weights_fingerprint


_PACKAGE = Path(__file__).resolve().parent.parent
_SNAPSHOT = re.compile(r"snapshots[/\\]([0-9a-f]{40})(?:[/\\]|$)")


class PipelineOfAModel(Protocol):
    """`IAPPipeline`, or the blocks that share its steps."""

    transformer: IAPTransformer3DModel
    _loaded_from: str | Path | None


def model_provenance(pipe: PipelineOfAModel) -> Provenance:
    """
    Name the model behind `pipe`, without references.

    A repository on the Hub is named with its commit, a checkpoint that comes with the package by its folder. The path
    of any other folder is private and left out: the fingerprint of the transformer's weights stands for it.
    """
    cached = _SNAPSHOT.search(str(pipe.transformer.config.get("_name_or_path", "")))
    return Provenance(
        model=_public_name(pipe._loaded_from),
        revision=cached[1] if cached else None,
        weights=weights_fingerprint(pipe.transformer),
    )


def _public_name(source: str | Path | None) -> str | None:
    if not source:
        return None
    path = Path(source).expanduser()
    if path.exists():
        return path.name if _PACKAGE in path.resolve().parents else None
    return str(source) if re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)) else None
