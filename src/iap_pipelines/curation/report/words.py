"""What the names in the report mean, for who reads it and nothing else."""

from functools import cache

from iap_pipelines.curation.records import CLIP_MEASUREMENTS, Clip, Source
from iap_pipelines.curation.results import Link, Reference
from iap_pipelines.curation.schema import column_fields


REASONS = {
    "unreadable": "it is no video, or damaged",
    "no_video": "it has no moving pictures",
    "no_audio": "it has no sound",
    "duplicate": "another file has the same bytes",
    "worker_died": "it ended its process twice",
    "timed_out": "it took longer than a source may, twice",
    "too_short": "the clip is shorter than a clip may be",
    "low_resolution": "the source has too few pixels",
    "low_frame_rate": "too few pictures per second",
    "low_sampling_rate": "telephone sound",
    "dark": "the picture is too dark",
    "bright": "the picture is too bright",
    "blurred": "the picture is not sharp",
    "frozen": "a still picture",
    "black_borders": "much of the picture is black border",
    "text_overlay": "subtitles or banners",
    "no_face": "nobody is seen for most of the clip",
    "silent": "no sound is loud enough to be heard",
    "clipped_sound": "the sound was recorded too loud",
    "muffled_sound": "the sound has no high frequencies",
    "no_speech": "nobody speaks",
    "too_many_faces": "more people than a clip may have",
    "small_face": "a face has too few pixels",
    "subject_leaves": "somebody comes or goes within the clip",
    "dark_face": "a face is too dark in its best view",
    "blurred_face": "a face is not sharp in its best view",
    "sound_out_of_sync": "lips and speech agree, but at another time",
    "dubbed": "a mouth moves to other words, or neither lips nor another source say that the voice is this face's",
    "offscreen_speech": "speech while no visible mouth moves",
    "ambiguous_speaker": "several faces could be speaking",
    "low_sync": "lips and speech agree less than was asked for",
    "unsure_words": "the transcriber is not sure of the words",
    "invented_words": "more words than anybody says in the time",
    "unassigned_words": "words while nobody speaks",
    "caption_inconsistent": "the caption says something else than was measured",
    "other_voice": "the same face has another voice in its other clips",
}
"""Why something is not in the dataset."""


_ALONE = {
    "clip_seconds": "length of the clip",
    "short_side": "shorter side of the source's picture",
    "source_frame_rate": "mean rate of the source's pictures",
    "source_sampling_rate": "of the source's sound",
    "frozen_share": "share of the time in which nothing moves",
    "clipped_share": "share of the sound's samples at full scale",
    "sync_score_in_place": "agreement of lips and sound without an offset, lowest of the speaking faces",
    "words_per_second": "words per second of speech",
    "word_probability": "how sure the transcriber is, mean over the words",
}
"""Where the words of the table need their neighbours there."""


def meaning_of_reason(reason: str) -> str:
    """In words; the name of an exception means itself."""
    return REASONS.get(reason, "an error while it was measured")


@cache
def meaning_of_measurement(name: str) -> tuple[str, str]:
    """What a column of a clip means, and its unit or range."""
    if name == "short_side":
        return _ALONE[name], "pixels"
    what, unit = _column(name, (Clip, *CLIP_MEASUREMENTS, Source))
    return _ALONE.get(name, what), unit


def meaning_of_links() -> str:
    return _column("decision", (Link,))[0]


def meaning_of_scopes() -> str:
    return _column("scope", (Reference,))[0]


def _column(name: str, records: tuple[type, ...]) -> tuple[str, str]:
    (found,) = (item.metadata for record in records for item in column_fields(record) if item.name == name)
    return found["what"].replace("`", ""), found["unit"]
