"""The card of an exported dataset: what the Hub reads, and what a reader has to know. Made from the files alone."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets import DatasetInfo
from datasets.info import DatasetInfosDict
from datasets.splits import SplitDict, SplitInfo
from huggingface_hub import DatasetCard, DatasetCardData

from iap_pipelines.data.features import CLIP_CONFIGS, CONFIGS, SPLITS, describe_columns, identity_features


TEMPLATE = Path(__file__).with_name("dataset_card.md")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_TASKS = ["text-to-video", "image-to-video", "text-to-speech"]


@dataclass(frozen=True, kw_only=True)
class DatasetDescription:
    """What no file says.

    Args:
        name: title of the card.
        origin: where the recordings come from and under which terms, in full sentences.
        license: as the Hub spells it (`cc-by-4.0`, ...), or `other`.
        license_name: name of a licence that is `other`.
        license_link: its address.

    Raises:
        ValueError: for a licence `other` without name and link.
    """

    name: str
    origin: str
    license: str
    license_name: str | None = None
    license_link: str | None = None

    def __post_init__(self) -> None:
        if self.license == "other" and not (self.license_name and self.license_link):
            raise ValueError("`license` is 'other': give `license_name` and `license_link`, too.")


def write_card(folder: Path, description: DatasetDescription) -> Path:
    """Write README.md beside the configs of an exported dataset.

    Args:
        folder: of the export.
        description: what no file says.

    Raises:
        ValueError: if `folder` holds no clips.
    """
    files = {config: _files(folder / config) for config in CONFIGS if (folder / config).is_dir()}
    if not any(config in files for config in CLIP_CONFIGS):
        raise ValueError(
            f"`folder` {str(folder)!r} holds no clips: nothing was exported, so there is nothing to describe."
        )
    clips = {config: _statistics(folder / config, files[config]) for config in CLIP_CONFIGS if config in files}
    num_clips = sum(row["rows"] for splits in clips.values() for row in splits.values())
    data = DatasetCardData(
        pretty_name=description.name,
        license=description.license,
        task_categories=_TASKS,
        tags=["audio", "video", "identity", "talking-faces", "iap-pipelines"],
        size_categories=[next((name for limit, name in _SIZES if num_clips < limit), "n>1M")],
        configs=[_yaml_config(config, splits) for config, splits in files.items()],
        **{
            key: value
            for key, value in (("license_name", description.license_name), ("license_link", description.license_link))
            if value
        },
    )
    DatasetInfosDict({config: _info(config, splits) for config, splits in files.items()}).to_dataset_card_data(data)
    identities = _read(folder, files, "identities", ["consent"])
    rejects = _read(folder, files, "rejects", ["level", "kind", "reason"])
    card = DatasetCard.from_template(
        data,
        template_path=str(TEMPLATE),
        description=description,
        example_config=_default_config(files),
        statistics=_statistics_table(files, clips),
        consent=Counter(row["consent"]["status"] for row in identities),
        rejects=sorted(Counter((row["level"], row["kind"], row["reason"]) for row in rejects).items()),
        captioners=_captioners(folder, files),
        columns={config: describe_columns(config) for config in _described(files)},
    )
    path = Path(folder) / "README.md"
    path.write_text(card.content.rstrip() + "\n", encoding="utf-8")
    return path


def _files(folder: Path) -> dict[str, list[Path]]:
    """Files of each split, in the order of the splits."""
    order = (*SPLITS, "rejects")
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.parquet")):
        files.setdefault(path.name.split("-")[0], []).append(path)
    return dict(sorted(files.items(), key=lambda item: order.index(item[0])))


def _default_config(files: dict[str, Any]) -> str:
    return "multi_subject" if "multi_subject" in files else "single_subject"


def _yaml_config(config: str, splits: dict[str, list[Path]]) -> dict[str, Any]:
    data_files = [{"split": split, "path": f"{config}/{split}-*"} for split in splits]
    is_default = config == "multi_subject"
    return {"config_name": config, "data_files": data_files, **({"default": True} if is_default else {})}


def _info(config: str, splits: dict[str, list[Path]]) -> DatasetInfo:
    """Numbers of rows, which `load_dataset` checks: a file that got lost is noticed."""
    sizes = SplitDict()
    for split, paths in splits.items():
        metadata = [pq.read_metadata(path) for path in paths]
        num_bytes = sum(entry.row_group(i).total_byte_size for entry in metadata for i in range(entry.num_row_groups))
        sizes[split] = SplitInfo(split, num_bytes=num_bytes, num_examples=sum(entry.num_rows for entry in metadata))
    return DatasetInfo(
        features=identity_features(config),
        splits=sizes,
        config_name=config,
        download_size=sum(path.stat().st_size for paths in splits.values() for path in paths),
        dataset_size=sum(size.num_bytes for size in sizes.values()),
    )


def _statistics(folder: Path, splits: dict[str, list[Path]]) -> dict[str, dict[str, Any]]:
    """Per split: rows, hours, and who is in the clips."""
    statistics = {}
    for split, paths in splits.items():
        rows = [
            row
            for path in paths
            for row in _columns(path, ["num_frames", "frame_rate", "subjects.list.element.identity_id"])
        ]
        statistics[split] = {
            "rows": len(rows),
            "hours": sum(row["num_frames"] / row["frame_rate"] for row in rows) / 3600,
            "people": len({subject["identity_id"] for row in rows for subject in row["subjects"]}),
        }
    return statistics


def _statistics_table(files: dict[str, dict[str, list[Path]]], clips: dict[str, dict[str, Any]]) -> str:
    lines = ["| config | split | rows | hours of video | people |", "| --- | --- | ---: | ---: | ---: |"]
    for config, splits in files.items():
        for split, paths in splits.items():
            known = clips.get(config, {}).get(split)
            rows = sum(pq.read_metadata(path).num_rows for path in paths)
            more = f"{known['hours']:.3f} | {known['people']}" if known else " | "
            lines.append(f"| `{config}` | {split} | {rows} | {more} |")
    return "\n".join(lines)


def _captioners(folder: Path, files: dict[str, dict[str, list[Path]]]) -> list[str]:
    rows = [row for config in CLIP_CONFIGS for row in _read(folder, files, config, ["provenance.captioner"])]
    return sorted({row["provenance"]["captioner"] for row in rows} - {None})


def _described(files: dict[str, Any]) -> list[str]:
    """Configs with columns of their own: both configs of clips have the same."""
    return [_default_config(files), *(config for config in files if config not in CLIP_CONFIGS)]


def _read(folder: Path, files: dict[str, dict[str, list[Path]]], config: str, columns: list[str]) -> list[dict]:
    return [row for paths in files.get(config, {}).values() for path in paths for row in _columns(path, columns)]


def _columns(path: Path, columns: list[str]) -> list[dict[str, Any]]:
    return pq.ParquetFile(path).read(columns=columns).to_pylist()  # `read_table` cannot name fields inside lists
