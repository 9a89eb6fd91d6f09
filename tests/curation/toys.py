"""Stages that measure text files, some of which crash, hang or raise: everything of a run but the models.

A source is a text file with one word per clip: a number (its brightness), ``raise``, ``abort`` (a native crash),
``hang`` (holds the interpreter's lock), or ``slow``.
"""

import ctypes
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from iap_pipelines.curation.gates import Thresholds
from iap_pipelines.curation.ledger import Ledger
from iap_pipelines.curation.records import Clip, Shot, Source, Technical, content_id
from iap_pipelines.curation.stage import Known, SourceFile, Stage, chain
from iap_pipelines.curation.walk import Plan, Worker


@dataclass(kw_only=True)
class ReadText(Stage):
    name = "text"
    unit = SourceFile
    adds = (Source,)

    def process(self, unit: SourceFile, known: Known) -> Iterable[Source]:
        words = known.file.read_text().split()
        if not words:
            raise ValueError("nothing in it")
        yield Source(
            source_id=unit.source_id,
            path=unit.path,
            num_bytes=unit.num_bytes,
            duration_seconds=float(len(words)),
            source_width=640,
            source_height=480,
            source_frame_rate=25.0,
            source_num_frames=None if "no_video" in words else 25 * len(words),
            source_sampling_rate=16000,
        )


@dataclass(kw_only=True)
class ClipPerWord(Stage):
    name = "words"
    unit = SourceFile
    reads = (Source,)
    adds = (Shot, Clip)

    def process(self, unit: SourceFile, known: Known) -> Iterable[Shot | Clip]:
        for index in range(round(known.one(Source).duration_seconds)):
            start = float(index)
            shot_id = content_id(unit.source_id, "shot", start)
            yield Shot(
                shot_id=shot_id, source_id=unit.source_id, shot_index=index, start_seconds=start, end_seconds=start + 1
            )
            yield Clip(
                clip_id=content_id(unit.source_id, "clip", start),
                source_id=unit.source_id,
                shot_id=shot_id,
                start_seconds=start,
                end_seconds=start + 1,
                clip_seconds=1.0,
                speech_seconds=1.0,
                num_speakers=1,
            )


@dataclass(kw_only=True)
class Brightness(Stage):
    """Writes down that it ran, in a file beside the ledger."""

    name = "brightness"
    reads = (Shot,)
    adds = (Technical,)
    diary: str = ""
    seconds: float = 0.0

    def process(self, unit: Clip, known: Known) -> Iterable[Technical]:
        index = known.one(Shot, shot_id=unit.shot_id).shot_index
        word = known.file.read_text().split()[index]
        if self.diary:
            with open(self.diary, "a") as diary:
                diary.write(f"{unit.clip_id}\n")
        time.sleep(self.seconds)
        if word == "raise":
            raise RuntimeError("told to\nraise")
        if word == "abort":
            os.abort()
        if word == "hang":
            ctypes.PyDLL(None).sleep(60)
        if word == "slow":
            time.sleep(0.5)
        if word == "die_once" and not (marker := known.file.with_suffix(".died")).exists():
            marker.touch()
            os.kill(os.getpid(), 9)
        yield Technical(
            clip_id=unit.clip_id,
            luma=float(word) if word.isdigit() else 100.0,
            sharpness=100.0,
            motion=1 / 3,
            frozen_share=0.0,
            border_share=0.0,
            text_share=0.0,
            loudness_lufs=-20.0,
            peak=0.5,
            clipped_share=0.0,
            bandwidth_hz=4000.0,
        )


def toy_plan(diary: Path | None = None, seconds: float = 0.0, **thresholds: float) -> Plan:
    stages = [ReadText(), ClipPerWord(), Brightness(diary=str(diary or ""), seconds=seconds)]
    return Plan(chain(stages), Thresholds(**{"min_clip_seconds": 0.5, **thresholds}))


def toy_worker(input_folder: Path, output_folder: Path, diary: Path | None = None, seconds: float = 0.0) -> Worker:
    return Worker(toy_plan(diary, seconds), Ledger(output_folder), input_folder)


def write_sources(folder: Path, **texts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.mp4").write_text(text)
    return folder
