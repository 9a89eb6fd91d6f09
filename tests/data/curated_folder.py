"""The output folder of a curation, small: true records, true files, invented measurements."""

from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

from iap_pipelines.curation.records import (
    Caption,
    Clip,
    ClipFaces,
    ClipMatch,
    ClipTurn,
    Source,
    Technical,
    Track,
    TrackSync,
    Transcript,
    TurnText,
    View,
    Word,
)
from iap_pipelines.curation.results import (
    ClipSubject,
    Identity,
    MultiView,
    Reference,
    Reject,
    Verdict,
    WrittenClip,
    WrittenView,
    WrittenVoice,
    to_table,
)
from iap_pipelines.media import export_sound, write_video
from iap_pipelines.types import AudioSamples, SpokenLine, StructuredCaption, SubjectDescription


WIDTH, HEIGHT, NUM_FRAMES, FRAME_RATE, SAMPLING_RATE = 64, 48, 20, 10.0, 16_000
START_SECONDS = 3.0
"""of every clip, on the clock of its source"""
CLIPS = (("ada",), ("ada",), ("ada", "ben"), ("cy",), ("cy",), ("dot",), ("eve",), ("eve", "fay"))
"""who is in each clip; every clip has a source of its own"""


def write_curated_folder(folder: Path, clips=CLIPS, *, sources=None) -> Path:
    """Write tables and media.

    Args:
        folder: of the result.
        clips: names of the people in each clip, from left to right. The last of several does not speak.
        sources: the source of each clip; `None` gives each its own.
    """
    rows = defaultdict(list)
    for index, people in enumerate(clips):
        _add_clip(folder, rows, index, people, (sources or [f"source-{i}" for i in range(len(clips))])[index])
    _add_people(rows)
    reject = Reject(
        record_id="source-bad",
        level="source",
        stage="gate",
        kind="rejected",
        reason="no_audio",
        verdicts=(Verdict(reason="no_audio", value=None, threshold=None),),
    )
    rows["rejects"].append((reject,))
    (folder / "tables").mkdir(parents=True)
    for name in (
        "clips",
        "subjects",
        "tracks",
        "views",
        "turns",
        "identities",
        "references",
        "multi_views",
        "rejects",
    ):
        pq.write_table(to_table(name, rows[name]), folder / "tables" / f"{name}.parquet")
    return folder


def _add_clip(folder, rows, index, people, source_id):
    clip_id = f"clip-{index}"
    generator = np.random.default_rng(index)
    file = folder / f"media/clips/{clip_id}.mp4"
    file.parent.mkdir(parents=True, exist_ok=True)
    seconds = NUM_FRAMES / FRAME_RATE
    pictures = np.broadcast_to(
        generator.integers(0, 256, (1, HEIGHT, WIDTH, 3), np.uint8), (NUM_FRAMES, HEIGHT, WIDTH, 3)
    )
    samples = generator.uniform(-0.3, 0.3, (1, round(seconds * SAMPLING_RATE))).astype(np.float32)
    write_video(np.ascontiguousarray(pictures), samples, file, frame_rate=FRAME_RATE, sampling_rate=SAMPLING_RATE)
    caption = StructuredCaption(
        "green room",
        tuple(
            SubjectDescription(f"person called {name}", "left" if k == 0 else "right") for k, name in enumerate(people)
        ),
        (SpokenLine(1, "red apple"),),
        "quiet",
    )
    source = Source(
        source_id=source_id, path=f"{source_id}.mp4", num_bytes=1, source_width=WIDTH, source_height=HEIGHT
    )
    clip = Clip(
        clip_id=clip_id,
        source_id=source_id,
        shot_id=f"{clip_id}-shot",
        start_seconds=START_SECONDS,
        end_seconds=START_SECONDS + seconds,
        clip_seconds=seconds,
        speech_seconds=1.2,
        num_speakers=1,
    )
    written = _filled(
        WrittenClip,
        clip_id=clip_id,
        kind="single_subject" if len(people) == 1 else "multi_subject",
        file=f"media/clips/{clip_id}.mp4",
        width=WIDTH,
        height=HEIGHT,
        num_frames=NUM_FRAMES,
        frame_rate=FRAME_RATE,
        sampling_rate=SAMPLING_RATE,
    )
    measurements = (
        _filled(
Technical,
            clip_id=clip_id, luma=float(100 + index), sharpness=200.0, motion=3.0, frozen_share=0.0, border_share=0.0,
            text_share=0.0, loudness_lufs=-20.0, peak=0.3, clipped_share=0.0, bandwidth_hz=7000.0,
        ),
        _filled(
ClipFaces,
            clip_id=clip_id, num_tracks=len(people), num_faces=len(people), face_share=1.0, steady_share=1.0,
            smallest_face_pixels=16.0, face_sharpness=100.0, face_luma=100.0, missed_cut_seconds=None,
        ),
        _filled(
ClipMatch,
            clip_id=clip_id, num_speaking=1, matched_share=1.0, offscreen_share=0.0, ambiguous_share=0.0,
            sync_score=0.5, sync_score_in_place=0.5, sync_offset_seconds=0.04,
        ),
        _filled(
Transcript,
            clip_id=clip_id, transcript="red apple", num_words=2, word_probability=0.9, words_per_second=2.0,
            unassigned_share=0.0,
        ),
        Caption(clip_id=clip_id, caption=caption.render(), captioner="by hand", caption_problem=None),
    )  # fmt: skip
    rows["clips"].append((clip, written, source, *measurements))
    for position, name in enumerate(people):
        _add_subject(folder, rows, clip, position, name, is_speaker=position == 0)


