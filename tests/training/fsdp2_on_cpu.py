"""Let accelerate shard over gloo. For processes on CPUs it replicates weights, whatever its configuration says."""

from typing import Any

from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin


def enable() -> None:
    """Take the FSDP2 path in this process from now on, as processes on GPUs do (accelerate 1.15)."""
    original = AcceleratorState.__init__
    sharded = {}

    def initialise(
        self: AcceleratorState, *args: Any, fsdp_plugin: FullyShardedDataParallelPlugin | None = None, **options: Any
    ) -> None:
        original(self, *args, fsdp_plugin=fsdp_plugin, **options)
        if fsdp_plugin is not None:
            if self._mixed_precision != "no":
                fsdp_plugin.set_mixed_precision(self._mixed_precision)
            sharded.update(distributed_type=DistributedType.FSDP, fsdp_plugin=fsdp_plugin)
        self._shared_state.update(sharded)  # every new instance begins with what the processes are

    AcceleratorState.__init__ = initialise
