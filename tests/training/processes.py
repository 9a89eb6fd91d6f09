"""Runs in processes of their own, which can be killed.

They are forked from a server that has imported what they need, so a process costs seconds only when it trains.
"""

import multiprocessing
import os
import random
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env

from iap_pipelines.training.checkpoint import latest_checkpoint, load_checkpoint


REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 900
"""For machines that have other things to do."""
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["iap_pipelines.training.trainer", "tests.training.fsdp2_on_cpu"])


class Run:
    """
    One run over `num_processes` processes, which have begun to train.

    Args:
        values: of the config.
        num_processes: that share each batch.
        is_sharded: shard weights over them as training/accelerate/fsdp2.yaml says.
    """

    def __init__(self, values: Mapping, num_processes: int = 1, is_sharded: bool = False) -> None:
        self.metrics = Path(values["output"]) / "metrics.jsonl"
        environments = [{"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"} for _ in range(num_processes)]
        if num_processes > 1:
            shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(num_processes)}
            for rank, environment in enumerate(environments):
                environment.update(shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        if is_sharded:
            environments = [sharding_environment() | environment for environment in environments]
        self.processes = [SERVER.Process(target=_train, args=(values, env), daemon=True) for env in environments]
        for process in self.processes:
            process.start()

    def wait(self) -> None:
        """Until it is through."""
        for process in self.processes:
            process.join(timeout=PATIENCE_SECONDS)
            if process.exitcode is None:
                self.kill()
            assert process.exitcode == 0

    def kill_at(self, step: int, delay_seconds: float) -> None:
        """SIGKILL every process, `delay_seconds` after step `step` has been logged."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.has_logged(step):
            assert time.monotonic() < deadline, f"step {step} was never reached"
            assert all(process.is_alive() for process in self.processes), "ended before it could be killed"
            time.sleep(0.001)
        time.sleep(delay_seconds)
        self.kill()
        # One process may have seen the other die before it died itself.
        assert self.processes[0].exitcode == -signal.SIGKILL, "ended before it could be killed"

    def kill(self) -> None:
        """SIGKILL every process."""
        for process in self.processes:
            os.kill(process.pid, signal.SIGKILL)
        for process in self.processes:
            process.join()

    def has_logged(self, step: int) -> bool:
        return self.metrics.exists() and self.metrics.read_text().count("\n") > step


def run_with_kills(values: Mapping, steps: list[int], **options: object) -> None:
    """Run to the end, with a SIGKILL soon after each of `steps`; the delay after them is drawn, too."""
    delays = random.Random(repr(steps))
    for step in steps:
        Run(values, **options).kill_at(step, delays.uniform(0, 0.03))
    Run(values, **options).wait()


def assert_same_run(one: Mapping, other: Mapping) -> None:
    """The same losses in the same steps, and the same weights, averages and optimizer state at the end, to the bit."""
    logs = [(Path(values["output"]) / "metrics.jsonl").read_text() for values in (one, other)]
    assert logs[0] == logs[1]
    ends = [load_checkpoint(latest_checkpoint(Path(values["output"]) / "checkpoints")) for values in (one, other)]
    assert ends[0].state == ends[1].state
    assert ends[0].tensors.keys() == ends[1].tensors.keys()
    assert all(tensor.equal(ends[1].tensors[name]) for name, tensor in ends[0].tensors.items())


def sharding_environment() -> dict[str, str]:
    """What `accelerate launch --config_file training/accelerate/fsdp2.yaml` sets."""
    config = REPOSITORY / "training" / "accelerate" / "fsdp2.yaml"
    arguments = launch_command_parser().parse_args(["--config_file", str(config), "training/train.py"])
    environment = prepare_multi_gpu_env(_validate_launch_command(arguments)[0])
    return {key: value for key, value in environment.items() if key.startswith(("ACCELERATE_USE_FSDP", "FSDP_"))}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _train(values: Mapping, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    import torch

    from iap_pipelines.training.config import TrainingConfig
    from iap_pipelines.training.trainer import Trainer

    torch.set_num_threads(1)
    if "ACCELERATE_USE_FSDP" in environment:
        from tests.training import fsdp2_on_cpu

        fsdp2_on_cpu.enable()
    Trainer(TrainingConfig.model_validate(values)).run()
