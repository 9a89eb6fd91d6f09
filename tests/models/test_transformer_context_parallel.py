"""Two processes that share one clip give what one process gives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_equal_one(tmp_path):
    command = [sys.executable, str(Path(__file__).with_name("context_parallel_worker.py")), str(tmp_path / "store")]
    path = os.pathsep.join(filter(None, [*sys.path, os.environ.get("PYTHONPATH")]))
    environments = [os.environ | {"RANK": str(rank), "PYTHONPATH": path} for rank in range(2)]
    workers = [
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for environment in environments
    ]
    try:
        for worker in workers:
            _, errors = worker.communicate(timeout=600)
            assert worker.returncode == 0, errors
    finally:
        for worker in workers:
            worker.kill()
