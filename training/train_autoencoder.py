"""Door: cache a world for the codecs, or train one of them.

    python training/train_autoencoder.py prepare --world data/world --cache data/codec_cache
    python training/train_autoencoder.py train training/configs/tiny_video_vae.yaml --cache data/codec_cache

A run that was killed goes on where it was when the same command is given again.
"""

import argparse
import logging
from pathlib import Path

from iap_pipelines.training.autoencoders.audio_vae import SAMPLING_RATE
from iap_pipelines.training.autoencoders.config import read_codec_config
from iap_pipelines.training.autoencoders.prepare import cache_worlds
from iap_pipelines.training.autoencoders.run import train_codec


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="decode a world on disk into a cache")
    prepare.add_argument(
        "--world", type=Path, required=True, action="append", help="folder of clips or stills; may be repeated"
    )
    prepare.add_argument("--cache", type=Path, required=True, help="folder to write; must not hold a cache yet")
    train = commands.add_parser("train", help="train a codec, or go on training it")
    train.add_argument("config", type=Path, help="YAML file")
    train.add_argument("--stop-at", type=int, help="stop after this many steps in total")
    for key in ("cache", "output", "init_from", "audio_vae"):
        train.add_argument(f"--{key.replace('_', '-')}", type=Path, help=f"replaces `{key}` of the file")
    return parser.parse_args()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = parse_arguments()
    if arguments.command == "prepare":
        print(cache_worlds(arguments.world, arguments.cache, sampling_rate=SAMPLING_RATE))
        return
    keys = ("cache", "output", "init_from", "audio_vae")
    overrides = {key: getattr(arguments, key) for key in keys if getattr(arguments, key) is not None}
    config = read_codec_config(arguments.config, overrides)
    train_codec(config, stop_at=arguments.stop_at)
    print(config.output / "export")


if __name__ == "__main__":
    main()
