"""Train the models that score the generator: `python training/train_recognisers.py training/configs/recognisers.yaml`.

Start it again with the same config and it continues with the model it was at.
"""

import argparse
import logging
from pathlib import Path

import torch

from iap_pipelines.training.recognisers.config import load_recogniser_config
from iap_pipelines.training.recognisers.trainer import train_recognisers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path, help="YAML file")
    parser.add_argument("--num-threads", type=int, help="threads of this process; PyTorch's choice if not given")
    for key in ("world", "voices", "codecs", "output"):
        parser.add_argument(f"--{key}", help=f"replaces `{key}` of the file")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if args.num_threads:
        torch.set_num_threads(args.num_threads)
    given = {
        key: getattr(args, key) for key in ("world", "voices", "codecs", "output") if getattr(args, key) is not None
    }
    config = load_recogniser_config(args.config).model_copy(update=given)
    for folder in train_recognisers(config):
        print(folder)


if __name__ == "__main__":
    main()
