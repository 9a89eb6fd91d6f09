"""Does a model know whose reference is whose? One table, in seconds, without generating anything.

Clips of two people are noised, and the model predicts their velocities twice: with the references as they are, and
with those of the two people exchanged. The row says in how many of the clips the true references predict better, and
by how much the squared error rises with exchanged ones. Captions call everybody "person", and slots are numbered at
random, so chance is 50 %: a model that ignores its references, or that does not know which belongs to whom, is there.

    python -m benchmarks.reference_swap --data data/stills --latents data/stills_latents --target frames \
        --model runs/tiny_stage1_face/pipeline
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase, UMT5EncoderModel

from benchmarks.measuring import markdown_table, set_threads
from iap_pipelines import IAPTransformer3DModel
from iap_pipelines.assets import EMBEDDED_CHECKPOINT
from iap_pipelines.data.clip_folder import read_clips, read_identities
from iap_pipelines.data.conditions import ConditionDropout
from iap_pipelines.data.latent_store import LatentStore
from iap_pipelines.data.training_dataset import IdentityClipDataset, SampleSettings, TrainingBatch, collate
from iap_pipelines.training.flow_matching import add_noise, mean_squared_error, velocity
from iap_pipelines.training.training_model import IAPTrainingModel


SIGMAS = (1.0, 0.9, 0.7, 0.5)
CAPTION_LENGTH = 80
BATCH_SIZE = 8


class Errors(NamedTuple):
    """Squared errors of one tower `[N]`, per clip."""

    true: Tensor
    swapped: Tensor


def pairs_of(args: argparse.Namespace) -> IdentityClipDataset:
    """The clips of two people of a split, or of one with a silent companion."""
    people = 1 if args.companions else 2
    clips = [clip for clip in read_clips(args.data) if clip.split == args.split and len(clip.identities) == people]
    settings = SampleSettings(
        args.target,
        1,
        (1, 1),
        (62, 62),
        ConditionDropout(appearance=1.0),
        ordered_slots=float(args.ordered),
        silent_companions=float(args.companions),
        exchanges=True,
    )
    return IdentityClipDataset(clips[: args.clips], read_identities(args.data), LatentStore(args.latents), settings)


@torch.no_grad()
def compare(
    model: IAPTrainingModel, tokenizer: PreTrainedTokenizerBase, dataset: IdentityClipDataset, seed: int
) -> dict[tuple[str, float], Errors]:
    """Errors by kind of reference (`face`: of the video tower, `voice`: of the audio tower) and noise level."""
    errors: dict[tuple[str, float], list[Errors]] = {}
    for start in range(0, len(dataset), BATCH_SIZE):
        indices = range(start, min(start + BATCH_SIZE, len(dataset)))
        samples = [dataset.sample(index, np.random.default_rng([seed, index])) for index in indices]
        batch = collate(samples, tokenizer, CAPTION_LENGTH)
        generator = torch.Generator().manual_seed(seed + start)
        noise = [
            None if target is None else torch.randn(target.shape, generator=generator)
            for target in (batch.video, batch.audio)
        ]
        for sigma in SIGMAS:
            for kind, pair in _errors(model, batch, noise, sigma).items():
                errors.setdefault((kind, sigma), []).append(pair)
    return {key: Errors(*map(torch.cat, zip(*parts, strict=True))) for key, parts in errors.items()}


def _errors(
    model: IAPTrainingModel, batch: TrainingBatch, noise: list[Tensor | None], sigma: float
) -> dict[str, Errors]:
    targets = (batch.video, batch.audio)
    levels = [None if target is None else torch.full((len(target),), sigma) for target in targets]
    noisy = [
        None if target is None else add_noise(target, *pair)
        for target, *pair in zip(targets, noise, levels, strict=True)
    ]
    true = model.predict(batch, *noisy, *levels)
    swapped = model.predict(batch._replace(identity=batch.exchanged), *noisy, *levels)
    return {
        kind: Errors(*(mean_squared_error(predicted, velocity(target, drawn)) for predicted in pair))
        for kind, target, drawn, *pair in zip(("face", "voice"), targets, noise, true, swapped, strict=True)
        if target is not None
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with clips.jsonl and identities.jsonl")
    parser.add_argument("--latents", type=Path, required=True, help="folder of its precomputed latents")
    parser.add_argument(
        "--target", choices=("frames", "audio", "clips"), default="clips", help="what is noised (%(default)s)"
    )
    parser.add_argument("--model", default=str(EMBEDDED_CHECKPOINT), help="pipeline folder; the embedded checkpoint")
    parser.add_argument("--split", default="validation", help="whose clips (%(default)s)")
    parser.add_argument("--clips", type=int, default=64, help="most clips (%(default)s)")
    parser.add_argument(
        "--ordered", action="store_true", help="subjects in the order in which they speak (stills: stand)"
    )
    parser.add_argument(
        "--companions", action="store_true", help="clips of one person with a silent companion (`--target audio`)"
    )
    parser.add_argument("--seed", type=int, default=5, help="of slots, references and noise (%(default)s)")
    parser.add_argument("--threads", type=int, help="threads of torch; its own choice if not given")
    args = parser.parse_args(argv)
    set_threads(args.threads)
    transformer = IAPTransformer3DModel.from_pretrained(args.model, subfolder="transformer", torch_dtype=torch.float32)
    text_encoder = UMT5EncoderModel.from_pretrained(args.model, subfolder="text_encoder", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(args.model, subfolder="tokenizer")
    model = IAPTrainingModel(transformer, text_encoder).eval()
    rows = [
        [
            kind,
            f"{sigma:.1f}",
            str(len(errors.true)),
            f"{(errors.true < errors.swapped).double().mean():.0%}",
            f"{errors.true.mean():.3f}",
            f"{(errors.swapped - errors.true).mean():+.3f}",
        ]
        for (kind, sigma), errors in compare(model, tokenizer, pairs_of(args), args.seed).items()
    ]
    header = ["reference", "noise level", "clips", "true ones predict better", "squared error", "exchanged"]
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
