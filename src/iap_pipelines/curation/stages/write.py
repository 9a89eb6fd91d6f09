"""Kept clips to files: the clip itself, the faces and the voices of its people."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import PositiveFloat, PositiveInt

from iap_pipelines.curation.records import Clip, ClipTurn, Record, Source, Track, View
from iap_pipelines.curation.results import WrittenClip, WrittenView, WrittenVoice
from iap_pipelines.curation.stage import Known, Stage
from iap_pipelines.media import export_frames, export_sound, frames_at, iterate_frames, read_sound
from iap_pipelines.media.colour import Planes
from iap_pipelines.media.export import EncoderPreset
from iap_pipelines.types import AudioSamples


_ENCODER_SAMPLING_RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)


@dataclass(kw_only=True)
class Write(Stage):
    """Cuts and encodes what passed every gate, from the source itself.

    Pictures and sound are both decoded and encoded anew: copied packets begin at key frames and shift the sound.
    """

    name = "write"
    version = 2
    reads = (Source, Track, View, ClipTurn)
    adds = (WrittenClip, WrittenView, WrittenVoice)
    only_kept = True

    folder: str = "."
    """Where files go; the run sets it to its output folder."""
    short_side: PositiveInt = 720
    """Larger pictures are made smaller to this, in pixels."""
    frame_rate: PositiveFloat | None = None
    """Of the clips, in pictures per second; ``null`` keeps the mean rate of the source."""
    encoder_preset: EncoderPreset = "veryfast"
    """Of x264. Medium takes more than twice as long for 1.4 dB (720p at 24 frames per second, files of equal size)."""
    face_margin: PositiveFloat = 1.8
    """Side of a face's file over the longer side of its box."""
    max_face_pixels: PositiveInt = 512
    """Larger faces are made smaller to this."""
    voice_sampling_rate: PositiveInt = 16000
    """Of the voices, in hertz."""
    min_voice_seconds: PositiveFloat = 1.0
    """Shorter turns get no file."""

    def settings(self) -> dict:
        # Where files lie is no property of what they are: a folder that was moved is still complete.
        return {name: value for name, value in super().settings().items() if name != "folder"}

    def still_holds(self, records: Sequence[Record]) -> bool:
        return all((Path(self.folder) / _file_of(record)).is_file() for record in records)

    def process(self, unit: Clip, known: Known) -> Iterable[Record]:
        for name in ("clips", "views", "voices"):
            (Path(self.folder) / "media" / name).mkdir(parents=True, exist_ok=True)
        yield self._write_clip(unit, known)
        yield from self._write_views(unit, known)
        yield from self._write_voices(unit, known)

    def _write_clip(self, clip: Clip, known: Known) -> WrittenClip:
        source = known.one(Source)
        rate = self.frame_rate or source.source_frame_rate
        num_frames = max(1, round(clip.clip_seconds * rate))
        pictures = iterate_frames(
            known.file,
            start_seconds=clip.start_seconds,
            end_seconds=clip.end_seconds,
            short_side=self.short_side,
            for_export=True,
        )
        frames = _Sized(at_constant_rate(pictures, clip.start_seconds, rate, num_frames))
        sound = read_sound(known.file, start_seconds=clip.start_seconds, max_seconds=num_frames / rate)
        sound = _encodable(sound)
        file = f"media/clips/{clip.clip_id}.mp4"
        export_frames(
            frames,
            sound.samples,
            Path(self.folder) / file,
            num_frames=num_frames,
            frame_rate=rate,
            sampling_rate=sound.sampling_rate,
            preset=self.encoder_preset,
        )
        num_people = len(known.all(Track, clip_id=clip.clip_id))
        return WrittenClip(
            clip_id=clip.clip_id,
            kind="single_subject" if num_people == 1 else "multi_subject",
            file=file,
            width=frames.width,
            height=frames.height,
            num_frames=num_frames,
            frame_rate=float(rate),
            sampling_rate=sound.sampling_rate,
        )

    def _write_views(self, clip: Clip, known: Known) -> Iterator[WrittenView]:
        views = sorted(known.all(View, clip_id=clip.clip_id), key=lambda view: (view.time_seconds, view.view_id))
        if not views:
            return
        pictures = frames_at(known.file, [view.time_seconds for view in views])
        for view, picture in zip(views, pictures, strict=True):
            head = cut_head(picture, view.box, self.face_margin, self.max_face_pixels)
            file = f"media/views/{view.view_id}.png"
            _save_png(head, Path(self.folder) / file)
            yield WrittenView(view_id=view.view_id, view_file=file, file_pixels=head.width)

    def _write_voices(self, clip: Clip, known: Known) -> Iterator[WrittenVoice]:
        for turn in known.all(ClipTurn, clip_id=clip.clip_id):
            seconds = turn.end_seconds - turn.start_seconds
            if turn.track_id is None or seconds < self.min_voice_seconds:
                continue
            sound = read_sound(known.file, start_seconds=turn.start_seconds, max_seconds=seconds)
            sound = sound.to_mono().resample(self.voice_sampling_rate)
            file = f"media/voices/{turn.turn_id}.flac"
            export_sound(sound, Path(self.folder) / file)
            yield WrittenVoice(
                turn_id=turn.turn_id,
                voice_file=file,
                voice_seconds=sound.duration_seconds,
                voice_sampling_rate=sound.sampling_rate,
            )


