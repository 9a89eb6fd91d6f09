"""Measurements to verdicts. No model runs here, so a threshold can be changed and the run repeated in seconds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from iap_pipelines.curation.records import CLIP_MEASUREMENTS, Clip, Record, Source
from iap_pipelines.curation.results import Verdict
from iap_pipelines.curation.stage import Known


class Thresholds(BaseModel):
    """The limits of every gate. ``null`` opens a gate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_clip_seconds: float | None = 2.0
    """`too_short`: length of the clip, in seconds."""
    min_short_side: float | None = 240
    """`low_resolution`: shorter side of the picture, in pixels."""
    min_frame_rate: float | None = 12
    """`low_frame_rate`: pictures per second."""
    min_sampling_rate: float | None = 16000
    """`low_sampling_rate`: of the sound, in hertz."""
    min_loudness_lufs: float | None = -50
    """`silent`: loudness of the sound, in LUFS; a sound without any loud part has none and is silent too."""
    min_speech_seconds: float | None = 0.8
    """`no_speech`: time that somebody speaks, in seconds."""
    max_clipped_share: float | None = 0.005
    """`clipped_sound`: share of the samples at full scale."""
    min_bandwidth_hz: float | None = 1000
    """`muffled_sound`: 99 % of the sound's energy lies below, in hertz."""
    min_luma: float | None = 28
    """`dark`: mean brightness, 0 to 255."""
    max_luma: float | None = 225
    """`bright`: mean brightness, 0 to 255."""
    min_sharpness: float | None = 8
    """`blurred`: variance of the Laplacian at 240 rows."""
    max_frozen_share: float | None = 0.95
    """`frozen`: share of the time in which nothing moves."""
    max_border_share: float | None = 0.3
    """`black_borders`: share of the picture."""
    max_text_share: float | None = 0.12
    """`text_overlay`: share of the picture."""
    min_face_share: float | None = 0.5
    """`no_face`: share of the clip in which a face is seen."""
    max_faces: float | None = 4
    """`too_many_faces`: at one time."""
    min_face_pixels: float | None = 40
    """`small_face`: longer side of the smallest face, in pixels."""
    min_steady_share: float | None = 0.6
    """`subject_leaves`: share of the clip in which the face that is seen least is seen."""
    min_face_luma: float | None = 25
    """`dark_face`: brightness of the best view, 0 to 255."""
    min_face_sharpness: float | None = 10
    """`blurred_face`: variance of the Laplacian of the best view on a chip of fixed size."""
    max_late_share: float | None = 0.2
    """`sound_out_of_sync`: share of the speech that its lips are ahead of or behind."""
    max_dubbed_share: float | None = 0.2
    """`dubbed`: share of the speech beside which a mouth moves to other words, or may do so and nothing says that it
    does not."""
    max_offscreen_share: float | None = 0.2
    """`offscreen_speech`: share of the speech that belongs to no visible face."""
    max_ambiguous_share: float | None = 0.2
    """`ambiguous_speaker`: share of the speech whose face is not clear."""
    min_sync_score: float | None = None
    """`low_sync`: agreement of lips and speech in place, for a stricter choice among what is matched."""
    min_word_probability: float | None = 0.4
    """`unsure_words`: mean probability of the words."""
    max_words_per_second: float | None = 7
    """`invented_words`: words per second of speech; transcribers that invent text write too much of it."""
    max_unassigned_share: float | None = 0.34
    """`unassigned_words`: share of the words that lie in no turn."""


@dataclass(frozen=True)
class Gate:
    """One limit.

    Args:
        reason: what a reject is called.
        measurement: column that is judged.
        threshold: field of `Thresholds`.
        side: whether the measurement has to be at least or at most the threshold.
        may_be_missing: a measurement of null passes.
    """

    reason: str
    measurement: str
    threshold: str
    side: Literal["at_least", "at_most"]
    may_be_missing: bool = False

    def judge(self, value: float | None, threshold: float) -> Verdict | None:
        """``None`` when the value passes."""
        if value is None:
            passes = self.may_be_missing
        else:
            passes = value >= threshold if self.side == "at_least" else value <= threshold
        return None if passes else Verdict(reason=self.reason, value=value, threshold=threshold)


