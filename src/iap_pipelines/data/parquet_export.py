"""A corpus as a repository folder: Parquet with the media inside and a card. Plain `load_dataset` reads it."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features

from iap_pipelines.data.corpus import SplitSettings, open_corpus, storage_tables
from iap_pipelines.data.dataset_card import DatasetDescription, write_card
from iap_pipelines.data.features import CONFIGS, identity_features
from iap_pipelines.data.identity_clips import keys_by_split


def export_dataset(
    folder: Path,
    output: Path,
    description: DatasetDescription,
    *,
    splits: SplitSettings | None = None,
    rows_per_group: int = 16,
    max_shard_bytes: int = 500_000_000,
) -> Path:
    """Write every config and the card. The output appears when it is whole; equal input gives equal bytes.

    Args:
        folder: output of `iap curate`, or a synthetic world.
        output: folder to make. It can be uploaded as it is.
        description: what the card says about the data.
        splits: how clips are divided; `None` takes the defaults, or what `folder` says itself.
        rows_per_group: rows that readers load, shuffle and resume by; 16 to 32 suit clips.
        max_shard_bytes: a file that has reached this size is followed by another.

    Returns:
        `output`.

    Raises:
        FileExistsError: if `output` exists.
        ValueError: if `folder` holds no clips.
    """
    output = Path(output)
    if output.exists():
        raise FileExistsError(f"`output` {str(output)!r} exists. Give another folder, or delete it.")
    corpus = open_corpus(Path(folder), splits)
    partial = output.with_name(f".{output.name}.partial-{os.getpid()}")
    try:
        for config in CONFIGS:
            features = identity_features(config)
            for split, keys in keys_by_split(corpus, config).items():
                tables = storage_tables(corpus, config, keys, features, rows_per_table=rows_per_group, embed=True)
                _write_shards(tables, partial / config, split, features, max_shard_bytes)
        write_card(partial, description)
        os.replace(partial, output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return output


def _write_shards(
    tables: Iterable[pa.Table], folder: Path, split: str, features: Features, max_shard_bytes: int
) -> None:
    """One row group per table. Names carry the number of files, so they are given at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    shards: list[Path] = []
    writer, num_bytes = None, 0
    for table in tables:
        if writer is None or num_bytes >= max_shard_bytes:
            if writer is not None:
                writer.close()
            shards.append(folder / f".{split}-{len(shards):05d}")
            writer, num_bytes = _open_writer(shards[-1], features), 0
        writer.write_table(table, row_group_size=table.num_rows)
        num_bytes += table.nbytes
    writer.close()
    for index, shard in enumerate(shards):
        os.replace(shard, folder / f"{split}-{index:05d}-of-{len(shards):05d}.parquet")


def _open_writer(path: Path, features: Features) -> pq.ParquetWriter:
    # Content-defined chunks let the Hub store only what changed; a page index lets it read parts of a row group.
    # Media do not compress, so a fast level is enough for the rest.
    return pq.ParquetWriter(
        path,
        features.arrow_schema,
        use_content_defined_chunking=True,
        write_page_index=True,
        use_dictionary=False,
        compression="zstd",
        compression_level=1,
    )
