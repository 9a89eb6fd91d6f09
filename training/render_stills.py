"""
Draw still pictures of many people for the first stage: `python training/render_stills.py OUTPUT --num-people 1000`.
"""

import argparse
from pathlib import Path

from iap_pipelines.data.stills import StillsConfig, render_stills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="folder of the result")
    parser.add_argument("--num-people", type=int, default=1000)
    parser.add_argument("--num-stills", type=int, default=5, help="pictures per person alone, to learn (%(default)s)")
    parser.add_argument("--num-views", type=int, default=3, help="reference pictures per person (%(default)s)")
    parser.add_argument("--num-pairs", type=int, default=3000, help="pictures of two people (%(default)s)")
    parser.add_argument("--num-validation", type=int, default=16, help="of the people, to validate with (%(default)s)")
    parser.add_argument("--seed", type=int, default=901)
    args = parser.parse_args()
    config = StillsConfig(
        num_people=args.num_people,
        num_stills=args.num_stills,
        num_views=args.num_views,
        num_pairs=args.num_pairs,
        num_validation=args.num_validation,
        seed=args.seed,
    )
    render_stills(args.output, config)


if __name__ == "__main__":
    main()
