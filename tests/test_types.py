import pickle
import random

import pytest
import torch
from PIL import Image

from iap_pipelines.types import (
    AudioSamples,
    SpokenLine,
    StructuredCaption,
    Subject,
    SubjectDescription,
    VideoFrames,
    caption_anchors,
)


CAPTION = StructuredCaption(
    scene="green room",
    subjects=(
        SubjectDescription("woman with red hair", "left"),
        SubjectDescription("man with round glasses", "right"),
    ),
    lines=(SpokenLine(1, "red apple"), SpokenLine(2, "blue bird")),
    sounds="quiet",
)
RENDERED = (
    "Scene: green room. <S1>: left, woman with red hair. <S2>: right, man with round glasses. "
    '<S1> says: "red apple". <S2> says: "blue bird". Sounds: quiet.'
)


# --- Frames and samples ------------------------------------------------------------------------------------------


def test_video_frames_know_their_size_and_duration():
    video = VideoFrames(torch.zeros(25, 96, 128, 3, dtype=torch.uint8), 12.5)
    assert (video.num_frames, video.height, video.width, video.duration_seconds) == (25, 96, 128, 2.0)


@pytest.mark.parametrize(
    ("frames", "frame_rate", "named"),
    [
        (torch.zeros(2, 4, 4, 3), 25, "`frames`"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), 25, "`frames`"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), 25, "`frames`"),
        (torch.zeros(0, 4, 4, 3, dtype=torch.uint8), 25, "`frames`"),
        ("clip.mp4", 25, "`frames`"),
        (torch.zeros(2, 4, 4, 3, dtype=torch.uint8), 0, "`frame_rate`"),
        (torch.zeros(2, 4, 4, 3, dtype=torch.uint8), float("nan"), "`frame_rate`"),
        (torch.zeros(2, 4, 4, 3, dtype=torch.uint8), "25", "`frame_rate`"),
    ],
)
def test_video_frames_refuse(frames, frame_rate, named):
    with pytest.raises(ValueError, match=named):
        VideoFrames(frames, frame_rate)


@pytest.mark.parametrize(
    ("samples", "sampling_rate", "named"),
    [
        (torch.zeros(1, 8, dtype=torch.float64), 16000, "`samples`"),
        (torch.zeros(1, 8, dtype=torch.int16), 16000, "`samples`"),
        (torch.zeros(8), 16000, "`samples`"),
        (torch.zeros(1, 0), 16000, "`samples`"),
        (torch.full((1, 8), 1.5), 16000, "full scale"),
        (torch.tensor([[0.0, float("nan")]]), 16000, "NaN"),
        (torch.zeros(1, 8), 0, "`sampling_rate`"),
        (torch.zeros(1, 8), 16000.0, "`sampling_rate`"),
    ],
)
def test_audio_samples_refuse(samples, sampling_rate, named):
    with pytest.raises(ValueError, match=named):
        AudioSamples(samples, sampling_rate)


def test_resample_keeps_the_duration_and_a_tone():
    def tone(rate):
        return 0.5 * torch.sin(torch.arange(rate) / rate * 2 * torch.pi * 440)[None]

    resampled = AudioSamples(tone(24000), 24000).resample(16000)
    assert resampled.duration_seconds == 1.0
    inside = slice(200, -200)
    torch.testing.assert_close(resampled.samples[:, inside], tone(16000)[:, inside], atol=1e-2, rtol=0)


def test_resample_clamps_what_overshoots():
    square = torch.ones(1, 2400)
    square[:, ::120] = -1
    assert AudioSamples(square, 24000).resample(16000).samples.abs().max() <= 1


def test_resample_and_mono_change_nothing_where_there_is_nothing_to_change():
    audio = AudioSamples(torch.zeros(1, 16), 16000)
    assert audio.resample(16000) is audio
    assert audio.to_mono() is audio


def test_mono_is_the_mean_of_the_channels():
    stereo = AudioSamples(torch.tensor([[0.5, -0.5], [0.1, 0.5]]), 16000)
    torch.testing.assert_close(stereo.to_mono().samples, torch.tensor([[0.3, 0.0]]))


# --- Subject -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "has_face", "has_voice", "num_views"),
    [
        (Subject(), False, False, 0),
        (Subject(face="a.png"), True, False, 1),
        (Subject(voice="a.wav"), False, True, 0),
        (
            Subject(face=["a.png", Image.new("RGB", (4, 4))], voice=AudioSamples(torch.zeros(1, 4), 16000)),
            True,
            True,
            2,
        ),
    ],
)
def test_subject_knows_what_it_has(subject, has_face, has_voice, num_views):
    assert (subject.has_face, subject.has_voice, len(subject.views)) == (has_face, has_voice, num_views)


def test_subject_does_not_follow_a_list_that_changes_later():
    views = ["a.png"]
    subject = Subject(face=views)
    views.append("b.png")
    assert subject.views == ("a.png",)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"face": []}, "`face`"),
        ({"face": ""}, "`face`"),
        ({"face": 3}, "`face`"),
        ({"face": ["a.png", None]}, "`face`"),
        ({"voice": torch.zeros(16000)}, "`voice`"),
        ({"voice": ""}, "`voice`"),
        ({"name": "  "}, "`name`"),
        ({"face_scale": -1}, "`face_scale`"),
        ({"voice_scale": float("inf")}, "`voice_scale`"),
        ({"voice_scale": True}, "`voice_scale`"),
    ],
)
def test_subject_refuses(arguments, named):
    with pytest.raises(ValueError, match=named):
        Subject(**arguments)


