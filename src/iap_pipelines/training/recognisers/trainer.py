"""The four recognisers' objectives, and one loop for all of them."""

import json
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import PreTrainedModel, ResNetConfig, ResNetForImageClassification

from iap_pipelines.data.reconstruction import CodecReconstruction
from iap_pipelines.models.configuration_face_identity import FaceIdentityConfig
from iap_pipelines.models.configuration_voice_identity import VoiceIdentityConfig
from iap_pipelines.models.configuration_word_ctc import WordCTCConfig
from iap_pipelines.models.feature_extraction_log_mel import LogMelFeatureExtractor
from iap_pipelines.models.modeling_face_identity import FaceIdentityEncoder
from iap_pipelines.models.modeling_voice_identity import VoiceIdentityEncoder
from iap_pipelines.models.modeling_word_ctc import WordForCTC
from iap_pipelines.synthetic.vocabulary import SPOKEN_WORDS
from iap_pipelines.training.recognisers.batches import FaceBatches, SpeechBatches
from iap_pipelines.training.recognisers.config import OptimizationSettings, RecogniserConfig
from iap_pipelines.training.recognisers.material import load_world, prepare_faces, prepare_speech
from iap_pipelines.training.schedules import learning_rate_factor


logger = logging.getLogger(__name__)

_TEMPERATURE = 0.07
"""Of the contrast between people, as in CLIP (https://arxiv.org/abs/2103.00020) at its start."""
_NORM = 5.0
"""Gradients longer than this are shortened to it."""

Loss = Callable[[nn.Module, np.random.Generator], Tensor]


class Recogniser(NamedTuple):
    """One model, how to make it, and how to get a loss of it from a random batch."""

    name: str
    make: Callable[[], PreTrainedModel]
    loss: Loss
    settings: OptimizationSettings
    reads_sound: bool


def train_recognisers(config: RecogniserConfig) -> list[Path]:
    """
    Train the four recognisers one after another. A model that is there is not trained again, so a run that was
    stopped goes on with the one it was at.

    Args:
        config: what to train, from what.

    Returns:
        The folders of the models, in float16.
    """
    output = Path(config.output)
    folders = [output / name for name in ("face", "mouth", "voice", "words")]
    missing = {folder.name for folder in folders if not is_trained(folder)}
    if not missing:
        return folders
    world = load_world(Path(config.world), config.voices and Path(config.voices))
    codecs = CodecReconstruction.from_pretrained(config.codecs)
    if missing & {"face", "mouth"}:
        faces = FaceBatches(prepare_faces(output / "material", codecs, config.material, config.seed))
        for entry in (face(faces, config), mouth(faces, config)):
            train_recogniser(entry, output, config.seed)
        del faces
    if missing & {"voice", "words"}:
        speech = SpeechBatches(prepare_speech(output / "material", world, codecs, config.material, config.seed))
        for entry in (voice(speech, config), words(speech, config)):
            train_recogniser(entry, output, config.seed)
    return folders


def is_trained(folder: Path) -> bool:
    """Whether a model's folder is there, which is renamed into place when it is whole."""
    return (folder / "config.json").exists()


def face(batches: FaceBatches, config: RecogniserConfig) -> Recogniser:
    """Two pictures of one person find each other among the batch."""
    draw = partial(batches.pairs, config.face.batch_size)
    make = partial(FaceIdentityEncoder, FaceIdentityConfig())
    return Recogniser("face", make, partial(_contrast_of, draw), config.face, False)


def mouth(batches: FaceBatches, config: RecogniserConfig) -> Recogniser:
    """Squared error of the opening."""

    def loss(model: nn.Module, generator: np.random.Generator) -> Tensor:
        pictures, openings = batches.mouths(config.mouth.batch_size, generator)
        return F.mse_loss(model(pictures).logits[:, 0], openings)

    sizes = {"embedding_size": 24, "hidden_sizes": [24, 48, 96], "depths": [1, 1, 1], "layer_type": "basic"}
    make = partial(make_mouth_model, ResNetConfig(**sizes, num_labels=1, problem_type="regression"))
    return Recogniser("mouth", make, loss, config.mouth, False)


def make_mouth_model(config: ResNetConfig) -> ResNetForImageClassification:
    """A regressor that reads heads of `REGION_SIZE` in [-1, 1] and says how far the mouth is open, 0 to 1."""
    return ResNetForImageClassification(config)


def voice(batches: SpeechBatches, config: RecogniserConfig) -> Recogniser:
    """Two pieces of one voice find each other among the batch."""
    draw = partial(batches.pairs, config.voice.batch_size)
    make = partial(VoiceIdentityEncoder, VoiceIdentityConfig())
    return Recogniser("voice", make, partial(_contrast_of, draw), config.voice, True)


def words(batches: SpeechBatches, config: RecogniserConfig) -> Recogniser:
    """CTC over the words of the world."""

    def loss(model: nn.Module, generator: np.random.Generator) -> Tensor:
        features, labels = batches.utterances(config.words.batch_size, generator)
        return model(features, labels=labels).loss

    labels = dict(enumerate(["", *SPOKEN_WORDS]))
    return Recogniser("words", partial(WordForCTC, WordCTCConfig(id2label=labels)), loss, config.words, True)


def _contrast_of(
    draw: Callable[[np.random.Generator], tuple[Tensor, Tensor]], model: nn.Module, generator: np.random.Generator
) -> Tensor:
    first, second = (model(inputs).embeddings for inputs in draw(generator))
    return contrast(first, second)


def contrast(first: Tensor, second: Tensor) -> Tensor:
    """
    How badly rows of equal number find each other among all rows (InfoNCE, https://arxiv.org/abs/1807.03748).

    Args:
        first: unit vectors `[B, D]`.
        second: unit vectors `[B, D]` of the same identities in the same order.

    >>> contrast(torch.eye(4), torch.eye(4)) < 1e-3
    tensor(True)
    """
    logits = first @ second.T / _TEMPERATURE
    target = torch.arange(len(first), device=first.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def train_recogniser(recogniser: Recogniser, output: Path, seed: int) -> Path:
    """
    Train one model, unless its folder is there.

    Args:
        recogniser: what to train.
        output: parent of its folder.
        seed: of weights and batches.

    Returns:
        Its `from_pretrained` folder.
    """
    folder = Path(output) / recogniser.name
    if is_trained(folder):
        logger.info("%s is there", folder)
        return folder
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = recogniser.make().train()
    losses = _optimize(model, recogniser, np.random.default_rng(seed))
    partial_folder = folder.with_name(f".{folder.name}")
    model.eval().half().save_pretrained(partial_folder)
    if recogniser.reads_sound:
        LogMelFeatureExtractor().save_pretrained(partial_folder)
    (Path(output) / f"{recogniser.name}_losses.json").write_text(json.dumps(losses))
    os.replace(partial_folder, folder)
    return folder


def _optimize(model: nn.Module, recogniser: Recogniser, generator: np.random.Generator) -> list[float]:
    settings = recogniser.settings
    optimizer = torch.optim.AdamW(model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    losses = []
    with tqdm(range(settings.steps), desc=recogniser.name, mininterval=5) as progress:
        for step in progress:
            factor = learning_rate_factor(
                step, settings.steps, warmup_steps=settings.steps // 10, schedule="cosine", final_fraction=0.01
            )
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * factor
            loss = recogniser.loss(model, generator)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), _NORM)
            optimizer.step()
            losses.append(round(loss.item(), 5))
            progress.set_postfix(loss=f"{np.mean(losses[-20:]):.4f}")
    return losses
