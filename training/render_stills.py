"""
Draw still pictures of many people for the first stage: `python training/render_stills.py OUTPUT --num-people 1000`.
"""

import argparse
from pathlib import Path

from iap_pipelines.data.stills import render_stills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="folder of the result")
    parser.add_argument("--num-people", type=int, default=1000)
    parser.add_argument("--num-stills", type=int, default=6, help="pictures per person to learn")
    parser.add_argument("--num-views", type=int, default=4, help="reference pictures per person")
    parser.add_argument("--seed", type=int, default=901)
    args = parser.parse_args()
    render_stills(args.output, args.num_people, args.num_stills, args.num_views, args.seed)


if __name__ == "__main__":
    main()
