"""The structured caption of a kept clip."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from iap_pipelines.curation.captioners import (
    SAMPLING_RATE,
    CaptionError,
    CaptionerSettings,
    CaptionTask,
    MeasuredCaptions,
    SeenSubject,
    check_caption,
    load_captioner,
)
from iap_pipelines.curation.people import numbered_tracks
from iap_pipelines.curation.records import Caption, Clip, ClipTurn, Source, Technical, Track, TurnText, View
from iap_pipelines.curation.stage import Known, Stage
from iap_pipelines.media import iterate_frames, read_sound
from iap_pipelines.types import SpokenLine, caption_anchors


_SHORT_SIDE = 448
_COLOURS = ("red", "deepskyblue", "lime", "yellow")


@dataclass(kw_only=True)
class Describe(Stage):
    """Asks a captioner, and compares what it says with what was measured. A caption that does not pass is kept out."""

    name = "describe"
    reads = (Source, Technical, Track, View, ClipTurn, TurnText)
    adds = (Caption,)
    version = 2
    only_kept = True

    captioner: CaptionerSettings = field(default_factory=MeasuredCaptions)
    """`measured`, a Hub id, or the settings of a server."""

    def setup(self) -> None:
        self._captioner = load_captioner(self.captioner)

    @property
    def models(self) -> dict[str, str]:
        return {"captioner": f"{self._captioner.name} {self._captioner.revision}"}

    def process(self, unit: Clip, known: Known) -> Iterable[Caption]:
        captioner = self._captioner
        task = caption_task(unit, known, captioner.num_pictures, hears=captioner.hears)
        caption = problem = None
        try:
            written = captioner.describe(task)
            check_caption(written, task)
            caption = written.render()
        except CaptionError as error:
            problem = " ".join(str(error).split())
        yield Caption(
            clip_id=unit.clip_id,
            caption=caption,
            captioner=f"{captioner.name} {captioner.revision}",
            caption_problem=problem,
        )


def caption_task(clip: Clip, known: Known, num_pictures: int, *, hears: bool = False) -> CaptionTask:
    """Gather what is known of a clip for its caption."""
    source, technical = known.one(Source), known.one(Technical, clip_id=clip.clip_id)
    numbered = numbered_tracks(known, clip)
    turns = sorted(known.all(ClipTurn, clip_id=clip.clip_id), key=lambda turn: (turn.start_seconds, turn.turn_id))
    texts = {text.turn_id: text.text for text in known.all(TurnText, clip_id=clip.clip_id)}
    numbers = {track.track_id: number for number, (track, _) in enumerate(numbered, start=1)}
    speaking = {turn.track_id for turn in turns}
    span = {"start_seconds": clip.start_seconds, "max_seconds": clip.clip_seconds}
    sound = read_sound(known.file, **span) if hears else None
    lines = [(numbers.get(turn.track_id), spoken_text(texts.get(turn.turn_id, ""))) for turn in turns]
    return CaptionTask(
        subjects=tuple(
            SeenSubject(
                position=position,
                face_share=track.face_pixels / source.source_height,
                yaw_degrees=_best_yaw(known, track),
                is_speaking=track.track_id in speaking,
            )
            for track, position in numbered
        ),
        lines=tuple(SpokenLine(number, text) for number, text in lines if number is not None and text),
        luma=technical.luma,
        motion=technical.motion,
        has_offscreen_speech=any(turn.match == "off_screen" for turn in turns),
        pictures=tuple(_marked_pictures(clip, known, [track for track, _ in numbered], num_pictures)),
        sound=sound and sound.to_mono().resample(SAMPLING_RATE),
    )


def spoken_text(text: str) -> str:
    """Words as a line of a caption can hold them: one line, without double quotes and anchors."""
    text = " ".join(text.replace('"', "'").split())
    return "" if caption_anchors(text) else text


def _best_yaw(known: Known, track: Track) -> float:
    views = known.all(View, track_id=track.track_id)
    best = max(views, key=lambda view: (view.view_score, view.view_id), default=None)
    return 0.0 if best is None else best.yaw_degrees


def _marked_pictures(clip: Clip, known: Known, tracks: list[Track], count: int) -> Iterable[np.ndarray]:
    """Pictures spread over a clip, with a numbered box around each face, so that `<S1>` is somebody."""
    if count == 0:
        return
    times = [clip.start_seconds + clip.clip_seconds * (index + 0.5) / count for index in range(count)]
    for time in times:
        span = {"start_seconds": time, "end_seconds": clip.end_seconds}
        _, picture = next(iterate_frames(known.file, **span), (None, None))
        if picture is not None:
            yield mark_faces(picture, time, tracks)


def mark_faces(picture: np.ndarray, time: float, tracks: list[Track]) -> np.ndarray:
    """Draw a numbered box around each face that is there at ``time``, and make the picture small."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    width = max(2, image.height // 200)
    for number, track in enumerate(tracks, start=1):
        if not track.start_seconds <= time <= track.end_seconds:
            continue
        nearest = int(np.abs(np.array(track.times) - time).argmin())
        left, top, right, bottom = track.boxes[nearest]
        colour = _COLOURS[(number - 1) % len(_COLOURS)]
        draw.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=width)
        draw.text((left + width, top + width), str(number), fill=colour, font_size=max(12, image.height // 20))
    scale = _SHORT_SIDE / min(image.size)
    if scale < 1:
        image = image.resize((round(image.width * scale), round(image.height * scale)))
    return np.asarray(image)
