"""What each score is called, which way is better, in which unit, and which models it needs."""

from dataclasses import dataclass
from typing import Literal


Scope = Literal["subject", "clip", "set"]


@dataclass(frozen=True)
class MetricDefinition:
    """One column of a report.

    Args:
        name: as in result files; the name of the `evaluate` module where there is one.
        title: for people.
        better: ``"higher"`` or ``"lower"``.
        unit: ``""`` for numbers without one.
        scope: measured per subject, per clip, or once over a set of clips.
        roles: models that it needs, as in `EvaluationSettings`.
        decimals: digits after the point in tables.
    """

    name: str
    title: str
    better: Literal["higher", "lower"]
    unit: str
    scope: Scope
    roles: tuple[str, ...]
    decimals: int = 3

    @property
    def arrow(self) -> str:
        return "↑" if self.better == "higher" else "↓"


_FACE = ("face_detector", "face_embedder")
_SECOND_FACE = ("face_detector", "second_face_embedder")
_VOICE = ("voice_activity", "voice_embedder")
_SECOND_VOICE = ("voice_activity", "second_voice_embedder")
_LIPS = ("face_detector", "face_landmarker", "lip_sync", "voice_activity")
_WHO = ("face_detector", "face_embedder", "face_landmarker", "lip_sync", "voice_activity", "voice_embedder")

METRICS = (
    MetricDefinition("face_similarity", "Face similarity", "higher", "cosine", "subject", _FACE),
    MetricDefinition("face_share", "Frames with the face", "higher", "share", "subject", _FACE),
    MetricDefinition(
        "second_face_similarity", "Face similarity, 2nd model", "higher", "cosine", "subject", _SECOND_FACE
    ),
    MetricDefinition("copy_paste", "Copy-paste", "lower", "cosine", "subject", _FACE),
    MetricDefinition("identity_drift", "Identity drift", "lower", "cosine/s", "subject", _FACE),
    MetricDefinition("voice_similarity", "Voice similarity", "higher", "cosine", "subject", _VOICE),
    MetricDefinition(
        "second_voice_similarity", "Voice similarity, 2nd model", "higher", "cosine", "subject", _SECOND_VOICE
    ),
    MetricDefinition("binding", "Binding", "higher", "share", "clip", _WHO),
    MetricDefinition("lip_sync_offset", "Lip-sync offset", "lower", "ms", "clip", _LIPS, 0),
    MetricDefinition("lip_sync_confidence", "Lip-sync confidence", "higher", "", "clip", _LIPS),
    MetricDefinition("lse_c", "LSE-C", "higher", "", "clip", ("face_detector", "syncnet")),
    MetricDefinition("lse_d", "LSE-D", "lower", "", "clip", ("face_detector", "syncnet")),
    MetricDefinition("word_error_rate", "WER", "lower", "share", "clip", ("transcriber",)),
    MetricDefinition(
        "speaker_word_error_rate",
        "cpWER",
        "lower",
        "share",
        "clip",
        ("transcriber", "voice_activity", "voice_embedder"),
    ),
    MetricDefinition("picture_prompt_adherence", "CLIP similarity", "higher", "cosine", "clip", ("picture_text",)),
    MetricDefinition("sound_prompt_adherence", "CLAP similarity", "higher", "cosine", "clip", ("sound_text",)),
    MetricDefinition("speech_quality", "DNSMOS", "higher", "1 to 5", "clip", ("speech_quality",), 2),
    MetricDefinition("fid", "FID", "lower", "", "set", ("picture_features",)),
    MetricDefinition("fvd", "FVD", "lower", "", "set", ("video_features",)),
    MetricDefinition("fad", "FAD", "lower", "", "set", ("sound_features",)),
)
"""In the order of the tables."""

METRICS_BY_NAME = {metric.name: metric for metric in METRICS}
