"""Embeddings of reference pictures and recordings, each file once."""

from pathlib import Path

import numpy as np

from iap_pipelines.evaluation.functional import template
from iap_pipelines.evaluation.listener import cut_audio
from iap_pipelines.evaluation.models import EvaluationModels, NotMeasured
from iap_pipelines.media import MediaError, read_audio, read_image


class ReferenceEmbeddings:
    """Embeds files on demand and keeps the result for the other clips that name them.

    Args:
        models: who looks and listens.
    """

    def __init__(self, models: EvaluationModels) -> None:
        self._models = models
        self._found: dict[tuple[str, Path], np.ndarray | str] = {}
        """the embedding, or why there is none"""

    def faces(self, role: str, paths: tuple[Path, ...]) -> np.ndarray:
        """Embeddings ``[K, D]`` of the largest face of each picture.

        Raises:
            NotMeasured: for a missing model, no path, an unreadable picture, or one without a face.
        """
        if not paths:
            raise NotMeasured("no reference face")
        return np.stack([self._embed(role, path) for path in paths])

    def voices(self, role: str, paths: tuple[Path, ...]) -> np.ndarray:
        """Embeddings ``[K, D]`` of the speech of each recording.

        Raises:
            NotMeasured: for a missing model, no path, or an unreadable recording.
        """
        if not paths:
            raise NotMeasured("no reference voice")
        return np.stack([self._embed(role, path) for path in paths])

    def templates(self, role: str, paths_of_subjects: list[tuple[Path, ...]]) -> np.ndarray:
        """One unit vector per subject ``[S, D]``.

        Args:
            role: of a face or a voice embedder.
            paths_of_subjects: pictures or recordings of each.
        """
        embed = self.faces if "face" in role else self.voices
        return np.stack([template(embed(role, paths)) for paths in paths_of_subjects])

    def _embed(self, role: str, path: Path) -> np.ndarray:
        if (role, path) not in self._found:
            try:
                found = self._embed_face(role, path) if "face" in role else self._embed_voice(role, path)
            except MediaError as error:
                found = f"reference {error}"
            except NotMeasured as reason:
                found = str(reason)
            self._found[role, path] = found
        found = self._found[role, path]
        if isinstance(found, str):
            raise NotMeasured(found)
        return found

    def _embed_face(self, role: str, path: Path) -> np.ndarray:
        detector, embedder = self._models.require("face_detector"), self._models.require(role)
        picture = np.asarray(read_image(path))
        faces = detector.detect(picture)
        if not faces:
            raise NotMeasured(f"no face was found in the reference {path.name}")
        return embedder.embed(picture, faces[0])

    def _embed_voice(self, role: str, path: Path) -> np.ndarray:
        detector, embedder = self._models.require("voice_activity"), self._models.require(role)
        audio = read_audio(path)
        # Where no speech is found, the recording is taken as it is: the user says that it is a voice.
        spans = detector.find_speech(audio)
        return embedder.embed(cut_audio(audio, spans) if spans else audio)
