"""Run a command and print what it took: `python benchmarks/launcher.py COMMAND ...`.

A process of its own, since Linux counts the memory of whoever starts a command as the command's: a benchmark that has
imported torch is heavy, this is not. Prints JSON; what the command prints goes to stderr.
"""

import json
import os
import subprocess
import sys
import time


def main(command: list[str]) -> int:
    """Returns the command's exit code."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    measured = {
        "wall_seconds": time.perf_counter() - start,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * unit,
    }
    print(json.dumps(measured))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
