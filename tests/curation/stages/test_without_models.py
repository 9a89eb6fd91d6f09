"""Stages that need no model, each alone, on small clips that the tests make."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from iap_pipelines.curation.gates import judge_source
from iap_pipelines.curation.records import Clip, ClipTurn, DiarizedTurn, Shot, Track, TurnText, View
from iap_pipelines.curation.results import WrittenClip, WrittenView, WrittenVoice
from iap_pipelines.curation.stage import Known, SourceFile
from iap_pipelines.curation.stages.clips import CutClips, split_at_pauses
from iap_pipelines.curation.stages.describe import Describe, caption_task
from iap_pipelines.curation.stages.probe import Probe
from iap_pipelines.curation.stages.shots import FindShots
from iap_pipelines.curation.stages.technical import (
    ROWS,
    MeasureTechnical,
    bandwidth,
    loudness,
    picture_measures,
    sound_measures,
)
from iap_pipelines.curation.stages.write import Write, at_constant_rate, cut_head
from iap_pipelines.media import MediaError, export_to_av, iterate_frames, probe, read_audio, read_image, read_video
from iap_pipelines.types import AudioSamples, StructuredCaption
from tests.media.clips import moving_ramp, tone


FILE = SourceFile(source_id="abc", path="a.mp4", num_bytes=3)


BOX = (40.0, 20.0, 70.0, 60.0)
TRACK = Track(
    track_id="t",
    clip_id="clip",
    start_seconds=0.4,
    end_seconds=1.6,
    times=(0.4, 1.6),
    boxes=(BOX, BOX),
    points=((0.0,) * 10,) * 2,
    scores=(1.0, 1.0),
    face_pixels=40.0,
    center_x=0.4,
    clip_share=1.0,
    coherence=1.0,
    embedding=(1.0,),
)
VIEW = View(
    view_id="v",
    track_id="t",
    clip_id="clip",
    time_seconds=0.8,
    box=BOX,
    yaw_degrees=0.0,
    pitch_degrees=0.0,
    sharpness=1.0,
    luma=100.0,
    view_pixels=40.0,
    view_score=1.0,
    fingerprint="0" * 16,
)
TURN = ClipTurn(
    turn_id="u",
    clip_id="clip",
    speaker_id="s",
    track_id="t",
    match="matched",
    start_seconds=0.5,
    end_seconds=1.5,
    match_score=1.0,
    match_margin=None,
    embedding=None,
)


def _known(path, *records):
    found = {ClipTurn: [], View: [], Track: [], DiarizedTurn: []}
    for record in records:
        found.setdefault(type(record), []).append(record)
    return Known(path, FILE, found)


def _source(path):
    return next(iter(Probe().process(FILE, _known(path))))


def _clip(start, end):
    return Clip(
        clip_id="clip",
        source_id="abc",
        shot_id="shot",
        start_seconds=start,
        end_seconds=end,
        clip_seconds=end - start,
        speech_seconds=1.0,
        num_speakers=1,
    )


@pytest.fixture(scope="module")
def two_shots(tmp_path_factory):
    """Smooth motion, then other smooth motion from 1.2 s on; a tone."""
    ramp = moving_ramp(30)
    path = tmp_path_factory.mktemp("shots") / "a.mp4"
    frames = torch.cat([ramp, 255 - ramp.flip(2)[:20]])
    return export_to_av(frames, tone(2.0), path, frame_rate=25.0, sampling_rate=16000)


def test_probe_says_what_is_in_a_file(two_shots):
    source = _source(two_shots)
    assert (source.source_width, source.source_height, source.source_num_frames) == (128, 96, 50)
    assert source.duration_seconds == pytest.approx(2.0)
    assert judge_source(source) is None


@pytest.mark.parametrize(("name", "reason"), [("no_audio", "no_audio"), ("audio_only", "no_video")])
def test_what_lacks_pictures_or_sound_has_no_clips(shared, name, reason):
    assert judge_source(_source(shared / "media" / "bad" / f"{name}.mp4")).reason == reason


def test_damage_is_an_error_of_this_file(shared):
    with pytest.raises(MediaError):
        _source(shared / "media" / "bad" / "corrupt_middle.mp4")


def test_shots_begin_where_the_picture_changes(two_shots):
    stage = FindShots()
    stage.setup()
    shots = list(stage.process(FILE, _known(two_shots, _source(two_shots))))
    assert [(shot.start_seconds, shot.end_seconds) for shot in shots] == [(0.0, 1.2), (1.2, pytest.approx(2.0))]
    assert "scenedetect" in stage.models["detector"]


def test_the_shared_film_is_cut_where_its_labels_say(shared):
    path = shared / "media" / "composite" / "shots.mp4"
    shots = list(FindShots().process(FILE, _known(path, _source(path))))
    assert [shot.start_seconds for shot in shots] == pytest.approx([0.0, 4.0, 8.0, 12.5, 16.5], abs=1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_clips_cover_their_shot_and_are_short_enough(seed):
    generator = np.random.default_rng(seed)
    length = float(generator.uniform(1, 60))
    edges = np.sort(generator.uniform(0, length, 2 * int(generator.integers(0, 12))))
    speech = [(float(start), float(end)) for start, end in edges.reshape(-1, 2)]
    pieces = split_at_pauses((0.0, length), speech, 6.0, 10.5)
    assert pieces[0][0] == 0.0 and pieces[-1][1] == length
    assert all(end == start for (_, end), (start, _) in zip(pieces[:-1], pieces[1:], strict=True))
    assert all(0 < end - start <= 10.5 + 1e-9 for start, end in pieces)


def test_clips_end_at_pauses():
    pieces = split_at_pauses((0.0, 14.0), [(0.0, 5.0), (5.4, 8.0), (8.6, 14.0)], 6.0, 10.5)
    assert pieces == [(0.0, pytest.approx(8.3)), (pytest.approx(8.3), 14.0)]


def test_clips_know_who_is_heard():
    turn = functools.partial(DiarizedTurn, source_id="abc")
    turns = [
        turn(turn_id="1", speaker_id="x", start_seconds=0.5, end_seconds=1.5),
        turn(turn_id="2", speaker_id="y", start_seconds=1.0, end_seconds=2.5),
        turn(turn_id="3", speaker_id="x", start_seconds=3.5, end_seconds=9.0),
    ]
    shots = [
        Shot(shot_id=str(index), source_id="abc", shot_index=index, start_seconds=start, end_seconds=start + 3)
        for index, start in enumerate((0.0, 3.0))
    ]
    first, second = CutClips().process(FILE, _known("a.mp4", *shots, *turns))
    assert (first.speech_seconds, first.num_speakers) == (2.0, 2)
    assert (second.speech_seconds, second.num_speakers) == (2.5, 1)


def test_settings_that_cannot_be_are_found_before_the_first_video():
    with pytest.raises(ValueError, match="`target_seconds`"):
        CutClips(target_seconds=20.0).setup()


def _grey(num_frames=8):
    """Moving blurred noise, grey, `ROWS` high."""
    noise = torch.from_numpy(np.random.default_rng(0).normal(128, 60, (1, 1, 40, 80)).astype(np.float32))
    large = torch.nn.functional.interpolate(noise, (ROWS, 2 * ROWS), mode="bicubic")[0, 0].numpy()
    return [np.roll(large, 4 * index, axis=1).clip(0, 255).astype(np.uint8) for index in range(num_frames)]


def test_light_blur_and_motion_are_ordered():
    pictures = _grey()
    plain = picture_measures(pictures)
    dark = picture_measures([picture // 8 for picture in pictures])
    still = picture_measures(pictures[:1] * 8)
    soft = [np.asarray(Image.fromarray(p).resize((60, 30)).resize((2 * ROWS, ROWS))) for p in pictures]
    assert dark["luma"] == pytest.approx(plain["luma"] / 8, abs=1)
    assert picture_measures(soft)["sharpness"] < 0.5 * plain["sharpness"]
    assert (still["motion"], still["frozen_share"]) == (0.0, 1.0)
    assert plain["motion"] > 1 and plain["frozen_share"] == 0.0


def test_black_borders_are_measured_and_left_out():
    pictures = _grey()
    boxed = [np.pad(picture, ((40, 40), (0, 0))) for picture in pictures]
    measured, plain = picture_measures(boxed), picture_measures(pictures)
    assert measured["border_share"] == pytest.approx(80 / (ROWS + 80), abs=0.01)
    assert measured["luma"] == pytest.approx(plain["luma"], abs=0.5)
    assert plain["border_share"] == 0.0


def test_overlaid_text_is_found_and_a_picture_without_has_none():
    pictures = _grey()
    lines = []
    for picture in pictures:
        image = Image.fromarray(picture)
        draw = ImageDraw.Draw(image)
        draw.rectangle((20, 180, 460, 236), fill=0)
        for row in (182, 208):
            draw.text((30, row), "SUBSCRIBE NOW AND WIN A PRIZE", fill=255, font=ImageFont.load_default(24))
        lines.append(np.asarray(image))
    assert picture_measures(lines)["text_share"] > 0.08
    assert picture_measures(pictures)["text_share"] == 0.0


def test_sound_is_measured():
    time = torch.arange(32000) / 16000
    sound = AudioSamples((0.1 * torch.sin(2 * torch.pi * 997 * time))[None], 16000)
    # BS.1770: a sine of 997 Hz at full scale has -3.01 LUFS in one channel.
    assert loudness(sound) == pytest.approx(-23.01, abs=0.1)
    assert bandwidth(sound) == pytest.approx(997, abs=20)
    loud = sound_measures(AudioSamples((20 * sound.samples).clamp(-1, 1), 16000))
    assert loud["peak"] == 1.0 and loud["clipped_share"] > 0.5
    silent = sound_measures(AudioSamples(torch.zeros(1, 16000), 16000))
    assert silent["loudness_lufs"] is None and silent["bandwidth_hz"] is None and silent["peak"] == 0.0


def test_the_stage_measures_a_clip(two_shots):
    (measured,) = MeasureTechnical().process(_clip(0.0, 1.2), _known(two_shots))
    assert measured.loudness_lufs is not None and 30 < measured.luma < 220


@pytest.fixture
def talking(two_shots):
    """A clip of one person who says two words."""
    source = _source(two_shots)
    technical = MeasureTechnical().process(_clip(0.4, 1.6), _known(two_shots, source))
    text = TurnText(turn_id="u", clip_id="clip", text='red "apple"', words=())
    return _known(two_shots, source, *technical, TRACK, VIEW, TURN, text)


def test_a_kept_clip_is_described_by_what_was_measured(talking):
    stage = Describe()
    stage.setup()
    (caption,) = stage.process(_clip(0.4, 1.6), talking)
    assert (caption.clip_id, caption.caption_problem) == ("clip", None)
    read = StructuredCaption.parse(caption.caption)
    assert [line.text for line in read.lines] == ["red 'apple'"] and len(read.subjects) == 1
    assert caption.captioner == stage.models["captioner"] == "measured 1"


def test_a_captioner_is_given_pictures_and_the_sound_it_asks_for(talking):
    task = caption_task(_clip(0.4, 1.6), talking, 2, hears=True)
    assert [picture.shape for picture in task.pictures] == [(96, 128, 3)] * 2
    assert task.sound.sampling_rate == 16_000 and task.sound.duration_seconds == pytest.approx(1.2, abs=0.01)
    assert caption_task(_clip(0.4, 1.6), talking, 0).sound is None


def test_a_caption_that_does_not_fit_is_kept_out(talking, monkeypatch):
    stage = Describe()
    stage.setup()
    measured = stage._captioner.describe
    monkeypatch.setattr(stage._captioner, "describe", lambda task: replace(measured(task), lines=()))
    (caption,) = stage.process(_clip(0.4, 1.6), talking)
    assert caption.caption is None and "lines" in caption.caption_problem


@pytest.fixture
def written(two_shots, tmp_path):
    stage = Write(folder=str(tmp_path))
    later = replace(VIEW, view_id="w", time_seconds=1.0)
    known = _known(two_shots, _source(two_shots), TRACK, VIEW, later, TURN)
    return stage, known, list(stage.process(_clip(0.4, 1.6), known))


def test_a_clip_is_cut_to_the_picture_and_the_sample(written, two_shots, tmp_path):
    _, _, records = written
    (clip,) = [record for record in records if isinstance(record, WrittenClip)]
    info = probe(tmp_path / clip.file)
    assert (info.pictures.num_frames, info.pictures.frame_rate, info.sound.sampling_rate) == (30, 25.0, 16000)
    assert (clip.kind, clip.num_frames, clip.width, clip.height) == ("single_subject", 30, 128, 96)
    whole, sound = read_video(two_shots)
    cut, cut_sound = read_video(tmp_path / clip.file)
    difference = (cut.frames.float() - whole.frames[10:40].float()).abs().mean(dim=(1, 2, 3))
    assert difference.max() < 6, "encoded twice"
    expected = sound.samples[:, 6400 : 6400 + 19200]
    assert float((cut_sound.samples[:, :19200] - expected).abs().mean()) < 0.02


def test_faces_and_voices_are_files(written, two_shots, tmp_path):
    _, _, records = written
    views = [record for record in records if isinstance(record, WrittenView)]
    assert [view.view_id for view in views] == ["v", "w"]
    head = read_image(tmp_path / views[0].view_file)
    assert head.size == (72, 72), "1.8 times the longer side of the box"
    _, picture = next(iterate_frames(two_shots, start_seconds=0.8))
    np.testing.assert_array_equal(np.asarray(head), picture[4:76, 19:91])
    (voice,) = [record for record in records if isinstance(record, WrittenVoice)]
    sound = read_audio(tmp_path / voice.voice_file)
    assert (sound.num_samples, sound.sampling_rate) == (16000, 16000)


def test_writing_holds_until_a_file_is_deleted_and_gives_equal_bytes(written, tmp_path):
    stage, known, records = written
    assert stage.still_holds(records)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    (tmp_path / records[0].file).unlink()
    assert not stage.still_holds(records)
    assert list(stage.process(_clip(0.4, 1.6), known)) == records
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_the_folder_is_no_setting():
    assert Write(folder="a").settings() == Write(folder="b").settings()
    assert "short_side" in Write().settings()


def test_a_constant_rate_shows_what_is_on_screen():
    pictures = [(1.0, "a"), (1.1, "b"), (1.5, "c")]
    shown = list(at_constant_rate(iter(pictures), 1.0, 10.0, 8))
    assert shown == ["a", "b", "b", "b", "b", "c", "c", "c"]
    assert list(at_constant_rate(iter(pictures), 0.8, 10.0, 3)) == ["a", "a", "a"]


@pytest.mark.parametrize("box", [(-30.0, -30.0, 40.0, 40.0), (90.0, 60.0, 140.0, 110.0), (0.0, 0.0, 128.0, 96.0)])
def test_heads_stay_inside_of_the_picture(box):
    head = cut_head(np.zeros((96, 128, 3), np.uint8), box, 1.8, 512)
    assert head.width == head.height <= 96
    assert cut_head(np.zeros((96, 128, 3), np.uint8), box, 1.8, 32).size == (32, 32)
