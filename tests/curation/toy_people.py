"""Toy clips with people in them: one word of a text file per clip.

``ada``, ``ben``, ``cy`` are seen and heard; ``ada+ben`` are seen together and take turns; ``ada/ben`` is Ada's face
with Ben's voice; ``ada-`` is seen but never heard; ``nobody`` is empty; ``raise`` is an error.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from iap_pipelines.curation.gates import Thresholds
from iap_pipelines.curation.records import (
    Caption,
    Clip,
    ClipFaces,
    ClipMatch,
    ClipTurn,
    Record,
    Shot,
    Technical,
    Track,
    TrackSync,
    Transcript,
    TurnText,
    View,
    Word,
    content_id,
)
from iap_pipelines.curation.results import WrittenClip, WrittenView, WrittenVoice
from iap_pipelines.curation.stage import Known, Stage, chain
from iap_pipelines.curation.walk import Plan
from tests.curation.toys import ClipPerWord, ReadText


def embedding(name: str, clip: str, size: int, noise: float = 0.15) -> tuple[float, ...]:
    """The face or voice of a person as it comes out in a clip."""
    own = np.random.default_rng(int(hashlib.sha256(f"{name}{size}".encode()).hexdigest()[:8], 16))
    here = np.random.default_rng(int(hashlib.sha256(f"{name}{clip}{size}".encode()).hexdigest()[:8], 16))
    vector = own.standard_normal(size) + noise * here.standard_normal(size)
    return tuple((vector / np.linalg.norm(vector)).tolist())


@dataclass(kw_only=True)
class MeetPeople(Stage):
    """All that the stages between clips and files would find."""

    name = "people"
    reads = (Shot,)
    adds = (
        Technical, Track, View, ClipFaces, ClipTurn, TrackSync, ClipMatch, TurnText, Transcript, Caption,
    )  # fmt: skip

    def process(self, unit: Clip, known: Known) -> Iterable[Record]:
        index = known.one(Shot, shot_id=unit.shot_id).shot_index
        word = known.file.read_text().split()[index]
        if word == "raise":
            raise RuntimeError("told to raise")
        yield _technical(unit.clip_id)
        people = [] if word == "nobody" else word.split("+")
        sync = []
        for place, person in enumerate(people):
            face, _, voice = person.rstrip("-?").partition("/")
            track_id = content_id(unit.clip_id, "track", place)
            yield _track(unit, track_id, face, (place + 0.5) / len(people))
            yield from _views(unit, track_id, face)
            if person.endswith("-"):
                continue
            verdict = "unconfirmed" if person.endswith("?") else "matched"
            turn_id = content_id(unit.clip_id, "turn", place)
            turn = _turn(unit, turn_id, track_id, voice or face, place, len(people))
            yield replace(turn, match=verdict)
            words = (Word(text=face, start_seconds=unit.start_seconds, end_seconds=unit.end_seconds, probability=0.9),)
            yield TurnText(turn_id=turn_id, clip_id=unit.clip_id, text=f"{face} {unit.start_seconds:g}", words=words)
            score = 0.2 if voice else 0.5
            sync.append(score)
            yield TrackSync(
                track_id=track_id,
                clip_id=unit.clip_id,
                sync_score=score,
                sync_score_in_place=score,
                sync_offset_seconds=0.0,
                sync_confidence=score,
                sync_seconds=1.0,
            )
        yield _clip_faces(unit, len(people))
        yield _clip_match(unit, sync)
        yield Transcript(
            clip_id=unit.clip_id,
            transcript=word,
            num_words=1,
            word_probability=0.9,
            words_per_second=1.0,
            unassigned_share=0.0,
        )
        yield Caption(clip_id=unit.clip_id, caption="Scene: toy.", captioner="toy 1", caption_problem=None)


@dataclass(kw_only=True)
class WriteToys(Stage):
    name = "write"
    reads = (Track, View, ClipTurn)
    adds = (WrittenClip, WrittenView, WrittenVoice)
    only_kept = True
    folder: str

    def settings(self) -> dict:
        return {}

    def still_holds(self, records) -> bool:
        names = [getattr(record, name) for record in records for name in _FILES if hasattr(record, name)]
        return all((Path(self.folder) / name).is_file() for name in names)

    def process(self, unit: Clip, known: Known) -> Iterable[Record]:
        for name in ("clips", "views", "voices"):
            (Path(self.folder) / "media" / name).mkdir(parents=True, exist_ok=True)
        count = len(known.all(Track, clip_id=unit.clip_id))
        file = f"media/clips/{unit.clip_id}.mp4"
        (Path(self.folder) / file).write_bytes(b"clip")
        yield WrittenClip(
            clip_id=unit.clip_id,
            kind="single_subject" if count == 1 else "multi_subject",
            file=file,
            width=64,
            height=48,
            num_frames=25,
            frame_rate=25.0,
            sampling_rate=16000,
        )
        for view in known.all(View, clip_id=unit.clip_id):
            file = f"media/views/{view.view_id}.png"
            Image.new("RGB", (8, 8), "red").save(Path(self.folder) / file)
            yield WrittenView(view_id=view.view_id, view_file=file, file_pixels=8)
        for turn in known.all(ClipTurn, clip_id=unit.clip_id):
            file = f"media/voices/{turn.turn_id}.flac"
            (Path(self.folder) / file).write_bytes(b"voice")
            yield WrittenVoice(turn_id=turn.turn_id, voice_file=file, voice_seconds=1.0, voice_sampling_rate=16000)


_FILES = ("file", "view_file", "voice_file")


def people_plan(output: Path, **thresholds: float) -> Plan:
    stages = [ReadText(), ClipPerWord(), MeetPeople(), WriteToys(folder=str(output))]
    return Plan(chain(stages), Thresholds(**{"min_clip_seconds": 0.5, **thresholds}))


def _technical(clip_id: str) -> Technical:
    return Technical(
        clip_id=clip_id,
        luma=100.0,
        sharpness=100.0,
        motion=3.0,
        frozen_share=0.0,
        border_share=0.0,
        text_share=0.0,
        loudness_lufs=-20.0,
        peak=0.5,
        clipped_share=0.0,
        bandwidth_hz=4000.0,
    )


def _track(clip: Clip, track_id: str, face: str, center_x: float) -> Track:
    return Track(
        track_id=track_id,
        clip_id=clip.clip_id,
        start_seconds=clip.start_seconds,
        end_seconds=clip.end_seconds,
        times=(clip.start_seconds, clip.end_seconds),
        boxes=((0.0, 0.0, 9.0, 9.0),) * 2,
        points=((0.0,) * 10,) * 2,
        scores=(1.0, 1.0),
        face_pixels=100.0,
        center_x=center_x,
        clip_share=1.0,
        coherence=0.9,
        embedding=embedding(face, clip.clip_id, 128),
    )


def _views(clip: Clip, track_id: str, face: str) -> Iterable[View]:
    for number in range(2):
        view_id = content_id(track_id, "view", number)
        yield View(
            view_id=view_id,
            track_id=track_id,
            clip_id=clip.clip_id,
            time_seconds=clip.start_seconds + number / 2,
            box=(0.0, 0.0, 9.0, 9.0),
            yaw_degrees=30.0 * number,
            pitch_degrees=0.0,
            sharpness=100.0,
            luma=100.0,
            view_pixels=100.0,
            view_score=0.5,
            fingerprint=hashlib.sha256(view_id.encode()).hexdigest()[:16],
        )


def _turn(clip: Clip, turn_id: str, track_id: str, voice: str, place: int, count: int) -> ClipTurn:
    start = clip.start_seconds + place * clip.clip_seconds / count
    return ClipTurn(
        turn_id=turn_id,
        clip_id=clip.clip_id,
        speaker_id=f"speaker-{place}",
        track_id=track_id,
        match="matched",
        start_seconds=start,
        end_seconds=start + clip.clip_seconds / count,
        match_score=0.5,
        match_margin=None,
        embedding=embedding(voice, clip.clip_id, 192),
    )


def _clip_faces(clip: Clip, count: int) -> ClipFaces:
    return ClipFaces(
        clip_id=clip.clip_id,
        num_tracks=count,
        num_faces=count,
        face_share=float(count > 0),
        steady_share=1.0 if count else None,
        smallest_face_pixels=100.0 if count else None,
        face_sharpness=100.0 if count else None,
        face_luma=100.0 if count else None,
        missed_cut_seconds=None,
    )


def _clip_match(clip: Clip, sync: list[float]) -> ClipMatch:
    return ClipMatch(
        clip_id=clip.clip_id,
        num_speaking=len(sync),
        matched_share=1.0,
        offscreen_share=0.0,
        dubbed_share=0.0,
        unconfirmed_share=None,
        late_share=0.0,
        ambiguous_share=0.0,
        sync_score=min(sync, default=None),
        sync_score_in_place=min(sync, default=None),
        sync_offset_seconds=0.0 if sync else None,
    )
