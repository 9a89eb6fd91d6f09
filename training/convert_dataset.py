"""Cut a dataset into pieces: `python training/convert_dataset.py SOURCE OUTPUT --size 96x96 --size 96x128`

SOURCE is the output folder of `iap curate`, an exported dataset, or its name on the Hub. `precompute_latents.py` reads
OUTPUT.
"""

import argparse
from pathlib import Path

from iap_pipelines.data.training_folder import TrainingFolderSettings, open_clips, write_training_folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="curated folder, exported dataset, or a name on the Hub")
    parser.add_argument("output", type=Path, help="folder to fill")
    parser.add_argument("--size", action="append", required=True, metavar="HxW", help="pixels; may be repeated")
    parser.add_argument("--num-frames", type=int, default=25, help="of every piece, 4k + 1 (%(default)s)")
    parser.add_argument("--frame-rate", type=float, default=12.5, help="frames per second (%(default)s)")
    parser.add_argument("--face-size", type=int, default=96, help="side of reference faces in pixels (%(default)s)")
    args = parser.parse_args()
    settings = TrainingFolderSettings(
        sizes=tuple(tuple(int(side) for side in size.split("x")) for size in args.size),
        num_frames=args.num_frames,
        frame_rate=args.frame_rate,
        face_size=args.face_size,
    )
    report = write_training_folder(open_clips(args.source), args.output, settings)
    print(f"{report.num_pieces} pieces of {report.num_clips} clips; {len(report.left_out)} clips are left out")


if __name__ == "__main__":
    main()
