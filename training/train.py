"""Train the transformer: `python training/train.py training/configs/tiny_stage1_face.yaml [--set key.sub=value ...]`.

Start it again with the same config and it continues from its newest checkpoint.
"""

import argparse
import logging

import torch

from iap_pipelines.hub.publishing import publish_folder
from iap_pipelines.training.config import load_training_config, parse_overrides
from iap_pipelines.training.trainer import Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="?", default=argparse.SUPPRESS, help="YAML file of the run")
    parser.add_argument("--config", dest="config", required=False, help="the same, by name")
    parser.add_argument(
        "--set", nargs="*", action="extend", default=[], metavar="KEY=VALUE", help="replace values of the file"
    )
    parser.add_argument("--num-threads", type=int, help="threads of this process; PyTorch's choice if not given")
    parser.add_argument("--stop-at", type=int, help="stop after this many steps in total, and export")
    parser.add_argument("--export-only", action="store_true", help="export the newest checkpoint and stop")
    args = parser.parse_args()
    if args.config is None:
        parser.error("give the YAML file of the run")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if args.num_threads:
        torch.set_num_threads(args.num_threads)
    config = load_training_config(args.config, parse_overrides(args.set))
    trainer = Trainer(config, publish=publish_folder)
    if args.export_only and trainer.next_step == 0:
        parser.error(f"--export-only needs a checkpoint, but there is none in {config.output}: train first")
    if args.export_only:
        trainer.export()
    else:
        trainer.run(args.stop_at)


if __name__ == "__main__":
    main()