def _add_subject(folder, rows, clip, position, name, *, is_speaker):
    track_id, view_id, turn_id = (f"{clip.clip_id}-{kind}-{name}" for kind in ("track", "view", "turn"))
    times = tuple(START_SECONDS + f / FRAME_RATE for f in range(NUM_FRAMES))
    left = 8.0 + 32 * position
    rows["tracks"].append((Track(**_track_values(track_id, clip.clip_id, times, left)),))
    view_file = f"media/views/{view_id}.png"
    pixels = np.random.default_rng(len(rows["views"])).integers(0, 256, (24, 24, 3), np.uint8)
    (folder / view_file).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / view_file)
    view = _filled(
View,
        view_id=view_id, track_id=track_id, clip_id=clip.clip_id, time_seconds=START_SECONDS + 1,
        box=(left, 8.0, left + 16, 24.0),
        yaw_degrees=5.0, pitch_degrees=0.0, sharpness=100.0, luma=100.0, view_pixels=16.0, view_score=0.8,
        fingerprint="00", embedding=(1.0, 0.0),
    )  # fmt: skip
    rows["views"].append((view, _filled(WrittenView, view_id=view_id, view_file=view_file, file_pixels=24)))
    if is_speaker:
        _add_turn(folder, rows, clip, track_id, turn_id)
    subject = ClipSubject(
        subject_id=f"{clip.clip_id}-{name}", clip_id=clip.clip_id, source_id=clip.source_id, number=position + 1,
        track_id=track_id, identity_id=name, role="speaker" if is_speaker else "listener", position=None,
        speech_seconds=1.2 if is_speaker else 0.0, match_score=0.9 if is_speaker else None, match_margin=None,
        face_embedding=(1.0, 0.0), voice_embedding=(0.0, 1.0) if is_speaker else None, view_id=view_id,
        turn_id=turn_id if is_speaker else None,
    )  # fmt: skip
    sync = _filled(
TrackSync,
        track_id=track_id, clip_id=clip.clip_id, sync_score=0.5, sync_score_in_place=0.5, sync_offset_seconds=0.04,
        sync_seconds=1.2,
    )  # fmt: skip
    rows["subjects"].append((subject, sync if is_speaker else None))


