"""
Run diffusers' own tester mixins on our classes.

diffusers publishes its mixins in the `tests` folder of its repository only, not in its package. Check that repository
out, anywhere, and name the folder:

    python tests/conformance/run.py --diffusers-tests ~/diffusers/tests
    DIFFUSERS_TESTS=~/diffusers/tests python tests/conformance/run.py -- -k "Lora and not Pipeline"

The parts that are needed are copied into a temporary folder together with our `*_suite.py`, because the mixins are
imported relatively; nothing is written to either repository. What follows `--` goes to pytest.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


HERE = Path(__file__).resolve().parent
VARIABLE = "DIFFUSERS_TESTS"
MIXINS = (
    "__init__.py",
    "conftest.py",
    "testing_utils.py",
    "models/__init__.py",
    "models/testing_utils",
    "pipelines/__init__.py",
    "pipelines/pipeline_params.py",
    "pipelines/testing_utils",
)
OUR_FILES = (
    *sorted(HERE.glob("*_suite.py")),
    HERE.parent / "pipelines" / "tiny_components.py",
    HERE.parent / "pipelines" / "tiny_people.py",
)
# The mixins skip what "requires a hardware accelerator". Some of it needs none: with `--without-accelerator` these
# run too.
LIFT_GATE = """\
from .. import testing_utils


testing_utils.require_accelerator = testing_utils.require_torch_accelerator = lambda test: test
"""
# Left over then: streams, device maps and transfers, for which there is nothing to transfer to.
NEEDS_ACCELERATOR = ("offload", "device_map")


def lay_out(diffusers_tests: Path, folder: Path, lift_gate: bool) -> Path:
    """Build a `tests` package of mixins and suites in `folder`; returns the folder of the suites."""
    tests = folder / "tests"
    for name in MIXINS:
        source, target = diffusers_tests / name, tests / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    suites = tests / "iap"
    suites.mkdir()
    (suites / "__init__.py").write_text(LIFT_GATE if lift_gate else "")
    for file in OUR_FILES:
        shutil.copy(file, suites)
    return suites


def main() -> int:
    parser = argparse.ArgumentParser(description="Run diffusers' tester mixins on the classes of iap-pipelines.")
    parser.add_argument(
        "--diffusers-tests",
        type=Path,
        default=os.environ.get(VARIABLE),
        metavar="DIR",
        help=f"the `tests` folder of a checkout of huggingface/diffusers (default: the variable {VARIABLE})",
    )
    parser.add_argument(
        "--without-accelerator",
        action="store_true",
        help="also run, on the CPU, tests that ask for an accelerator without needing one: compilation and casting",
    )
    parser.add_argument("pytest_arguments", nargs="*", metavar="-- PYTEST ARGUMENTS")
    arguments = parser.parse_args()

    if arguments.diffusers_tests is None:
        print(f"Skipped: name the `tests` folder of a diffusers checkout with --diffusers-tests or {VARIABLE}.")
        return 0
    missing = [name for name in MIXINS if not (arguments.diffusers_tests / name).exists()]
    if missing:
        parser.error(f"{arguments.diffusers_tests} is not the `tests` folder of diffusers: no {', '.join(missing)}.")

    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        suites = lay_out(arguments.diffusers_tests, Path(folder), arguments.without_accelerator)
        command = [sys.executable, "-m", "pytest", *map(str, sorted(suites.glob("*_suite.py")))]
        command += ["-q", "-rfEs", "-W", "ignore", "-p", "no:cacheprovider"]
        if arguments.without_accelerator:
            gated = " or ".join(("Compile", "HotSwap", "ayerwise", "sharded", "dtype_inference"))
            command += ["-k", f"({gated}) and not ({' or '.join(NEEDS_ACCELERATOR)})"]
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        return subprocess.run([*command, *arguments.pytest_arguments], cwd=folder, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
