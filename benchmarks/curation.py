"""How fast curation is, how it scales with workers, and what memory a worker takes: `python -m benchmarks.curation`.

Sources are the talking clips of a folder, each repeated with other trailing bytes, so that every copy is a source of
its own. Seconds per stage come from the ledger; memory is read from /proc while the run goes on.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.curation_media import MEDIA_FOLDER
from benchmarks.measuring import markdown_table
from iap_pipelines.curation.run import curate
from iap_pipelines.media import probe


_POLL_SECONDS = 0.25
_MEGA = 1e6


def write_copies(sources: list[Path], folder: Path, repeats: int) -> float:
    """Write every source ``repeats`` times; returns their length in seconds."""
    folder.mkdir(parents=True)
    total = 0.0
    for source in sources:
        info = probe(source)
        total += repeats * info.pictures.duration_seconds
        for number in range(repeats):
            # A box of the type `free`, which readers of mp4 skip.
            box = (12).to_bytes(4, "big") + b"free" + number.to_bytes(4, "big")
            (folder / f"{source.stem}-{number:03d}{source.suffix}").write_bytes(source.read_bytes() + box)
    return total


@contextmanager
def watch_memory() -> Iterator[dict[int, list[float]]]:
    """Resident memory of every process below this one, in megabytes, over time."""
    found: dict[int, list[float]] = defaultdict(list)
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(_POLL_SECONDS):
            for process, resident in _descendants(os.getpid()).items():
                found[process].append(resident)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def _descendants(root: int) -> dict[int, float]:
    parents, resident = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
            resident[int(entry.name)] = int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / _MEGA
    below = {root}
    while grown := {process for process, parent in parents.items() if parent in below} - below:
        below |= grown
    return {process: resident[process] for process in below - {root}}


def worker_memory(found: dict[int, list[float]], workers: int) -> list[float]:
    """Largest resident memory of a worker in each quarter of its life, in megabytes; empty when nothing ran."""
    # The processes that grew most are the workers; others are servers of multiprocessing.
    largest = [np.array_split(series, 4) for series in sorted(found.values(), key=max, reverse=True)[:workers]]
    return [max(float(np.max(series[n], initial=0.0)) for series in largest) for n in range(4)] if largest else []


def measure(folder: Path, output: Path, workers: int, media_seconds: float) -> tuple[list[str], list[dict]]:
    """One run: a line of the table of workers, and the time of each stage."""
    with watch_memory() as memory:
        started = time.perf_counter()
        curate(folder, output, workers=workers)
        seconds = time.perf_counter() - started
    quarters = worker_memory(memory, workers)
    numbers = json.loads((output / "report.json").read_text())
    row = [
        str(workers),
        f"{seconds:.0f}",
        f"{media_seconds / seconds:.2f}",
        *(f"{megabytes:.0f}" for megabytes in quarters),
    ]
    return row, numbers["seconds"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--media", type=Path, default=Path(os.environ.get("IAP_MEDIA_DIR", MEDIA_FOLDER)) / "video")
    parser.add_argument("--repeats", type=int, default=1, help="copies of each clip (%(default)s)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of processes (%(default)s)")
    args = parser.parse_args()
    sources = sorted(path for path in args.media.iterdir() if path.suffix in (".mp4", ".mov"))
    rows, stages = [], []
    with tempfile.TemporaryDirectory() as temporary:
        media_seconds = write_copies(sources, Path(temporary) / "in", args.repeats)
        for workers in args.workers:
            row, stages = measure(Path(temporary) / "in", Path(temporary) / f"out-{workers}", workers, media_seconds)
            rows.append(row)
    print(f"{len(sources) * args.repeats} clips, {media_seconds:.0f} s of video, default models.\n")
    header = ("workers", "seconds", "video s per s", *(f"peak MB per worker, quarter {n}" for n in (1, 2, 3, 4)))
    print(markdown_table(header, rows))
    print(f"\nWith {args.workers[-1]} workers:\n")
    table = [[item["stage"], f"{item['seconds']:.1f}", f"{item['seconds_per_video_second']:.3f}"] for item in stages]
    print(markdown_table(("stage", "seconds", "per video second"), table))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