GATES = (
    Gate("too_short", "clip_seconds", "min_clip_seconds", "at_least"),
    Gate("low_resolution", "short_side", "min_short_side", "at_least"),
    Gate("low_frame_rate", "source_frame_rate", "min_frame_rate", "at_least"),
    Gate("low_sampling_rate", "source_sampling_rate", "min_sampling_rate", "at_least"),
    Gate("dark", "luma", "min_luma", "at_least"),
    Gate("bright", "luma", "max_luma", "at_most"),
    Gate("blurred", "sharpness", "min_sharpness", "at_least"),
    Gate("frozen", "frozen_share", "max_frozen_share", "at_most"),
    Gate("black_borders", "border_share", "max_border_share", "at_most"),
    Gate("text_overlay", "text_share", "max_text_share", "at_most"),
    Gate("no_face", "face_share", "min_face_share", "at_least"),
    Gate("silent", "loudness_lufs", "min_loudness_lufs", "at_least"),
    Gate("clipped_sound", "clipped_share", "max_clipped_share", "at_most"),
    Gate("muffled_sound", "bandwidth_hz", "min_bandwidth_hz", "at_least"),
    Gate("no_speech", "speech_seconds", "min_speech_seconds", "at_least"),
    Gate("too_many_faces", "num_faces", "max_faces", "at_most"),
    Gate("small_face", "smallest_face_pixels", "min_face_pixels", "at_least"),
    Gate("subject_leaves", "steady_share", "min_steady_share", "at_least"),
    Gate("dark_face", "face_luma", "min_face_luma", "at_least"),
    Gate("blurred_face", "face_sharpness", "min_face_sharpness", "at_least"),
    Gate("sound_out_of_sync", "late_share", "max_late_share", "at_most"),
    Gate("dubbed", "dubbed_share", "max_dubbed_share", "at_most"),
    Gate("offscreen_speech", "offscreen_share", "max_offscreen_share", "at_most"),
    Gate("ambiguous_speaker", "ambiguous_share", "max_ambiguous_share", "at_most"),
    Gate("low_sync", "sync_score_in_place", "min_sync_score", "at_least", may_be_missing=True),
    Gate("unsure_words", "word_probability", "min_word_probability", "at_least", may_be_missing=True),
    Gate("invented_words", "words_per_second", "max_words_per_second", "at_most", may_be_missing=True),
    Gate("unassigned_words", "unassigned_share", "max_unassigned_share", "at_most", may_be_missing=True),
)
"""In the order in which reasons are given: what makes other measurements meaningless comes first."""


def clip_row(known: Known, clip: Clip, measured: Mapping[type[Record], Record]) -> dict[str, Any]:
    """All measurements of a clip and its source by column, with the shorter side of the picture.

    Args:
        known: the source.
        clip: the clip.
        measured: its records of `CLIP_MEASUREMENTS`; missing ones have not been measured.
    """
    (source,) = known.all(Source)
    row = {**source.as_row(), **clip.as_row()}
    for record in measured.values():
        row |= record.as_row()
    row["short_side"] = min(row["source_width"], row["source_height"])
    return row


def measurements_of(known: Known, clip: Clip) -> dict[type[Record], Record]:
    """What has been measured of a clip so far, by type."""
    return {
        kind: record
        for kind in CLIP_MEASUREMENTS
        if known.has(kind)
        for record in known.all(kind, clip_id=clip.clip_id)
    }


def judge_source(source: Source) -> Verdict | None:
    """Why a source can have no clips, or ``None``."""
    if source.source_num_frames is None:
        return Verdict(reason="no_video", value=None, threshold=None)
    if source.source_sampling_rate is None:
        return Verdict(reason="no_audio", value=None, threshold=None)
    return None


def judge_clip(row: Mapping[str, Any], thresholds: Thresholds) -> tuple[Verdict, ...]:
    """The gates that a clip does not pass, of those whose measurement was made; in the order of `GATES`."""
    return tuple(_verdicts(row, thresholds))


def _verdicts(row: Mapping[str, Any], thresholds: Thresholds) -> Iterator[Verdict]:
    for gate in GATES:
        threshold = getattr(thresholds, gate.threshold)
        if threshold is None or gate.measurement not in row:
            continue
        verdict = gate.judge(row[gate.measurement], threshold)
        if verdict is not None:
            yield verdict
    if row.get("caption_problem") is not None:
        yield Verdict(reason="caption_inconsistent", value=None, threshold=None)


DERIVED_COLUMNS = ("short_side",)
"""What `clip_row` adds to the columns of records."""
