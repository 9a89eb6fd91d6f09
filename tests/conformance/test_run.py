"""The runner explains itself where there is nothing to run; what it runs needs a checkout of diffusers."""

import os
import subprocess
import sys
from pathlib import Path


RUNNER = Path(__file__).with_name("run.py")


def run(*arguments):
    environment = {name: value for name, value in os.environ.items() if name != "DIFFUSERS_TESTS"}
    return subprocess.run([sys.executable, RUNNER, *arguments], env=environment, capture_output=True, text=True)


def test_no_folder_is_a_skip_with_a_reason():
    finished = run()
    assert finished.returncode == 0
    assert finished.stdout.startswith("Skipped") and "--diffusers-tests" in finished.stdout


def test_another_folder_is_an_error_that_names_it(tmp_path):
    finished = run("--diffusers-tests", str(tmp_path))
    assert finished.returncode == 2
    assert str(tmp_path) in finished.stderr and "testing_utils.py" in finished.stderr
