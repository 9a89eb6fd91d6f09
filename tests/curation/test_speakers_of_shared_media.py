"""Who speaks in real clips, by the embedded models and the pure algorithms alone.

The table of all files is printed by `python -m benchmarks.curation_media`; here are the cases that must never break.
The embedded lip-sync weights were fitted on these people among others; README.md of `perception` says what strangers
get.
"""

import csv

import pytest

from iap_pipelines.curation.face_clips import follow_faces
from iap_pipelines.curation.matching import TalkingTrack, match_turns
from iap_pipelines.curation.speech import diarize
from iap_pipelines.media import iterate_frames, read_sound
from iap_pipelines.perception import backends
from iap_pipelines.perception.mouth import measure_mouth


CHANGE_SECONDS = 0.3

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def media(shared):
    folder = shared / "media"
    if not folder.is_dir():
        pytest.skip("needs ../shared/media, not part of the repository")
    return folder


def speakers_of(path):
    """The matches of a clip of one shot, and the middle of each face (0 left, 1 right)."""
    audio = read_sound(path)
    speech = backends.load_voice_activity_detector().find_speech(audio)
    voices = diarize(audio, speech, backends.load_voice_embedder())
    followed = follow_faces(
        lambda: iterate_frames(path), backends.load_face_detector(), backends.load_face_landmarker()
    )
    lip_sync = backends.load_lip_sync_model()
    tracks = [TalkingTrack(measure_mouth(face), lip_sync.compare(face, audio)) for _, face in followed]
    width = next(iterate_frames(path))[1].shape[1]
    matches = match_turns(voices.turns, tracks, voices.voices)
    return matches, [track.center[0] / width for track, _ in followed]


@pytest.mark.parametrize("name", ["turns_still", "turns_moving"])
def test_both_people_get_their_own_lines(media, name):
    matches, places = speakers_of(media / f"composite/{name}.mp4")
    with open(media / "labels.csv", newline="", encoding="utf-8") as file:
        truth = [row for row in csv.DictReader(file) if row["file"] == f"composite/{name}.mp4"]
    checked = 0
    for step in range(1000):
        time = step / 100
        inside = [row for row in truth if float(row["start"]) <= time < float(row["end"])]
        near_change = min(abs(time - float(row["start"])) for row in truth[1:]) <= CHANGE_SECONDS
        speaking = [match for match in matches if match.turn.start <= time < match.turn.end]
        if not inside or near_change or not speaking:
            continue
        (match,) = speaking
        assert match.track is not None, (time, match.verdict)
        assert ("left" if places[match.track] < 0.5 else "right") == inside[0]["side"], time
        checked += 1
    assert checked > 600


@pytest.mark.parametrize("name", ["wrong_voice", "late_audio_400ms"])
def test_what_is_no_match(media, name):
    matches, _ = speakers_of(media / f"composite/{name}.mp4")
    verdicts = {match.verdict for match in matches}
    if name == "wrong_voice":
        assert verdicts <= {"dubbed", "unconfirmed", "off_screen"}
    else:
        assert verdicts == {"late"}
        assert all(abs(match.sync.offset - 0.4) <= 0.08 for match in matches)


def test_a_dubbed_clip_is_not_accepted(media):
    matches, _ = speakers_of(media / "video/b_scene2_dubbed.mp4")
    assert matches
    assert {match.verdict for match in matches} <= {"dubbed", "unconfirmed"}, "nobody confirms it"


@pytest.mark.parametrize("name", ["a_calm.mp4", "f.mp4"])
def test_a_genuine_clip_is_accepted(media, name):
    matches, _ = speakers_of(media / "video" / name)
    assert {match.verdict for match in matches} == {"matched"}


def test_who_speaks_of_two_who_are_seen(media):
    matches, places = speakers_of(media / "video/gh_two_men.mp4")
    assert {places[match.track] < 0.5 for match in matches} == {True}
