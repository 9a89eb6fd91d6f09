"""Run every benchmark and print its table under a heading: `python -m benchmarks`."""

import subprocess
import sys


BENCHMARKS = ("denoising_loop", "scaling", "full_size", "generate")


def main() -> int:
    """Each in a process of its own, so that none warms up or weighs down the next. Returns the first failure."""
    for name in BENCHMARKS:
        print(f"## python -m benchmarks.{name}\n", flush=True)
        code = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
        if code != 0:
            return code
        print(flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
