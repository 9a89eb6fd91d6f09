"""Subjects, views and turns that tests make up."""

import numpy as np

from iap_pipelines.curation.records import ClipTurn, View
from iap_pipelines.curation.results import ClipSubject


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def make_subject(name: str, clip: str, *, face: np.ndarray, voice: np.ndarray | None, source: str = "") -> ClipSubject:
    return ClipSubject(
        subject_id=name,
        clip_id=clip,
        source_id=source or f"source-of-{clip}",
        number=1,
        track_id=f"track-{name}",
        identity_id=name,
        role="listener" if voice is None else "speaker",
        position=None,
        speech_seconds=0.0 if voice is None else 2.0,
        match_score=None,
        match_margin=None,
        face_embedding=tuple(unit(face).tolist()),
        voice_embedding=None if voice is None else tuple(unit(voice).tolist()),
        view_id=None,
        turn_id=None,
    )


def make_view(name: str, subject: ClipSubject, *, score: float = 0.5, fingerprint: int = 0, yaw: float = 0.0) -> View:
    return View(
        view_id=name,
        track_id=subject.track_id,
        clip_id=subject.clip_id,
        time_seconds=0.0,
        box=(0.0, 0.0, 10.0, 10.0),
        yaw_degrees=yaw,
        pitch_degrees=0.0,
        sharpness=100.0,
        luma=100.0,
        view_pixels=100.0,
        view_score=score,
        fingerprint=f"{fingerprint:016x}",
    )


def make_turn(name: str, subject: ClipSubject, *, seconds: float = 2.0, embedded: bool = True) -> ClipTurn:
    return ClipTurn(
        turn_id=name,
        clip_id=subject.clip_id,
        speaker_id="s",
        track_id=subject.track_id,
        match="matched",
        start_seconds=0.0,
        end_seconds=seconds,
        match_score=0.5,
        match_margin=None,
        embedding=subject.voice_embedding if embedded else None,
    )


def make_population(
    seed: int,
    num_people: int = 12,
    num_clips: int = 30,
    face_noise: float = 0.35,
    voice_noise: float = 0.35,
    in_common: float = 0.0,
) -> tuple[list[ClipSubject], list[int]]:
    """Random people in random clips of one to three; returns subjects and who each of them is.

    ``in_common`` is the length of what all faces share, beside their own part of length 1.
    """
    generator = np.random.default_rng(seed)
    faces, voices = generator.standard_normal((num_people, 32)), generator.standard_normal((num_people, 16))
    faces, voices = (np.array([unit(row) for row in rows]) for rows in (faces, voices))
    faces[:, 0] += in_common
    subjects, truth = [], []
    for clip in range(num_clips):
        for place, person in enumerate(generator.choice(num_people, generator.integers(1, 4), replace=False).tolist()):
            face = faces[person] + face_noise * generator.standard_normal(32) / np.sqrt(32)
            voice = voices[person] + voice_noise * generator.standard_normal(16) / 4
            name = f"{clip:03d}-{place}"
            is_heard = generator.random() < 0.8
            subjects.append(make_subject(name, f"clip-{clip}", face=face, voice=voice if is_heard else None))
            truth.append(person)
    return subjects, truth