# --- Captions ----------------------------------------------------------------------------------------------------


def test_caption_renders_the_documented_form():
    assert CAPTION.render() == RENDERED


def test_caption_parses_the_documented_form():
    assert StructuredCaption.parse(RENDERED) == CAPTION


@pytest.mark.parametrize(
    "caption",
    [
        StructuredCaption("empty street"),
        StructuredCaption("rain", sounds="rain. Thunder, far away"),
        StructuredCaption("<S1> hands <S2> a cup. Both smile", (SubjectDescription("a"), SubjectDescription("b"))),
        StructuredCaption("x", (SubjectDescription("woman, red hair, in a coat"),)),
        StructuredCaption("x", (SubjectDescription("left shoe missing"),)),
        StructuredCaption("x", (SubjectDescription("right, really", "off screen"),)),
        StructuredCaption("x", (SubjectDescription("smiling", "behind the counter"),)),
        StructuredCaption("Привет: 你好 — “été” 👩‍🦰; (50 %)!", (SubjectDescription("мужчина, ٣ <S1>: x"),)),
        StructuredCaption("x", (SubjectDescription("y"),), (SpokenLine(1, "Dr. No? Sounds: good. It's <S1>."),)),
        StructuredCaption("Scene: Sounds: <S1>: <S1> says: hm", (SubjectDescription("Sounds: y"),)),
    ],
)
def test_parse_is_the_inverse_of_render(caption):
    assert StructuredCaption.parse(caption.render()) == caption


def test_whatever_is_accepted_survives_the_round_trip():
    generator = random.Random(0)
    pieces = [
        "left", "right, ", "in front", ", ", ". ", ".", " ", ":", '"', "<S1>", "<S2>: ", '<S1> says: "', "Sounds: ",
        "Scene: ", "red hair", "é", "!", "<S0>", "<S", "\n", "says", "quiet.", "\u2028", "’",
    ]  # fmt: skip

    def text():
        return "".join(generator.choices(pieces, k=generator.randint(1, 5)))

    num_accepted = 0
    for _ in range(20_000):
        try:
            caption = StructuredCaption(
                text(),
                [
                    SubjectDescription(text(), generator.choice([None, "left", text()]))
                    for _ in range(generator.randint(0, 2))
                ],
                [SpokenLine(generator.randint(1, 2), text()) for _ in range(generator.randint(0, 1))],
                generator.choice([None, text()]),
            )
        except ValueError:
            continue
        num_accepted += 1
        assert StructuredCaption.parse(caption.render()) == caption
    assert num_accepted > 100


def test_whatever_parses_renders_to_itself():
    generator = random.Random(0)
    pieces = RENDERED.split(" ")
    num_parsed = 0
    for _ in range(2_000):
        prompt = " ".join(piece for piece in pieces if generator.random() > 0.1)
        try:
            caption = StructuredCaption.parse(prompt)
        except ValueError:
            continue
        num_parsed += 1
        assert caption.render() == prompt
    assert num_parsed > 100


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: StructuredCaption(""), "`scene`"),
        (lambda: StructuredCaption("room."), "full stop"),
        (lambda: StructuredCaption(" room"), "white space"),
        (lambda: StructuredCaption("two\nlines"), "one line"),
        (lambda: StructuredCaption("x. Sounds: y"), "`scene`"),
        (lambda: StructuredCaption("x", sounds=""), "`sounds`"),
        (lambda: StructuredCaption("<S1> waves"), "<S1>"),
        (lambda: StructuredCaption("x", lines=[SpokenLine(1, "hi")]), "`subjects`"),
        (lambda: StructuredCaption("x", "woman"), "`subjects`"),
        (lambda: SubjectDescription("left, woman"), "`position='left'`"),
        (lambda: SubjectDescription("woman. <S2>: man"), "`appearance`"),
        (lambda: SubjectDescription("woman", "left, near"), "`position`"),
        (lambda: SubjectDescription("woman", "purple"), "`position`"),
        (lambda: SpokenLine(0, "hi"), "`subject`"),
        (lambda: SpokenLine(1, 'she said "hi"'), "double quote"),
        (lambda: SpokenLine(1, ""), "`text`"),
    ],
)
def test_caption_refuses(make, named):
    with pytest.raises(ValueError, match=named):
        make()


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("", "begin with 'Scene: '"),
        ("A woman speaks.", "begin with 'Scene: '"),
        ("Scene: room", "begin with 'Scene: '"),
        ("Scene: room. <S2>: man.", "in order"),
        ('Scene: room. <S1>: man. Sounds: x. <S1> says: "hi".', "does not belong there"),
        ('Scene: room. <S1>: man. <S1> says: "hi"', "begin|belong|full stop"),
        ("Scene: room. <S01>: man.", "belong"),
        (None, "must be a text"),
    ],
)
def test_parse_refuses(prompt, named):
    with pytest.raises(ValueError, match=named):
        StructuredCaption.parse(prompt)


@pytest.mark.parametrize(
    ("prompt", "anchors"),
    [("no one", ()), ("<S2> and <S1>, then <S2>", (1, 2)), ("<S0> <S01> <s1> < S1> <S>", ()), (RENDERED, (1, 2))],
)
def test_caption_anchors(prompt, anchors):
    assert caption_anchors(prompt) == anchors


def test_values_travel_between_processes():
    assert pickle.loads(pickle.dumps(CAPTION)) == CAPTION
    subject = Subject(face="a.png", voice="a.wav")
    assert pickle.loads(pickle.dumps(subject)) == subject
