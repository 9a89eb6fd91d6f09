"""Encode a folder of clips and references once: `python training/precompute_latents.py WORLD CODECS OUTPUT`.

Start it again and it continues where it was.
"""

import argparse
import logging
from pathlib import Path

import torch

from iap_pipelines.data.encoding import PrecomputeSettings, precompute_latents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("world", type=Path, help="folder with clips.jsonl and identities.jsonl")
    parser.add_argument("codecs", help="folder with vae and audio_vae")
    parser.add_argument("output", type=Path, help="folder of latents")
    parser.add_argument("--frames-per-clip", type=int, default=5, help="single frames encoded per clip")
    parser.add_argument("--no-video", action="store_true", help="encode sound only")
    parser.add_argument("--no-audio", action="store_true", help="encode pictures only")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--num-threads", type=int, help="threads of this process; PyTorch's choice if not given")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if args.num_threads:
        torch.set_num_threads(args.num_threads)
    settings = PrecomputeSettings(
        codecs=args.codecs,
        frames_per_clip=args.frames_per_clip,
        with_video=not args.no_video,
        with_audio=not args.no_audio,
    )
    precompute_latents(args.world, args.output, settings, args.device)


if __name__ == "__main__":
    main()
