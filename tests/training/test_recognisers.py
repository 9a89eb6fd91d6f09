"""Training of the recognisers on a handful of people: what they learn from, and that they learn from it."""

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from iap_pipelines.assets import EMBEDDED_CHECKPOINT
from iap_pipelines.data.reconstruction import CodecReconstruction
from iap_pipelines.synthetic import World, WorldConfig, fill_bank
from iap_pipelines.synthetic.vocabulary import SPOKEN_WORDS
from iap_pipelines.training.recognisers import trainer
from iap_pipelines.training.recognisers.batches import FaceBatches, SpeechBatches, spoil_features, spoil_pictures
from iap_pipelines.training.recognisers.config import MaterialSettings, RecogniserConfig, load_recogniser_config
from iap_pipelines.training.recognisers.material import THROATS, cut_faces, prepare_faces, prepare_speech


SETTINGS = MaterialSettings(num_people=8, pictures_per_person=2, num_clips=2, num_utterances=18)


@pytest.fixture(scope="module")
def codecs():
    if not (EMBEDDED_CHECKPOINT / "vae").is_dir():
        pytest.skip("needs the embedded checkpoint")
    return CodecReconstruction.from_pretrained(EMBEDDED_CHECKPOINT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("material")


@pytest.fixture(scope="module")
def faces(folder, codecs):
    return prepare_faces(folder, codecs, SETTINGS, seed=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    config = WorldConfig(num_identities=4, held_out_share=0.25, seed=3, voice_backend="formant")
    return World(config, fill_bank(tmp_path_factory.mktemp("bank"), 4, 3, voice_backend="formant"))


@pytest.fixture(scope="module")
def speech(folder, world, codecs):
    return prepare_speech(folder, world, codecs, SETTINGS, seed=1)


def test_everybody_is_drawn_often_enough_and_mouths_are_known_in_clips(faces):
    stills = faces.identities < SETTINGS.num_people
    assert np.bincount(faces.identities[stills]).tolist() == [2] * 8
    assert np.isnan(faces.openings[stills]).all()
    openings = faces.openings[~stills]
    assert openings.min() == 0 and 0.3 < openings.max() <= 1
    # Each frame as drawn and as coded, with the same truth.
    one_clip = 25 * (len(openings) // (2 * 25) // 2 or 1)
    assert (len(openings) // 2) % 25 == 0 and one_clip > 0


def test_the_codecs_blur_but_keep_the_picture(codecs):
    world = World(WorldConfig(num_identities=1))
    pictures = torch.from_numpy(np.stack([world.render_face(0, view) for view in range(2)]))
    coded = codecs.stills(pictures)
    assert coded.dtype == torch.uint8 and coded.shape == pictures.shape
    error = (coded.float() - pictures.float()).abs().mean()
    assert 1 < error < 25
    noisy = codecs.stills(pictures, noise=0.5, generator=torch.Generator().manual_seed(0))
    again = codecs.stills(pictures, noise=0.5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(noisy, again) and (noisy.float() - pictures.float()).abs().mean() > error


def test_heads_are_cut_where_people_stand(world):
    index = next(index for index in range(world.config.num_clips) if world.num_people(index) == 2)
    clip = world.render_clip(index)
    heads = cut_faces(clip.frames, 2)
    assert heads.shape == (25, 2, 96, 80, 3)
    centres = (clip.face_box[..., :2] + clip.face_box[..., 2:]) / 2
    assert (centres[:, 0, 0] < 64).all() and (centres[:, 1, 0] > 64).all()
    assert np.array_equal(cut_faces(clip.frames[:, :, :64], 1)[0, 0].shape, (96, 80, 3))
    # The left head's picture does not depend on the right half.
    blank = clip.frames.copy()
    blank[:, :, 64:] = 0
    assert np.array_equal(cut_faces(blank, 2)[:, 0, :, :72], heads[:, 0, :, :72])


def test_voices_are_of_the_training_split_at_three_throats(speech, world):
    assert set(speech.identities) == set(range(len(world.identities("train")) * len(THROATS)))
    assert speech.samples.shape == (18, 32_000)
    assert (speech.words[:, 0] >= 1).all() and speech.words.max() <= len(SPOKEN_WORDS)
    for samples, (first, last) in zip(speech.samples, speech.spans, strict=True):
        assert 0 <= first < last <= 32_000
        inside = np.abs(samples[first:last].astype(float)).mean()
        assert inside > 5 * np.abs(samples[:first].astype(float)).mean() if first > 1600 else inside > 0


def test_material_is_drawn_once(folder, faces, world, speech):
    assert np.array_equal(prepare_faces(folder, None, SETTINGS, seed=1).pictures, faces.pictures)
    assert np.array_equal(prepare_speech(folder, world, None, SETTINGS, seed=1).samples, speech.samples)


def test_batches_are_pairs_of_one_person_and_follow_the_generator(faces, speech):
    pictures = FaceBatches(faces)
    first, second = pictures.pairs(4, np.random.default_rng(0))
    again, _ = pictures.pairs(4, np.random.default_rng(0))
    assert first.shape == second.shape == (4, 3, 96, 80)
    assert torch.equal(first, again) and not torch.equal(first, second)
    heads, openings = pictures.mouths(6, np.random.default_rng(0))
    assert heads.shape == (6, 3, 96, 80) and not openings.isnan().any()
    sounds = SpeechBatches(speech)
    one, other = sounds.pairs(3, np.random.default_rng(0))
    assert one.shape[0] == other.shape[0] == 3 and one.shape[2] == other.shape[2] == 80
    features, words = sounds.utterances(5, np.random.default_rng(0))
    assert features.shape == (5, 125, 80) and words.shape == (5, 4)


def test_spoiling_keeps_the_range():
    generator = np.random.default_rng(0)
    pictures = spoil_pictures(torch.zeros(3, 3, 96, 80), generator)
    assert pictures.shape == (3, 3, 96, 80) and pictures.abs().max() <= 1
    assert len({round(picture.mean().item(), 4) for picture in pictures}) == 3
    assert spoil_features(torch.full((2, 10, 80), -11.0), generator).min() >= -11.513


@pytest.fixture
def config(tmp_path):
    optimization = {"steps": 2, "batch_size": 3}
    tasks = dict.fromkeys(("face", "mouth", "voice", "words"), optimization)
    material = SETTINGS.model_dump()
    return RecogniserConfig(world="-", codecs="-", output=str(tmp_path), material=material, **tasks)


@pytest.mark.parametrize("name", ["face", "mouth", "voice", "words"])
def test_a_recogniser_is_trained_once_and_can_be_loaded(tmp_path, config, faces, speech, name):
    batches = FaceBatches(faces) if name in ("face", "mouth") else SpeechBatches(speech)
    recogniser = getattr(trainer, name)(batches, config)
    folder = trainer.train_recogniser(recogniser, tmp_path, seed=0)
    assert (folder / "preprocessor_config.json").exists() == (name in ("voice", "words"))
    weights = (folder / "model.safetensors").read_bytes()
    assert len(json.loads((tmp_path / f"{name}_losses.json").read_text())) == 2
    loaded = type(recogniser.make()).from_pretrained(folder)
    assert next(loaded.parameters()).dtype == torch.float16
    assert trainer.train_recogniser(recogniser._replace(loss=None), tmp_path, seed=0) == folder
    assert (folder / "model.safetensors").read_bytes() == weights
    # The same seed gives the same weights.
    elsewhere = trainer.train_recogniser(recogniser, tmp_path / "again", seed=0)
    assert (elsewhere / "model.safetensors").read_bytes() == weights


def test_when_all_are_trained_nothing_is_asked_for(tmp_path, config):
    """`config` names neither a world nor codecs."""
    for name in ("face", "mouth", "voice", "words"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    assert {folder.name for folder in trainer.train_recognisers(config)} == {"face", "mouth", "voice", "words"}
    (tmp_path / "words" / "config.json").unlink()
    with pytest.raises(FileNotFoundError):
        trainer.train_recognisers(config)


def test_contrast_is_small_only_for_the_right_pairs():
    vectors = torch.nn.functional.normalize(torch.randn(8, 16, generator=torch.Generator().manual_seed(0)), dim=-1)
    assert trainer.contrast(vectors, vectors) < 0.1 < 1 < trainer.contrast(vectors, vectors.roll(1, 0))


def test_faces_are_learned(faces, config):
    """Eight people, a small model, a minute's worth of nothing: the right pairs become clear."""
    config = config.model_copy(update={"face": config.face.model_copy(update={"steps": 25, "batch_size": 6})})
    recogniser = trainer.face(FaceBatches(faces), config)
    torch.manual_seed(0)
    losses = trainer._optimize(recogniser.make().train(), recogniser, np.random.default_rng(0))
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:4])


def test_unknown_keys_fail(repository, tmp_path):
    path = repository / "training/configs/recognisers.yaml"
    assert load_recogniser_config(path).face.batch_size > 1
    spoiled = tmp_path / "spoiled.yaml"
    spoiled.write_text(path.read_text() + "surprise: 1\n")
    with pytest.raises(ValidationError, match="surprise"):
        load_recogniser_config(spoiled)
