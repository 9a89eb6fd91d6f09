"""Which samples a step sees: a pure function of seed and step, the same for any number of processes and workers."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np


class DataOrder:
    """
    Batches of one bucket each, shuffled anew every epoch.

    There is no position to save: `batch(step)` is computed from the seed. A batch is that of all processes together;
    each takes its share, so that the order stays the same when their number changes.

    Args:
        buckets: per bucket (clips that can be stacked), the indices of its samples.
        batch_size: samples per step over all processes. A bucket that is smaller is repeated; of a larger one, the few
            samples that fill no whole batch wait for another epoch.
        seed: any non-negative number.

    Raises:
        ValueError: without samples, or for a `batch_size` below 1.

    >>> order = DataOrder({"small": [0, 1, 2, 3], "wide": [4, 5]}, batch_size=2, seed=1)
    >>> order.batches_per_epoch
    3
    >>> sorted(index for step in range(3) for index in order.batch(step))
    [0, 1, 2, 3, 4, 5]
    """

    def __init__(self, buckets: Mapping[Hashable, Sequence[int]], batch_size: int, seed: int) -> None:
        self._buckets = [list(indices) for _, indices in sorted(buckets.items()) if indices]
        if not self._buckets:
            raise ValueError(
                "`buckets` must hold at least one sample, but there is none. Do the filters match the data?"
            )
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")
        self.batch_size = batch_size
        self.seed = seed
        self.batches_per_epoch = sum(max(1, len(indices) // batch_size) for indices in self._buckets)
        self._epoch: int | None = None
        self._batches: list[list[int]] = []

    def batch(self, step: int) -> list[int]:
        """The indices of step `step`, from 0: `batch_size` of them, all from one bucket."""
        epoch, position = divmod(step, self.batches_per_epoch)
        if epoch != self._epoch:
            self._batches = self._shuffle(np.random.default_rng([self.seed, epoch]))
            self._epoch = epoch
        return self._batches[position]

    def _shuffle(self, generator: np.random.Generator) -> list[list[int]]:
        batches = []
        for indices in self._buckets:
            count = max(1, len(indices) // self.batch_size)
            shuffled = generator.permutation(np.resize(indices, max(len(indices), self.batch_size))).tolist()
            batches += [shuffled[i * self.batch_size : (i + 1) * self.batch_size] for i in range(count)]
        return [batches[i] for i in generator.permutation(len(batches))]
