"""From a cold start to a finished clip: `iap generate --demo` as a process of its own.

Prints one table, medians over the runs (files may be in the system's cache, nothing else is warm):

- importing torch and the base classes of diffusers, and what `import iap_pipelines` takes on top;
- `iap generate --demo` (two people of the embedded checkpoint talk to each other), from the start of the process to
  the finished mp4;
- its largest resident memory.

    python -m benchmarks.generate
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.measuring import markdown_table


GIGA = 1e9
_IMPORTS = """
import time
start = time.perf_counter()
import torch
from diffusers import DiffusionPipeline, ModelMixin
middle = time.perf_counter()
import iap_pipelines
print(middle - start, time.perf_counter() - middle)
"""


class Run(NamedTuple):
    """One finished process."""

    wall_seconds: float
    processor_seconds: float
    """summed over threads"""
    peak_bytes: int
    """largest resident set"""


def run_process(command: Sequence[str]) -> Run:
    """
    Run a command and say what it took.

    Raises:
        subprocess.CalledProcessError: it ended with an error, which is in `stderr`.
    """
    launcher = [sys.executable, str(Path(__file__).with_name("launcher.py"))]
    result = subprocess.run([*launcher, *command], check=True, capture_output=True, text=True)
    return Run(**json.loads(result.stdout))


def measure_imports(repeats: int) -> tuple[float, float]:
    """Median seconds of importing torch and diffusers, and of importing this package after that."""
    rounds = []
    for _ in range(repeats):
        result = subprocess.run([sys.executable, "-c", _IMPORTS], check=True, capture_output=True, text=True)
        rounds.append(tuple(map(float, result.stdout.split()[-2:])))
    below, ours = (statistics.median(values) for values in zip(*rounds, strict=True))
    return below, ours


def measure_demo(repeats: int, options: Sequence[str]) -> list[Run]:
    """Run `iap generate --demo` with these options into a temporary folder."""
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for index in range(repeats):
            output = Path(folder) / f"clip{index}.mp4"
            command = [sys.executable, "-m", "iap_pipelines.cli", "generate", "--demo", "--quiet"]
            runs.append(run_process([*command, "--output", str(output), *options]))
            if not output.stat().st_size:
                raise RuntimeError(f"`iap generate --demo` ended well, but {output} is empty.")
    return runs


def report(repeats: int, options: Sequence[str]) -> str:
    """Measure everything and return the table."""
    below, ours = measure_imports(repeats)
    runs = measure_demo(repeats, options)
    wall_seconds, processor_seconds, peak_bytes = (statistics.median(values) for values in zip(*runs, strict=True))
    rows = [
        ["import torch and diffusers", f"{below:.1f} s"],
        ["import iap_pipelines on top", f"{ours:.1f} s"],
        ["iap generate --demo, start to finished mp4", f"{wall_seconds:.1f} s"],
        ["of it, processor time of all threads", f"{processor_seconds:.1f} s"],
        ["largest resident memory", f"{peak_bytes / GIGA:.2f} GB"],
    ]
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    note = f"{os.cpu_count()} CPUs, OMP_NUM_THREADS {threads}, medians of {repeats} runs."
    return f"{note}\n\n{markdown_table(['from a cold start', 'measured'], rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each (%(default)s)")
    parser.add_argument("--model", help="another checkpoint than the embedded one")
    parser.add_argument("--steps", type=int, help="denoising steps; the checkpoint's own choice if not given")
    args = parser.parse_args()
    options = [f"--{name}={getattr(args, name)}" for name in ("model", "steps") if getattr(args, name) is not None]
    try:
        print(report(args.repeats, options))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd)} failed:\n{error.stderr}")


if __name__ == "__main__":
    main()