def _track_values(track_id, clip_id, times, left):
    """For every field of the record; fields that this does not know are lists of zeros."""
    known = {
        "track_id": track_id, "clip_id": clip_id, "start_seconds": times[0], "end_seconds": times[-1], "times": times,
        "boxes": ((left, 8.0, left + 16.0, 24.0),) * len(times), "detection_score": 0.9, "face_pixels": 16.0,
        "center_x": left / WIDTH, "clip_share": 1.0, "coherence": 0.9, "embedding": (1.0, 0.0),
        "points": ((0.0,) * 10,) * len(times),
    }  # fmt: skip
    return {name: known.get(name, (0.0,) * len(times)) for name in (item.name for item in fields(Track))}


def _add_turn(folder, rows, clip, track_id, turn_id):
    voice_file = f"media/voices/{turn_id}.flac"
    (folder / voice_file).parent.mkdir(parents=True, exist_ok=True)
    samples = torch.from_numpy(np.random.default_rng(7).uniform(-0.2, 0.2, (1, 19_200)).astype(np.float32))
    export_sound(AudioSamples(samples, SAMPLING_RATE), folder / voice_file)
    turn = _filled(
ClipTurn,
        turn_id=turn_id, clip_id=clip.clip_id, speaker_id=f"{turn_id}-voice", track_id=track_id, match="matched",
        start_seconds=START_SECONDS + 0.2, end_seconds=START_SECONDS + 1.4, match_score=0.9, match_margin=None,
        embedding=(0.0, 1.0),
    )  # fmt: skip
    words = tuple(
        Word(text=text, start_seconds=START_SECONDS + start, end_seconds=START_SECONDS + start + 0.5, probability=0.9)
        for text, start in (("red", 0.2), ("apple", 0.9))
    )
    text = TurnText(turn_id=turn_id, clip_id=clip.clip_id, text="red apple", words=words)
    voice = WrittenVoice(turn_id=turn_id, voice_file=voice_file, voice_seconds=1.2, voice_sampling_rate=SAMPLING_RATE)
    rows["turns"].append((turn, text, voice))


def _filled(record, **values):
    """A record whose other fields are 0."""
    return record(**{name: values.get(name, 0.0) for name in (item.name for item in fields(record))})


def _add_people(rows):
    appearances = defaultdict(list)
    for subject, _ in rows["subjects"]:
        appearances[subject.identity_id].append(subject)
    for name, subjects in appearances.items():
        turns = [subject.turn_id for subject in subjects if subject.turn_id]
        identity = Identity(
            identity_id=name, subject_ids=tuple(subject.subject_id for subject in subjects), num_clips=len(subjects),
            num_sources=len({subject.source_id for subject in subjects}), voice_seconds=1.2 * len(turns),
            face_coherence=0.9, voice_coherence=0.8 if turns else None, face_embedding=(1.0, 0.0),
            voice_embedding=(0.0, 1.0) if turns else None, view_id=subjects[0].view_id,
            turn_id=turns[0] if turns else None,
        )  # fmt: skip
        rows["identities"].append((identity,))
        if len(subjects) > 1:
            views = tuple(subject.view_id for subject in subjects)
            rows["multi_views"].append(
                (
                    MultiView(
                        identity_id=name,
                        view_ids=views,
                        turn_ids=tuple(turns),
                        clip_ids=tuple(s.clip_id for s in subjects),
                        yaw_degrees=(5.0,) * len(views),
                    ),
                )
            )
        for subject in subjects:
            others = [other for other in subjects if other is not subject]
            for modality in ("face", "voice"):
                _add_references(rows, subject, modality, others)


def _add_references(rows, subject, modality, others):
    """From other clips; from the same one when the person has no other."""
    scope = "other_source" if others else "same_clip"
    origins = [origin for origin in others or [subject] if modality == "face" or origin.turn_id]
    for rank, origin in enumerate(origins):
        reference = Reference(
            reference_id=f"{subject.subject_id}-{modality}-{rank}", clip_id=subject.clip_id,
            subject_id=subject.subject_id, identity_id=subject.identity_id, modality=modality, scope=scope,
            from_clip_id=origin.clip_id,
            from_source_id=origin.source_id, view_id=origin.view_id if modality == "face" else None,
            turn_id=origin.turn_id if modality == "voice" else None, similarity=0.7,
            yaw_difference=0.0 if modality == "face" else None, rank=rank,
        )  # fmt: skip
        rows["references"].append((reference,))
