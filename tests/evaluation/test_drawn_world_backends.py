"""Models for the drawn world: tiny ones of the true classes, and drawn clips whose truth is known."""

import numpy as np
import pytest
import torch
from transformers import ResNetConfig, ResNetForImageClassification

from iap_pipelines.evaluation.backends import drawn_world
from iap_pipelines.evaluation.loading import DRAWN_WORLD, ROLES, load_models
from iap_pipelines.evaluation.observer import ClipObserver
from iap_pipelines.evaluation.settings import EvaluationSettings
from iap_pipelines.models.configuration_face_identity import FaceIdentityConfig
from iap_pipelines.models.configuration_voice_identity import VoiceIdentityConfig
from iap_pipelines.models.configuration_word_ctc import WordCTCConfig
from iap_pipelines.models.feature_extraction_log_mel import LogMelFeatureExtractor
from iap_pipelines.models.modeling_face_identity import FaceIdentityEncoder
from iap_pipelines.models.modeling_voice_identity import VoiceIdentityEncoder
from iap_pipelines.models.modeling_word_ctc import WordForCTC
from iap_pipelines.synthetic import World, WorldConfig, fill_bank
from iap_pipelines.types import AudioSamples, VideoFrames


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A drawn clip of two people who take turns."""
    config = WorldConfig(
        num_identities=4,
        clips_per_identity=2,
        two_person_share=1,
        three_person_share=0,
        held_out_share=0,
        voice_backend="formant",
    )
    bank = fill_bank(tmp_path_factory.mktemp("bank"), 4, config.seed, voice_backend="formant")
    return World(config, bank).render_clip(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recognisers")
    torch.manual_seed(0)
    FaceIdentityEncoder(
        FaceIdentityConfig(hidden_sizes=(8, 8), depths=(1, 1), stem_size=8, embedding_size=8)
    ).save_pretrained(folder / "face")
    mouth = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", num_labels=1)
    ResNetForImageClassification(mouth).save_pretrained(folder / "mouth")
    VoiceIdentityEncoder(VoiceIdentityConfig(hidden_size=8, embedding_size=8)).save_pretrained(folder / "voice")
    WordForCTC(WordCTCConfig(id2label={0: "", 1: "red", 2: "blue"})).save_pretrained(folder / "words")
    for name in ("voice", "words"):
        LogMelFeatureExtractor().save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def models(folder):
    chosen = dict.fromkeys(ROLES) | DRAWN_WORLD
    for role, name in {
        "face_embedder": "face",
        "voice_embedder": "voice",
        "transcriber": "words",
        "lip_sync": "mouth",
    }.items():
        chosen[role] = {"type": DRAWN_WORLD[role], "model": str(folder / name)}
    return load_models(EvaluationSettings(**chosen))


def _audio(samples):
    return AudioSamples(torch.from_numpy(samples)[None], 16_000)


def test_faces_are_found_where_they_are(clip):
    detector = drawn_world.DrawnWorldFaceDetector()
    for frame, boxes in zip(clip.frames, clip.face_box, strict=True):
        found = detector.detect(frame)
        assert len(found) == 2
        for face, (left, top, right, bottom) in zip(found, boxes, strict=True):
            x, y = (left + right) / 2, (top + bottom) / 2
            assert face.box[0] < x < face.box[2]
            assert face.box[1] < y < face.box[3]


def test_speech_is_found_where_it_is(clip):
    spans = drawn_world.DrawnWorldVoiceActivity().find_speech(_audio(clip.samples))
    heard = np.zeros(len(clip.samples), bool)
    for span in spans:
        heard[int(span.start * 16_000) : int(span.end * 16_000)] = True
    spoken = np.zeros_like(heard)
    for line in clip.record["lines"]:
        spoken[int(line["start"] * 16_000) : int(line["end"] * 16_000)] = True
    assert heard[spoken].mean() > 0.85
    assert spoken[heard].mean() > 0.85


def test_every_role_looks_and_listens(clip, models):
    observer = ClipObserver(VideoFrames(torch.from_numpy(clip.frames), 12.5), _audio(clip.samples), models)
    assert len(observer.faces) == 2
    assert observer.embed_faces("face_embedder")[0].shape == (8, 8)
    assert np.isfinite(observer.embed_faces("face_embedder")[1]).all()
    assert observer.sound.stretch_voices.shape[1] == 8
    assert all(0 <= word.start < word.end <= 2.0 for word in observer.sound.words)
    scores = observer.sync_scores[0]
    assert scores.scores.shape == (len(scores.delays), len(scores.times))
    assert scores.delays[0] == -scores.delays[-1] == pytest.approx(-0.48)
    assert {role for role, revision in models.revisions().items() if revision} == set(DRAWN_WORLD)


def test_a_true_mouth_meets_the_sound_at_the_right_delay(clip, models, monkeypatch):
    """With openings as they were drawn instead of a trained network, the delay that was put in comes out."""
    lip_sync = models.require("lip_sync")
    observer = ClipObserver(VideoFrames(torch.from_numpy(clip.frames), 12.5), _audio(clip.samples), models)
    order = np.argsort([face.track.center[0] for face in observer.faces])
    for delay_frames in (0, 2):
        late = np.concatenate([np.zeros(1280 * delay_frames, np.float32), clip.samples])[: len(clip.samples)]
        totals = []
        for place, face in enumerate(order):
            openings = torch.from_numpy(clip.mouth_opening[:, place : place + 1])
            monkeypatch.setattr(lip_sync, "_open", lambda heads, openings=openings: openings)
            totals.append(np.nansum(lip_sync.compare(observer.faces[face].clip, _audio(late)).scores, axis=1))
        delays = lip_sync.compare(observer.faces[0].clip, _audio(late)).delays
        assert delays[np.sum(totals, axis=0).argmax()] == pytest.approx(0.08 * delay_frames, abs=0.01)


def test_without_embedded_recognisers_their_roles_are_empty(monkeypatch, tmp_path):
    monkeypatch.setattr(drawn_world, "files", lambda package: tmp_path)
    models = load_models(EvaluationSettings(**dict.fromkeys(ROLES) | {"face_embedder": "face_identity"}))
    assert "train_recognisers" in models.missing["face_embedder"]
