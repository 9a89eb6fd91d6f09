"""Is a clip of the person it is said to be of? Embeddings that an identity card carries, and their comparison."""

import json
import logging
import os
from dataclasses import dataclass

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from iap_pipelines.perception.interfaces import FaceDetector, FaceEmbedder, PerceptionModel, VoiceEmbedder
from iap_pipelines.pipelines.identity import LoadedIdentity
from iap_pipelines.types import Subject


logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class IdentityEmbeddings:
    """A face and a voice as unit vectors, and what made them."""

    face: Tensor | None = None
    """float32 `[D_face]`"""
    voice: Tensor | None = None
    """float32 `[D_voice]`"""
    face_model: str | None = None
    """name and revision"""
    voice_model: str | None = None
    """name and revision"""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file."""
        tensors = {name: value for name in ("face", "voice") if (value := getattr(self, name)) is not None}
        models = {name: getattr(self, f"{name}_model") for name in tensors}
        save_file(tensors, path, metadata={"models": json.dumps(models)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "IdentityEmbeddings":
        """Read what `save` wrote, as `subject.card.path(EMBEDDINGS)` names it."""
        with safe_open(path, framework="pt") as file:
            models = json.loads((file.metadata() or {})["models"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        return cls(**tensors, **{f"{name}_model": model for name, model in models.items()})

    def similarity(self, other: "IdentityEmbeddings") -> dict[str, float]:
        """
        Compare with somebody else's.

        Returns:
            Cosine similarity in [-1, 1] of `"face"` and `"voice"`, where both have one; higher is more alike. What is
            the same person depends on the model.

        Raises:
            ValueError: they were made by different models.
        """
        found = {}
        for name in ("face", "voice"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine is None or theirs is None:
                continue
            models = getattr(self, f"{name}_model"), getattr(other, f"{name}_model")
            if models[0] != models[1]:
                raise ValueError(f"The {name}s were embedded by different models, {models[0]!r} and {models[1]!r}.")
            found[name] = F.cosine_similarity(mine, theirs, dim=0).item()
        return found


def embed_subject(
    subject: Subject,
    *,
    face_detector: FaceDetector | None = None,
    face_embedder: FaceEmbedder | None = None,
    voice_embedder: VoiceEmbedder | None = None,
) -> IdentityEmbeddings:
    """
    Embed a person's pictures and recording; of several views the mean direction.

    Args:
        subject: pictures and recording, not latents.
        face_detector: finds the faces; the largest one of a picture counts.
        face_embedder: together with it; `None` leaves the face out.
        voice_embedder: `None` leaves the voice out.

    Raises:
        ValueError: no view shows a face that can be found; or there is nothing to embed.
    """
    person = LoadedIdentity.load([subject]).samples[0][0]
    face = voice = None
    if face_embedder is not None and face_detector is not None and subject.views:
        vectors = [
            face_embedder.embed(np.asarray(view), faces[0])
            for view in person.views
            if (faces := face_detector.detect(np.asarray(view)))
        ]
        if not vectors:
            raise ValueError(f"No face was found in the pictures of {subject.name or 'this person'}.")
        if len(vectors) < len(person.views):
            logger.warning("A face was found in %d of %d pictures only.", len(vectors), len(person.views))
        face = _unit_vector(np.mean(vectors, axis=0))
    if voice_embedder is not None and subject.voice is not None:
        voice = _unit_vector(voice_embedder.embed(person.voice))
    if face is None and voice is None:
        raise ValueError("There is nothing to embed: give a face with detector and embedder, or a voice with its own.")
    return IdentityEmbeddings(
        face,
        voice,
        _name(face_embedder) if face is not None else None,
        _name(voice_embedder) if voice is not None else None,
    )


def _unit_vector(vector: np.ndarray) -> Tensor:
    return F.normalize(torch.from_numpy(np.asarray(vector, dtype=np.float32)), dim=0)


def _name(model: PerceptionModel) -> str:
    return f"{model.name}@{model.revision}"
