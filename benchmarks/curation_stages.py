"""Processor time of every stage of curation on some files: `python -m benchmarks.curation_stages FILE...`.

Other programs do not lengthen processor time, so this says what a stage costs on a machine that is busy, too;
`benchmarks.curation` measures whole runs with several workers by the clock. Gates are left out: every clip goes
through every stage. Without files: two talking clips of `../shared/media`.
"""

import argparse
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks.curation_media import MEDIA_FOLDER
from benchmarks.measuring import markdown_table
from iap_pipelines.curation.config import CurationConfig
from iap_pipelines.curation.discovery import find_sources
from iap_pipelines.curation.records import Clip, Source
from iap_pipelines.curation.stage import Known, SourceFile, Stage


EXAMPLES = ("d.mp4", "ij_kitchen.mp4")
"""One person at 16 frames per second, two at 24; both of 720 rows."""


def measure(files: Sequence[Path]) -> tuple[dict[str, float], float]:
    """Core seconds of each stage over all files, and the length of the files in seconds."""
    seconds: dict[str, float] = defaultdict(float)
    total = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "in"
        folder.mkdir()
        for file in files:
            shutil.copy(file, folder)
        stages = CurationConfig().stages.in_order()
        for stage in stages:
            if hasattr(stage, "folder"):
                stage.folder = str(Path(temporary) / "out")
            stage.setup()
        for source in find_sources(folder).sources:
            known = Known(folder / source.path, source)
            for stage in stages:
                seconds[stage.name] += run_stage(stage, source, known)
            total += known.one(Source).duration_seconds
    return dict(seconds), total


def run_stage(stage: Stage, source: SourceFile, known: Known) -> float:
    """Run a stage on a whole source; what it adds becomes known. Returns core seconds."""
    started = time.process_time()
    units = (source,) if stage.unit is SourceFile else known.all(Clip)
    seen = known.limited_to((*stage.reads, Clip))
    records = [record for unit in units for record in stage.process(unit, seen)]
    seconds = time.process_time() - started
    known.add(stage.adds, records)
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*")
    args = parser.parse_args()
    seconds, total = measure(args.files or [MEDIA_FOLDER / "video" / name for name in EXAMPLES])
    rows = [[name, f"{value / total:.3f}"] for name, value in seconds.items()]
    everything = sum(seconds.values()) / total
    print(f"{total:.1f} s of video, default models.\n")
    print(markdown_table(("stage", "core seconds per second of video"), [*rows, ["all", f"{everything:.3f}"]]))
    print(f"\nTwo free cores would do {2 / everything:.2f} seconds of video per second.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
