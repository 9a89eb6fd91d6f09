"""The loading script of this project: the builder, and two commands.

    from identity_clips import IdentityClips       # or: from iap_pipelines.data import IdentityClips
    python dataset_scripts/identity_clips.py build CURATED DATASET --name "My clips" --origin "..." --license cc-by-4.0
    python dataset_scripts/identity_clips.py card DATASET --name "My clips" --origin "..." --license cc-by-4.0

`load_dataset` of datasets 5 runs no scripts. Use the builder in Python, or `build` a folder that plain `load_dataset`
reads.
"""

import argparse
import sys
from pathlib import Path

from iap_pipelines.data.corpus import SplitSettings
from iap_pipelines.data.dataset_card import DatasetDescription, write_card
from iap_pipelines.data.features import identity_features
from iap_pipelines.data.identity_clips import IdentityClips, IdentityClipsConfig
from iap_pipelines.data.parquet_export import export_dataset


__all__ = ["IdentityClips", "IdentityClipsConfig", "identity_features"]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="write a folder that `load_dataset` reads")
    build.add_argument("corpus", type=Path, help="output of `iap curate` or `iap synthesize`")
    build.add_argument("output", type=Path, help="folder to make")
    build.add_argument("--validation-share", type=float, help="of the clips, 0 to 1; a world has splits of its own")
    build.add_argument("--test-share", type=float, help="of the clips, 0 to 1")
    build.add_argument("--split-seed", type=int, help="decides between groups of equal size")
    build.add_argument("--rows-per-group", type=int, default=16, help="rows of a Parquet row group (%(default)s)")
    card = commands.add_parser("card", help="write the card of such a folder again")
    card.add_argument("output", type=Path, help="folder that `build` made")
    for command in (build, card):
        command.add_argument("--name", required=True, help="title of the card")
        command.add_argument("--origin", required=True, help="where the recordings come from and under which terms")
        command.add_argument("--license", required=True, help="as the Hub spells it, or other")
        command.add_argument("--license-name", help="name of another licence")
        command.add_argument("--license-link", help="address of another licence")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    description = DatasetDescription(
        name=args.name,
        origin=args.origin,
        license=args.license,
        license_name=args.license_name,
        license_link=args.license_link,
    )
    if args.command == "card":
        print(write_card(args.output, description))
        return
    given = {
        "validation_share": args.validation_share,
        "test_share": args.test_share,
        "seed": args.split_seed,
    }
    given = {name: value for name, value in given.items() if value is not None}
    splits = SplitSettings(**given) if given else None
    print(export_dataset(args.corpus, args.output, description, splits=splits, rows_per_group=args.rows_per_group))


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"identity_clips: {error}")
