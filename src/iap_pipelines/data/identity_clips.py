"""The builder: a curated folder or a synthetic world as a dataset, without an export in between.

It yields tables in storage form, so neither torchcodec nor FFmpeg is needed to build or stream.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets.builder import Key

from iap_pipelines.data.corpus import Corpus, SplitSettings, corpus_digest, open_corpus, storage_tables
from iap_pipelines.data.features import CONFIGS, SPLITS, identity_features


_VERSION = datasets.Version("1.0.0")


@dataclass
class IdentityClipsConfig(datasets.BuilderConfig):
    """What is read, and how it is divided. ``data_dir`` is the folder.

    Args:
        decode: whether rows come with decoded media, which needs torchcodec for videos and sounds.
        splits: how clips are divided; `None` takes the defaults, or what the folder says itself.
        rows_per_table: rows that are in memory at one time.
        num_shards: pieces per split for parallel readers, at most.
    """

    decode: bool = True
    splits: SplitSettings | None = None
    rows_per_table: int = 16
    num_shards: int = 16


class IdentityClips(datasets.ArrowBasedBuilder):
    """Clips of known people with references; see the README of `iap_pipelines.data` for every column.

    Example:
        >>> builder = IdentityClips(config_name="multi_subject", data_dir="curated")  # doctest: +SKIP
        >>> builder.download_and_prepare()  # doctest: +SKIP
        >>> train = builder.as_dataset(split="train")  # doctest: +SKIP
    """

    VERSION = _VERSION
    BUILDER_CONFIG_CLASS = IdentityClipsConfig
    BUILDER_CONFIGS = [IdentityClipsConfig(name=name, version=_VERSION) for name in CONFIGS]
    DEFAULT_CONFIG_NAME = "multi_subject"

    def __init__(self, *args: Any, data_dir: str | Path | None = None, hash: str | None = None, **kwargs: Any) -> None:
        if data_dir is None:
            raise ValueError("`data_dir` must name the output folder of `iap curate` or `iap synthesize`.")
        # The cache knows a folder by name only; with the digest, other content gives other rows.
        super().__init__(*args, data_dir=str(data_dir), hash=hash or corpus_digest(Path(data_dir)), **kwargs)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=identity_features(self.config.name, decode=self.config.decode))

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        corpus = open_corpus(Path(self.config.data_dir), self.config.splits)
        keys = keys_by_split(corpus, self.config.name)
        if not keys:
            raise ValueError(f"`data_dir` {self.config.data_dir!r} has nothing for the config {self.config.name!r}.")
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"shards": _divide(found, self.config.num_shards)})
            for split, found in keys.items()
        ]

    def _generate_shards(self, shards: list[list[str]]) -> Iterator[dict[str, int]]:
        yield from ({"shard": index, "rows": len(keys)} for index, keys in enumerate(shards))

    def _generate_tables(self, shards: list[list[str]]) -> Iterator[tuple[Key, pa.Table]]:
        corpus = open_corpus(Path(self.config.data_dir), self.config.splits)
        for index, keys in enumerate(shards):
            tables = storage_tables(
                corpus,
                self.config.name,
                keys,
                self.info.features,
                rows_per_table=self.config.rows_per_table,
                embed=False,
            )
            yield from ((Key(index, number), table) for number, table in enumerate(tables))


def keys_by_split(corpus: Corpus, config: str) -> dict[str, list[str]]:
    """Keys of each split that has any: `datasets` cannot read an empty one. Rejects have a split of their own."""
    keys = {split: corpus.keys(config, split) for split in (("rejects",) if config == "rejects" else SPLITS)}
    return {split: found for split, found in keys.items() if found}


def _divide(keys: list[str], num_shards: int) -> list[list[str]]:
    """At most `num_shards` runs of about equal length."""
    size = -(-len(keys) // num_shards)
    return [keys[start : start + size] for start in range(0, len(keys), size)]
