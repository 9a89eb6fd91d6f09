"""The faces of a clip beside those of its references. Letters: S subjects, F sampled frames, D channels."""

from functools import cached_property

import numpy as np

from iap_pipelines.evaluation.functional import copy_paste, face_similarity, identity_drift, template
from iap_pipelines.evaluation.functional.binding import NOBODY
from iap_pipelines.evaluation.models import NotMeasured
from iap_pipelines.evaluation.observer import ClipObserver
from iap_pipelines.evaluation.people import assign_tracks, merge_faces
from iap_pipelines.evaluation.reference_embeddings import ReferenceEmbeddings
from iap_pipelines.evaluation.references import ClipReference


_ROLE = "face_embedder"
_NO_FACE = "no face of this person was found in the clip"


class ClipFaces:
    """Whose face is where in a clip. Subjects are counted from 0.

    Args:
        clip: who should be seen.
        observer: of the clip.
        references: embeddings of its references.
    """

    def __init__(self, clip: ClipReference, observer: ClipObserver, references: ReferenceEmbeddings) -> None:
        self._clip, self._observer, self._references = clip, observer, references

    def similarity(self, subject: int) -> float:
        return self._similarity(_ROLE, subject)

    def second_similarity(self, subject: int) -> float:
        return self._similarity("second_face_embedder", subject)

    def share(self, subject: int) -> float:
        """Share of the sampled frames in which the person is seen; 0 when nobody is."""
        if not self._clip.subjects[subject].faces:
            raise NotMeasured("no reference face")
        if not self._observer.has_faces:
            return 0.0
        return face_similarity(self._frames(_ROLE, subject), self._templates[subject]).share_with_face

    def copy_paste(self, subject: int) -> float:
        person = self._clip.subjects[subject]
        if not person.other_faces:
            raise NotMeasured("no other picture of the person to compare with (`other_faces`)")
        given = template(self._references.faces(_ROLE, person.faces))
        others = self._references.faces(_ROLE, person.other_faces)
        return _measured(copy_paste(self._frames(_ROLE, subject), given, others))

    def drift(self, subject: int) -> float:
        reference = self._references.faces(_ROLE, self._clip.subjects[subject].faces)
        frames = self._frames(_ROLE, subject)
        return _measured(identity_drift(frames, reference, self._observer.sample_times))

    def recognised(self, min_similarity: float) -> list[int]:
        """The subject that each face track shows, if its mean cosine reaches ``min_similarity``; else `NOBODY`."""
        labels = []
        for faces, label in zip(self._observer.embed_faces(_ROLE), self._track_labels, strict=True):
            similarity = None if label == NOBODY else face_similarity(faces, self._templates[label]).similarity
            labels.append(label if similarity is not None and similarity >= min_similarity else NOBODY)
        return labels

    def _similarity(self, role: str, subject: int) -> float:
        reference = self._references.faces(role, self._clip.subjects[subject].faces)
        return _measured(face_similarity(self._frames(role, subject), reference).similarity)

    def _frames(self, role: str, subject: int) -> np.ndarray:
        """Embeddings ``[F, D]`` of the subject's face, NaN where it is not seen."""
        tracks = self._observer.embed_faces(role)
        own = [faces for faces, label in zip(tracks, self._track_labels, strict=True) if label == subject]
        return merge_faces(own) if own else np.full_like(tracks[0], np.nan)

    @cached_property
    def _templates(self) -> np.ndarray:
        """``[S, D]``; NaN for subjects without a reference face."""
        with_face = [subject.faces for subject in self._clip.subjects if subject.faces]
        if not with_face:
            raise NotMeasured("no reference face")
        found = self._references.templates(_ROLE, with_face)
        templates = np.full((len(self._clip.subjects), found.shape[1]), np.nan)
        templates[[bool(subject.faces) for subject in self._clip.subjects]] = found
        return templates

    @cached_property
    def _track_labels(self) -> list[int]:
        """The subject that each face track shows, however unlike."""
        known = np.flatnonzero(~np.isnan(self._templates).any(axis=1))
        tracks = self._observer.embed_faces(_ROLE)
        labels = assign_tracks(tracks, [face.span for face in self._observer.faces], self._templates[known])
        return [NOBODY if label == NOBODY else int(known[label]) for label in labels]


def _measured(value: float | None) -> float:
    if value is None:
        raise NotMeasured(_NO_FACE)
    return value
