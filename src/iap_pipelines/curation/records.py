"""What is known: one frozen record per source, shot, clip, track, view, turn, subject, identity and reference.

Every field is a column of a Parquet table and says what it means and in which unit (`column`). Times are seconds on
the source's own clock, from its first picture. A missing measurement is ``None``. Ids are made from content, so that
two machines agree without talking, and a file keeps its ids when it moves.
"""

import hashlib
from dataclasses import MISSING, dataclass, field, fields
from typing import Annotated, Any, ClassVar, Self

import pyarrow as pa


Vector = Annotated[tuple[float, ...], pa.list_(pa.float32())]
"""Numbers for which single precision is enough."""
Times = Annotated[tuple[float, ...], pa.list_(pa.float64())]

MATCH_UNIT = "correlation plus 0.4 logarithms of motion"
"""Of scores of `matching`; 0.4 is its ``motion_weight``."""

ID_LENGTH = 16
"""Hexadecimal digits of an id."""


def column(what: str, unit: str = "", *, default: Any = MISSING) -> Any:
    """A field of a record: what it means, and its unit or range."""
    return field(default=default, metadata={"what": what, "unit": unit})


def content_id(*parts: str | float) -> str:
    """16 hexadecimal digits made from the parts; floating point counts to the microsecond (or millionth)."""
    text = "\x1f".join(f"{part:.6f}" if isinstance(part, float) else str(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One row. The first field is its id."""

    table: ClassVar[str]
    """Name of the table."""

    @property
    def id(self) -> str:
        return getattr(self, fields(self)[0].name)

    def as_row(self) -> dict[str, Any]:
        """Name to value; nested records become dictionaries."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        """The inverse of `as_row`; other columns are ignored."""
        return cls(**{item.name: _typed(item.type, row[item.name]) for item in fields(cls) if item.init})


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.as_row()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _typed(annotation: Any, value: Any) -> Any:
    if isinstance(value, list):
        nested = next((kind for kind in getattr(annotation, "__args__", ()) if _is_record(kind)), None)
        return tuple(nested.from_row(item) if nested else _typed(None, item) for item in value)
    return value


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Record)


@dataclass(frozen=True, kw_only=True)
class Source(Record):
    """One video file as it came."""

    table: ClassVar[str] = "sources"

    source_id: str = column("first 16 digits of the SHA-256 of the file")
    path: str = column("file, relative to the input folder")
    num_bytes: int = column("size of the file", "bytes")
    duration_seconds: float | None = column("from the first picture to the end of the last", "s", default=None)
    source_width: int | None = column("upright, with square pixels", "pixels", default=None)
    source_height: int | None = column("upright, with square pixels", "pixels", default=None)
    rotation_degrees: int | None = column("turn that the file asks for, undone in everything else", "°", default=None)
    source_frame_rate: float | None = column("mean rate", "frames/s", default=None)
    has_variable_rate: bool | None = column("the gaps between pictures differ", default=None)
    source_num_frames: int | None = column("pictures that decode", default=None)
    video_codec: str | None = column("as FFmpeg calls it", default=None)
    audio_codec: str | None = column("as FFmpeg calls it; null without sound", default=None)
    source_sampling_rate: int | None = column("of the sound", "Hz", default=None)
    source_num_channels: int | None = column("of the sound", default=None)
    audio_duration_seconds: float | None = column("length of the sound", "s", default=None)
    audio_start_seconds: float | None = column(
        "start of the sound minus start of the pictures; applied in everything else", "s", default=None
    )


@dataclass(frozen=True, kw_only=True)
class Shot(Record):
    """Pictures without a cut."""

    table: ClassVar[str] = "shots"

    shot_id: str = column("id")
    source_id: str = column("its source")
    shot_index: int = column("from 0")
    start_seconds: float = column("first picture", "s")
    end_seconds: float = column("end of the last picture", "s")


@dataclass(frozen=True, kw_only=True)
class Speaker(Record):
    """One voice of a source."""

    table: ClassVar[str] = "speakers"

    speaker_id: str = column("id, known within its source only")
    source_id: str = column("its source")
    seconds: float = column("speech of this voice in the source", "s")
    purity: float = column("mean similarity of its pieces to their mean", "cosine, -1 to 1")
    embedding: Vector = column("of the voice", "unit vector")


@dataclass(frozen=True, kw_only=True)
class DiarizedTurn(Record):
    """One voice speaks without a longer pause."""

    table: ClassVar[str] = "diarized_turns"

    turn_id: str = column("id")
    source_id: str = column("its source")
    speaker_id: str = column("its voice")
    start_seconds: float = column("start", "s")
    end_seconds: float = column("end", "s")


@dataclass(frozen=True, kw_only=True)
class Clip(Record):
    """A piece of one shot, cut at pauses where the shot is longer than a clip may be. Clips cover their source."""

    table: ClassVar[str] = "clips"

    clip_id: str = column("id")
    source_id: str = column("its source")
    shot_id: str = column("its shot")
    start_seconds: float = column("start on the source's clock", "s")
    end_seconds: float = column("end on the source's clock", "s")
    clip_seconds: float = column("length", "s")
    speech_seconds: float = column("somebody speaks", "s")
    num_speakers: int = column("voices that are heard")


@dataclass(frozen=True, kw_only=True)
class Technical(Record):
    """Picture and sound of a clip, measured without models."""

    table: ClassVar[str] = "technical"

    clip_id: str = column("its clip")
    luma: float = column("mean brightness", "0 to 255")
    sharpness: float = column("variance of the Laplacian at 240 rows, median over pictures", "grey levels squared")
    motion: float = column("mean change between pictures 1/4 s apart, borders left out", "grey levels")
    frozen_share: float = column("share of those changes that are nearly nothing", "0 to 1")
    border_share: float = column("share of the picture that black borders take", "0 to 1")
    text_share: float = column("share of the picture that lies on lines of overlaid text", "0 to 1")
    loudness_lufs: float | None = column("gated loudness (ITU-R BS.1770); null for silence", "LUFS")
    peak: float | None = column("largest sample", "0 to 1")
    clipped_share: float | None = column("share of the samples at full scale", "0 to 1")
    bandwidth_hz: float | None = column("99 % of the sound's energy lies below", "Hz")


@dataclass(frozen=True, kw_only=True)
class Track(Record):
    """One face through one clip."""

    table: ClassVar[str] = "tracks"

    track_id: str = column("id")
    clip_id: str = column("its clip")
    start_seconds: float = column("first seen", "s")
    end_seconds: float = column("last seen", "s")
    times: Times = column("of each picture `[F]`", "s")
    boxes: Annotated[tuple[tuple[float, ...], ...], pa.list_(pa.list_(pa.float32()))] = column(
        "left, top, right, bottom of the face `[F, 4]`", "source pixels"
    )
    points: Annotated[tuple[tuple[float, ...], ...], pa.list_(pa.list_(pa.float32()))] = column(
        "x, y of eyes, nose and corners of the mouth `[F, 10]`", "source pixels"
    )
    scores: Vector = column("confidence of the detector `[F]`", "0 to 1")
    face_pixels: float = column("longer side of the box, median", "source pixels")
    center_x: float = column("middle of the face, median", "0 left to 1 right")
    clip_share: float = column("share of the clip in which the face is seen", "0 to 1")
    coherence: float | None = column("mean similarity of its pictures to their mean", "cosine, -1 to 1")
    embedding: Vector | None = column("of the face", "unit vector")


@dataclass(frozen=True, kw_only=True)
class View(Record):
    """One of the best pictures of a track."""

    table: ClassVar[str] = "views"

    view_id: str = column("id")
    track_id: str = column("its track")
    clip_id: str = column("its clip")
    time_seconds: float = column("when, on the source's clock", "s")
    box: Vector = column("left, top, right, bottom of the face", "source pixels")
    yaw_degrees: float = column("turn of the head, positive when the nose points to the right of the picture", "°")
    pitch_degrees: float = column("nod of the head, positive upwards", "°")
    sharpness: float = column("variance of the Laplacian on a chip of fixed size", "grey levels squared")
    luma: float = column("mean brightness of the face", "0 to 255")
    view_pixels: float = column("longer side of the box", "source pixels")
    view_score: float = column("frontality x sharpness x size x confidence", "0 to 1")
    fingerprint: str = column("difference hash of the face, 64 bits; near copies differ in few", "hexadecimal")


@dataclass(frozen=True, kw_only=True)
class ClipFaces(Record):
    """The faces of a clip together."""

    table: ClassVar[str] = "clip_faces"

    clip_id: str = column("its clip")
    num_tracks: int = column("tracks that are long enough to count")
    num_faces: int = column("most faces at one time")
    face_share: float = column("share of the clip in which a face is seen", "0 to 1")
    steady_share: float | None = column("`clip_share` of the track that is seen least; null without", "0 to 1")
    smallest_face_pixels: float | None = column("`face_pixels` of the smallest track", "source pixels")
    face_sharpness: float | None = column("sharpness of the best view, lowest of all tracks", "grey levels squared")
    face_luma: float | None = column("brightness of the best view, lowest of all tracks", "0 to 255")
    missed_cut_seconds: float | None = column("all faces change at once here: a cut that was not found", "s")


@dataclass(frozen=True, kw_only=True)
class Lips(Record):
    """How the mouth of a track moves, and how well that fits the sound at every moment and delay."""

    table: ClassVar[str] = "lips"

    track_id: str = column("its track")
    clip_id: str = column("its clip")
    mouth_times: Times = column("of each picture `[F]`", "s")
    mouth_opening: Vector = column("gap of the inner lips over height of the face `[F]`", "0 to 1")
    mouth_motion: Vector = column("mean change of the mouth's pixels per 40 ms `[F]`", "grey levels")
    step_times: Times = column("of each step of the comparison `[T]`", "s")
    delays: Times = column("of the sound `[L]`", "s")
    fit: Vector = column("agreement at each delay and step `[L x T]`; NaN where one of them is missing", "correlation")


@dataclass(frozen=True, kw_only=True)
class ClipTurn(Record):
    """Speech of one voice within one clip, and the face that it belongs to."""

    table: ClassVar[str] = "turns"

    turn_id: str = column("id")
    clip_id: str = column("its clip")
    speaker_id: str = column("its voice within the source")
    track_id: str | None = column("the face that speaks; null when none does or it is not clear")
    match: str = column(
        "`matched`; `late` (this face's voice, but sound and lips are apart); `unconfirmed` (lips do not say "
        "whether the voice is this face's; in a kept clip, another source says so); `dubbed` (a mouth moves, but with "
        "another voice than this); `off_screen` (no visible mouth moves with it); `ambiguous` (several may)"
    )
    start_seconds: float = column("start on the source's clock", "s")
    end_seconds: float = column("end on the source's clock", "s")
    match_score: float | None = column(
        "how well the best face fits: lip sync, and motion beside the others'", MATCH_UNIT
    )
    match_margin: float | None = column("distance to the next face's score; null when there is one face", MATCH_UNIT)
    embedding: Vector | None = column("of the voice; null when the turn is too short", "unit vector")


@dataclass(frozen=True, kw_only=True)
class TrackSync(Record):
    """How lips and speech of one speaking face agree."""

    table: ClassVar[str] = "track_sync"

    track_id: str = column("its track")
    clip_id: str = column("its clip")
    sync_score: float = column("agreement at the best offset", "correlation, -1 to 1")
    sync_score_in_place: float = column("agreement without an offset", "correlation, -1 to 1")
    sync_offset_seconds: float = column("positive: the sound is late", "s")
    sync_confidence: float = column("agreement at the best offset minus the median over offsets", "correlation")
    sync_seconds: float = column("speech that was compared", "s")


@dataclass(frozen=True, kw_only=True)
class ClipMatch(Record):
    """Who speaks in a clip, in numbers."""

    table: ClassVar[str] = "clip_match"

    clip_id: str = column("its clip")
    num_speaking: int = column("faces that speak")
    matched_share: float | None = column("share of the speech that belongs to a face; null without speech", "0 to 1")
    offscreen_share: float | None = column("share of the speech that belongs to no visible face", "0 to 1")
    dubbed_share: float | None = column("share of the speech beside which a mouth moves to other words", "0 to 1")
    unconfirmed_share: float | None = column("share of the speech that lips neither confirm nor deny", "0 to 1")
    late_share: float | None = column("share of the speech that its lips are ahead of or behind", "0 to 1")
    ambiguous_share: float | None = column("share of the speech whose face is not clear", "0 to 1")
    sync_score: float | None = column("lowest of the speaking faces", "correlation, -1 to 1")
    sync_score_in_place: float | None = column("lowest of the speaking faces", "correlation, -1 to 1")
    sync_offset_seconds: float | None = column("largest of the speaking faces; positive: the sound is late", "s")


@dataclass(frozen=True, kw_only=True)
class Word(Record):
    """One word that was heard."""

    table: ClassVar[str] = "words"

    text: str = column("as the transcriber writes it")
    start_seconds: float = column("start on the source's clock", "s")
    end_seconds: float = column("end on the source's clock", "s")
    probability: float | None = column("the transcriber's; null if it gives none", "0 to 1")


@dataclass(frozen=True, kw_only=True)
class TurnText(Record):
    """The words of a turn."""

    table: ClassVar[str] = "turn_texts"

    turn_id: str = column("its turn")
    clip_id: str = column("its clip")
    text: str = column("what is said")
    words: tuple[Word, ...] = column("with times")


@dataclass(frozen=True, kw_only=True)
class Transcript(Record):
    """The words of a clip together."""

    table: ClassVar[str] = "transcripts"

    clip_id: str = column("its clip")
    transcript: str = column("all words in order")
    num_words: int = column("words")
    word_probability: float | None = column("mean over the words; null without", "0 to 1")
    words_per_second: float | None = column("per second of speech; null without speech", "words/s")
    unassigned_share: float | None = column("share of the words that belong to no turn", "0 to 1")


@dataclass(frozen=True, kw_only=True)
class Caption(Record):
    """The structured caption of a clip."""

    table: ClassVar[str] = "captions"

    clip_id: str = column("its clip")
    caption: str | None = column("`StructuredCaption.render()`; null when none passed the checks")
    captioner: str = column("name and revision of what wrote it")
    caption_problem: str | None = column("what a check found; null when all passed")


CLIP_MEASUREMENTS: tuple[type[Record], ...] = (Technical, ClipFaces, ClipMatch, Transcript, Caption)
"""Records of which a clip has one each, keyed by `clip_id`; their columns stand beside the clip's in the tables."""
