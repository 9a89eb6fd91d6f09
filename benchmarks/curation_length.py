"""Whether memory grows with the length of a source: `python -m benchmarks.curation_length`.

One clip is repeated until the file is long enough. Stages that look at whole sources go through all of it; stages that
look at one clip are given the last one, which they have to reach. Each length has a process of its own.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from queue import SimpleQueue

import av

from benchmarks.curation_media import MEDIA_FOLDER
from benchmarks.measuring import markdown_table
from iap_pipelines.curation.config import CurationConfig
from iap_pipelines.curation.discovery import find_sources
from iap_pipelines.curation.records import Clip, Source
from iap_pipelines.curation.stage import Known, SourceFile


_KILO = 1e3
_GAP_SECONDS = 0.2
"""Between two copies, because the first packets of a sound lie before time 0."""


def write_repeated(clip: Path, seconds: float, path: Path) -> None:
    """Write the packets of a clip again and again, each time later, until the file lasts for ``seconds``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as output:
        with av.open(str(clip)) as first:
            length = first.duration / av.time_base + _GAP_SECONDS
            copies = {stream.index: output.add_stream_from_template(stream) for stream in first.streams}
        for number in range(max(1, round(seconds / length))):
            with av.open(str(clip)) as container:
                for packet in container.demux():
                    if packet.dts is None:
                        continue
                    shift = round(number * length / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = copies[packet.stream.index]
                    output.mux(packet)


def go_through(folder: str, results: SimpleQueue) -> None:
    """Put the length of the source in seconds, and then name, core seconds and peak memory in MB after each stage."""
    stages = CurationConfig().stages.in_order()
    for stage in stages:
        if hasattr(stage, "folder"):
            stage.folder = folder
        stage.setup()
    (source,) = find_sources(Path(folder) / "in").sources
    known, rows = Known(Path(folder) / "in" / source.path, source), [("models loaded", 0.0, _peak())]
    for stage in stages:
        started = time.process_time()
        unit = source if stage.unit is SourceFile else known.all(Clip)[-1]
        records = list(stage.process(unit, known.limited_to((*stage.reads, Clip))))
        known.add(stage.adds, records)
        rows.append((stage.name, time.process_time() - started, _peak()))
    results.put((known.one(Source).duration_seconds, rows))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KILO


def measure(clip: Path, minutes: float) -> tuple[float, list[tuple[str, float, float]]]:
    """As `go_through`, in a process of its own, for a clip that is repeated."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as temporary:
        write_repeated(clip, 60 * minutes, Path(temporary) / "in" / f"long{clip.suffix}")
        results = context.SimpleQueue()
        process = context.Process(target=go_through, args=(temporary, results))
        process.start()
        process.join()
        if process.exitcode:
            raise RuntimeError(f"Measuring {minutes:g} minutes ended with exit code {process.exitcode}.")
        return results.get()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=MEDIA_FOLDER / "video" / "e.mp4", help="(%(default)s)")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 10.0, 60.0], help="(%(default)s)")
    args = parser.parse_args()
    columns = [measure(args.clip, minutes) for minutes in args.minutes]
    header = ["after"]
    for seconds, _ in columns:
        header += [f"{seconds / 60:.0f} min: core s", "peak MB"]
    lines = []
    for rows in zip(*(rows for _, rows in columns), strict=True):
        lines.append([rows[0][0]])
        for _, seconds, peak in rows:
            lines[-1] += [f"{seconds:.1f}", f"{peak:.0f}"]
    print(markdown_table(header, lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
