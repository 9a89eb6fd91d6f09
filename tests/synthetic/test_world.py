from dataclasses import replace

import numpy as np
import pytest

from iap_pipelines.synthetic import World, WorldConfig, caption_words
from iap_pipelines.types import StructuredCaption


def clips(world, num_people):
    return [index for index in range(world.config.num_clips) if world.num_people(index) == num_people]


def test_a_clip_is_a_function_of_its_number(world):
    first, second = world.render_clip(5), World(world.config, world.bank).render_clip(5)
    assert np.array_equal(first.frames, second.frames)
    assert np.array_equal(first.samples, second.samples)
    assert first.record == second.record == world.describe_clip(5)


def test_two_clips_of_one_person_differ(world):
    index = clips(world, 1)[0]
    assert not np.array_equal(world.render_clip(index).frames, world.render_clip(index + 1).frames)


def test_shapes_are_as_recorded(world):
    for num_people in (1, 2):
        clip = world.render_clip(clips(world, num_people)[0])
        record = clip.record
        assert clip.frames.shape == (record["num_frames"], record["height"], record["width"], 3)
        assert len(clip.samples) == record["num_frames"] / record["frame_rate"] * record["sampling_rate"]
        assert clip.mouth_opening.shape == clip.yaw.shape == (record["num_frames"], num_people)
        assert clip.face_box.shape == (record["num_frames"], num_people, 4)


def test_splits_share_nobody(world):
    groups = [set(world.identities(split)) for split in ("train", "validation", "test")]
    assert [len(group) for group in groups] == [6, 2, 2]
    assert set.union(*groups) == set(range(10))
    for index in range(world.config.num_clips):
        record = world.describe_clip(index)
        for subject in record["subjects"]:
            assert world.split_of(int(subject["identity"][3:])) == record["split"]


def test_captions_say_what_the_record_says(world):
    for index in range(world.config.num_clips):
        record = world.describe_clip(index)
        caption = StructuredCaption.parse(record["caption"])
        assert caption.render() == record["caption"]
        assert caption.scene == record["scene"]
        assert [subject.position for subject in caption.subjects] == [
            subject["side"] for subject in record["subjects"]
        ]
        assert [(line.subject, line.text) for line in caption.lines] == [
            (line["subject"], line["text"]) for line in record["lines"]
        ]


def test_a_tokenizer_can_know_every_caption(world):
    known = set(caption_words())
    for index in range(world.config.num_clips):
        caption = StructuredCaption.parse(world.describe_clip(index)["caption"])
        texts = [caption.scene, *(line.text for line in caption.lines), *(s.appearance for s in caption.subjects)]
        assert {word for text in texts for word in text.split()} <= known


def test_mouths_follow_the_sound(world):
    """One person: opening and loudness of the clip's own sound rise and fall together."""
    for index in clips(world, 1)[:6]:
        clip = world.render_clip(index)
        frames = clip.samples[: 25 * 1280].reshape(25, 1280)
        loudness = np.sqrt((frames**2).mean(1))
        assert np.corrcoef(loudness, clip.mouth_opening[:, 0])[0, 1] > 0.8


def test_only_the_speaker_opens_the_mouth(world):
    for index in clips(world, 2)[:6]:
        clip = world.render_clip(index)
        for line in clip.record["lines"]:
            first, last = int(np.ceil(line["start"] * 12.5)), int(line["end"] * 12.5)
            speaker = line["subject"] - 1
            assert clip.mouth_opening[first:last, speaker].max() > 0.3
            assert not clip.mouth_opening[first:last, 1 - speaker].any()


def test_the_speaking_side_moves_more(world):
    """In the pixels: the lower face of who speaks changes more than that of who listens."""
    right = []
    for index in clips(world, 2)[:8]:
        clip = world.render_clip(index)
        change = np.stack([_lower_face_change(clip, side) for side in (0, 1)])
        for line in clip.record["lines"]:
            window = slice(int(line["start"] * 12.5), int(line["end"] * 12.5))
            spoken, heard = change[line["subject"] - 1, window].mean(), change[2 - line["subject"], window].mean()
            right.append(spoken > heard)
    assert np.mean(right) >= 0.8


def _lower_face_change(clip, side):
    left, top, right, bottom = clip.face_box[:, side].mean(0).astype(int)
    middle, quarter = (top + 2 * bottom) // 3, (right - left) // 4
    region = clip.frames[:, middle:bottom, left + quarter : right - quarter].astype(float)
    return np.abs(np.diff(region, axis=0)).mean((1, 2, 3))


def test_left_is_left(world):
    for index in clips(world, 2)[:4]:
        clip = world.render_clip(index)
        centres = clip.face_box[:, :, [0, 2]].mean((0, 2))
        assert centres[0] < clip.record["width"] / 2 < centres[1]


def test_references_show_one_person_in_other_clothes(world):
    views = [world.render_face(0, view).astype(float) for view in range(5)]
    assert all(view.shape == (48, 48, 3) for view in views)
    assert all(np.abs(a - b).mean() > 3 for i, a in enumerate(views) for b in views[:i])


def test_reference_voices_are_two_seconds_of_different_words(world):
    first, second = world.speak_reference(0, 0), world.speak_reference(0, 1)
    assert first.shape == second.shape == (32_000,)
    assert np.abs(first - second).mean() > 0.01


def test_each_identity_leads_as_many_clips(world):
    kinds = [[world.num_people(i * 4 + k) for k in range(4)] for i in range(10)]
    assert all(kind == [2, 2, 1, 1] for kind in kinds)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("height", 50),
        ("two_person_share", 1.5),
        ("voice_backend", "flite"),
        ("num_identities", 0),
        ("frame_rate", 0.0),
    ],
)
def test_wrong_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"`{setting}`"):
        WorldConfig(**{setting: value})


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match="speed_of_light"):
        WorldConfig.from_dict({"speed_of_light": 1})


def test_sound_needs_a_bank(world):
    with pytest.raises(ValueError, match="`bank`"):
        World(world.config).render_clip(0)


def test_more_lines_are_said_in_a_row(world):
    world = World(replace(world.config, lines_per_turn=3, num_frames=75), world.bank)
    for index in clips(world, 2)[:4]:
        subjects = [line["subject"] for line in world.describe_clip(index)["lines"]]
        assert len(subjects) == 6 and len(set(subjects[:3])) == len(set(subjects[3:])) == 1
        assert subjects[0] != subjects[3]