def _file_of(record: Record) -> str:
    names = {WrittenClip: "file", WrittenView: "view_file", WrittenVoice: "voice_file"}
    return getattr(record, names[type(record)])


class _Sized:
    """Pictures cut to even sizes, of which the size is known once the first was taken."""

    def __init__(self, pictures: Iterable[np.ndarray | Planes]) -> None:
        self._pictures = pictures
        self.width = self.height = 0

    def __iter__(self) -> Iterator[np.ndarray | Planes]:
        for picture in self._pictures:
            self.height, self.width = (size - size % 2 for size in picture.shape[:2])
            yield picture if isinstance(picture, Planes) else picture[: self.height, : self.width]


def at_constant_rate(
    pictures: Iterable[tuple[float, np.ndarray | Planes]], start_seconds: float, rate: float, num_frames: int
) -> Iterator[np.ndarray | Planes]:
    """The picture on screen at each tick of a clock; the last one is held to the end.

    Args:
        pictures: time and picture, in order.
        start_seconds: time of the first tick; before the first picture, it is the first picture.
        rate: ticks per second.
        num_frames: ticks.
    """
    number, shown = 0, None
    for time, picture in pictures:
        shown = picture if shown is None else shown
        while number < num_frames and start_seconds + number / rate < time - 1e-6:
            yield shown
            number += 1
        shown = picture
    while shown is not None and number < num_frames:
        yield shown
        number += 1


def _encodable(sound: AudioSamples) -> AudioSamples:
    """Sound as the encoder takes it: two channels at most, at a usual rate."""
    sound = sound.to_mono() if sound.num_channels > 2 else sound
    return sound if sound.sampling_rate in _ENCODER_SAMPLING_RATES else sound.resample(48000)


def cut_head(picture: np.ndarray, box: Sequence[float], margin: float, max_pixels: int) -> Image.Image:
    """Cut a square around a face out of a picture, inside of it, never enlarged.

    Args:
        picture: RGB uint8 ``[H, W, 3]``.
        box: left, top, right, bottom, in pixels.
        margin: side of the square over the longer side of the box.
        max_pixels: a larger square is made smaller to this.
    """
    height, width = picture.shape[:2]
    left, top, right, bottom = box
    side = max(2, min(round(margin * max(right - left, bottom - top)), height, width))
    x = min(max(round((left + right) / 2 - side / 2), 0), width - side)
    y = min(max(round((top + bottom) / 2 - side / 2), 0), height - side)
    head = Image.fromarray(np.ascontiguousarray(picture[y : y + side, x : x + side]))
    if side > max_pixels:
        head = head.resize((max_pixels, max_pixels), Image.Resampling.LANCZOS)
    return head


def _save_png(image: Image.Image, path: Path) -> None:
    partial = path.with_name(f".{path.name}")
    image.save(partial, format="PNG")
    partial.replace(path)
