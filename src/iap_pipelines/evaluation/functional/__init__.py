"""The metrics as pure functions on numpy arrays: no models, no files. The README of `evaluation` defines them."""

from iap_pipelines.evaluation.functional.binding import Binding, binding
from iap_pipelines.evaluation.functional.distributions import bootstrap_frechet, frechet_distance
from iap_pipelines.evaluation.functional.intervals import (
    Interval,
    bootstrap_mean,
    bootstrap_people,
    bootstrap_separation,
)
from iap_pipelines.evaluation.functional.lip_sync import LipSync, SyncNetScores, lip_sync, syncnet_scores
from iap_pipelines.evaluation.functional.separation import area_under_curve, equal_error_rate, equal_error_threshold
from iap_pipelines.evaluation.functional.similarity import (
    FaceSimilarity,
    copy_paste,
    face_similarity,
    identity_drift,
    prompt_adherence,
    template,
    voice_similarity,
)
from iap_pipelines.evaluation.functional.words import (
    SpeakerErrors,
    WordErrors,
    normalize_text,
    speaker_word_errors,
    word_errors,
)


__all__ = [
    "Binding",
    "FaceSimilarity",
    "Interval",
    "LipSync",
    "SpeakerErrors",
    "SyncNetScores",
    "WordErrors",
    "area_under_curve",
    "binding",
    "bootstrap_frechet",
    "bootstrap_mean",
    "bootstrap_people",
    "bootstrap_separation",
    "copy_paste",
    "equal_error_rate",
    "equal_error_threshold",
    "face_similarity",
    "frechet_distance",
    "identity_drift",
    "lip_sync",
    "normalize_text",
    "prompt_adherence",
    "speaker_word_errors",
    "syncnet_scores",
    "template",
    "voice_similarity",
    "word_errors",
]
