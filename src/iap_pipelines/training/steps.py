"""What each optimizer step sees, computed from its number alone.

Clips, conditions, noise and noise levels of step s depend on (seed, s, place in the batch) and on nothing else. So a
run that was killed continues as if it had not been, nothing of the data needs to be saved, and another number of
processes sees the same samples in the same order.
"""

from typing import NamedTuple

import numpy as np
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from iap_pipelines.data.order import DataOrder
from iap_pipelines.data.training_dataset import IdentityClipDataset, TrainingBatch, collate, pad_references
from iap_pipelines.training.config import FlowSettings
from iap_pipelines.training.noise import NoiseDraw, draw_noise, stack_draws


_SAMPLES = 1
"""Keeps the streams of samples apart from that of the order."""


class MicroBatch(NamedTuple):
    """What one backward pass of one process sees."""

    batch: TrainingBatch
    noise: NoiseDraw


class TrainingSteps(Dataset):
    """
    Maps a step to the micro-batches of one process.

    Args:
        dataset: samples.
        order: which samples a step has.
        tokenizer: of captions.
        flow: how targets are noised.
        caption_length: tokens of every caption.
        seed: of conditions and noise.
        micro_batch_size: samples per process and backward pass; `None` takes all of the process's share at once.
        rank: of this process.
        num_processes: that share each batch.
        pads_references: batches without faces or voices get one that nobody sees; see [`pad_references`].

    Raises:
        ValueError: if a batch cannot be shared out evenly.
    """

    def __init__(
        self,
        dataset: IdentityClipDataset,
        order: DataOrder,
        tokenizer: PreTrainedTokenizerBase,
        *,
        flow: FlowSettings,
        caption_length: int,
        seed: int,
        micro_batch_size: int | None = None,
        rank: int = 0,
        num_processes: int = 1,
        pads_references: bool = False,
    ) -> None:
        share, rest = divmod(order.batch_size, num_processes)
        size = micro_batch_size or share
        if rest or share % size:
            raise ValueError(
                f"`batch_size` {order.batch_size} must be a multiple of processes times `micro_batch_size` "
                f"({num_processes} x {size}), so that every backward pass weighs the same."
            )
        self.dataset, self.order, self.tokenizer, self.flow = dataset, order, tokenizer, flow
        self.caption_length, self.seed = caption_length, seed
        self._padding = dataset.padding_references() if pads_references else None
        self._places = [range(rank * share + start, rank * share + start + size) for start in range(0, share, size)]

    def __getitem__(self, step: int) -> list[MicroBatch]:
        indices = self.order.batch(step)
        return [self._micro_batch(step, indices, places) for places in self._places]

    def _micro_batch(self, step: int, indices: list[int], places: range) -> MicroBatch:
        samples, draws = [], []
        for place in places:
            generator = np.random.default_rng([self.seed, _SAMPLES, step, place])
            sample = self.dataset.sample(indices[place], generator)
            samples.append(sample)
            draws.append(draw_noise(sample, self.flow, generator))
        batch = collate(samples, self.tokenizer, self.caption_length)
        if self._padding is not None:
            batch = pad_references(batch, self._padding)
        return MicroBatch(batch, stack_draws(draws))
