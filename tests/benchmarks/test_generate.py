import subprocess
import sys

import pytest

from benchmarks import generate


def test_run_process_sees_memory_and_time():
    small = generate.run_process([sys.executable, "-c", "pass"])
    large = generate.run_process([sys.executable, "-c", "data = b'x' * 200_000_000"])
    assert large.peak_bytes - small.peak_bytes > 150_000_000
    assert 0 < small.processor_seconds
    assert 0 < small.wall_seconds


def test_run_process_says_why_a_command_failed():
    with pytest.raises(subprocess.CalledProcessError) as error:
        generate.run_process([sys.executable, "-c", "raise SystemExit('no checkpoint')"])
    assert "no checkpoint" in error.value.stderr


def test_the_table_holds_medians(monkeypatch):
    monkeypatch.setattr(generate, "measure_imports", lambda repeats: (2.0, 0.5))
    runs = [generate.Run(10.0, 15.0, 10**9), generate.Run(30.0, 15.0, 10**9), generate.Run(12.0, 15.0, 10**9)]
    monkeypatch.setattr(generate, "measure_demo", lambda repeats, options: runs)
    table = generate.report(3, [])
    assert "| iap generate --demo, start to finished mp4 | 12.0 s |" in table
    assert "| largest resident memory | 1.00 GB |" in table
