"""Scoring with untrained recognisers: what is compared with what."""

import numpy as np
import pytest
import torch

from iap_pipelines.app.form import GenerationForm, PersonForm
from iap_pipelines.app.scores import ClipScorer, ClipScores, PersonScore, render_scores, sides_from_left
from iap_pipelines.assets import example_subjects
from iap_pipelines.media import read_audio, read_image, write_video


def people(*positions):
    return tuple(PersonForm("woman", position) for position in positions)


@pytest.mark.parametrize(
    ("positions", "sides"),
    [
        (("right", "left"), {0: 1, 1: 0}),
        (("center", "far left", "right"), {0: 1, 1: 0, 2: 2}),
        (("left", "off screen"), {0: 0}),
        (("behind the counter",), {0: 0}),
        (("left", "left"), {}),
        (("left", "behind the counter"), {}),
        ((), {}),
    ],
)
def test_who_stands_where(positions, sides):
    assert sides_from_left(people(*positions)) == sides


@pytest.fixture(scope="module")
def scorer():
    pytest.importorskip("skia", reason="needs iap-pipelines[synthetic]")
    from transformers import ResNetConfig

    from iap_pipelines import FaceIdentityConfig, FaceIdentityEncoder, VoiceIdentityConfig, VoiceIdentityEncoder
    from iap_pipelines.evaluation.drawn_world.measuring import DrawnWorldRecognisers
    from iap_pipelines.models.configuration_word_ctc import WordCTCConfig
    from iap_pipelines.models.feature_extraction_log_mel import LogMelFeatureExtractor
    from iap_pipelines.models.modeling_word_ctc import WordForCTC
    from iap_pipelines.training.recognisers.trainer import make_mouth_model

    torch.manual_seed(0)
    sizes = {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"}
    return ClipScorer(
        DrawnWorldRecognisers(
            FaceIdentityEncoder(FaceIdentityConfig(stem_size=4, hidden_sizes=(4, 8), depths=(1, 1), embedding_size=6)),
            make_mouth_model(ResNetConfig(**sizes, num_labels=1)),
            VoiceIdentityEncoder(VoiceIdentityConfig(hidden_size=8, embedding_size=6)),
            WordForCTC(WordCTCConfig(hidden_size=8, num_layers=1, id2label={0: "", 1: "red", 2: "blue"})),
            LogMelFeatureExtractor(),
        )
    )


def test_a_still_of_the_reference_is_nearest_to_it(scorer, tmp_path):
    ada, ben = example_subjects()
    picture, sound = np.asarray(read_image(ada.face)), read_audio(ada.voice)
    clip = write_video(
        np.repeat(picture[None], 12, axis=0),
        sound.samples,
        tmp_path / "clip.mp4",
        frame_rate=12.5,
        sampling_rate=sound.sampling_rate,
    )
    forms = [
        GenerationForm(people=(PersonForm("x", "center", (str(who.face),), str(who.voice)),), scene="room")
        for who in (ada, ben)
    ]
    same, other = (scorer.score(clip, form).people[0] for form in forms)
    assert same.face == pytest.approx(1, abs=1e-2)
    assert same.face > other.face


def test_without_places_or_references_nothing_is_made_up(scorer, tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (9, 96, 128, 3), dtype=np.uint8)
    sound = np.zeros((1, 11_520), np.float32)
    clip = write_video(frames, sound, tmp_path / "clip.mp4", frame_rate=12.5, sampling_rate=16_000)
    assert scorer.score(clip, GenerationForm(people=people("left", ""), scene="room")) is None
    scores = scorer.score(clip, GenerationForm(people=people("left", "right", "off screen"), scene="room"))
    assert scores.people == (PersonScore(None, None),) * 3


def test_without_recognisers_there_is_no_scorer(tmp_path):
    assert ClipScorer.load(tmp_path / "none") is None


def test_what_was_not_measured_is_said():
    text = render_scores(ClipScores((PersonScore(0.876, None), PersonScore(None, -0.5)), ("red",)))
    assert "| &lt;S1&gt; | 0.88 | not measured |" in text and "| &lt;S2&gt; | not measured | -0.50 |" in text
    assert "Heard: red." in text
