"""The output of `iap curate` as rows of the dataset: tables joined, times moved to the clip's clock."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from iap_pipelines.curation.results import table_schema
from iap_pipelines.data.corpus import CONSENT_FILE, SplitSettings, consent_of, read_consent
from iap_pipelines.data.features import CLIP_CONFIGS
from iap_pipelines.data.splits import assign_splits
from iap_pipelines.types import StructuredCaption


Row = dict[str, Any]


class _Rows:
    """Rows of a table by the value of a column. They stay in Arrow, which is compact, until they are asked for."""

    def __init__(self, table: pa.Table, key: str) -> None:
        self.table = table
        self._positions: dict[str, list[int]] = defaultdict(list)
        for position, value in enumerate(table[key].to_pylist()):
            self._positions[value].append(position)

    def all(self, value: str) -> list[Row]:
        return self.table.take(self._positions.get(value, [])).to_pylist()

    def one(self, value: str) -> Row:
        return self.table.take(self._positions[value][:1]).to_pylist()[0]


class CuratedCorpus:
    """The tables of an output folder.

    Args:
        folder: output of `iap curate`.
        splits: how clips are divided. Clips that share a person or a recording are never torn apart.

    Raises:
        FileNotFoundError: if a table is missing.
        ValueError: if `consent.jsonl` names somebody who is not in the tables.
    """

    def __init__(self, folder: Path, splits: SplitSettings) -> None:
        self.folder = Path(folder)
        self._clips = self._read("clips", "clip_id")
        self._subjects = self._read("subjects", "clip_id")
        self._tracks = self._read("tracks", "track_id")
        self._views = self._read("views", "view_id")
        self._views_of = _Rows(self._views.table, "track_id")
        self._turns = self._read("turns", "turn_id")
        self._turns_of = _Rows(self._turns.table, "clip_id")
        self._references = self._read("references", "subject_id")
        self._identities = self._read("identities", "identity_id")
        self._multi_views = self._read("multi_views", "identity_id")
        self._rejects = self._read("rejects", "record_id")
        self._consent = self._read_consent()
        self._clips_of, self._split_of = self._divide(splits)

    def _read(self, name: str, key: str) -> _Rows:
        path = self.folder / "tables" / f"{name}.parquet"
        if not path.is_file():
            raise FileNotFoundError(
                f"`folder` lacks {path.relative_to(self.folder)}: {str(self.folder)!r} is no finished output of `iap "
                "curate`. Run it again, it continues where it stopped."
            )
        return _Rows(pq.read_table(path, schema=table_schema(name)), key)

    def _read_consent(self) -> dict[str, Row]:
        consent = read_consent(self.folder)
        unknown = sorted(consent.keys() - set(self._identities.table["identity_id"].to_pylist()))
        if unknown:
            raise ValueError(
                f"{CONSENT_FILE} says what {', '.join(unknown)} agreed to, but tables/identities.parquet has nobody "
                "of that `identity_id`; ids change when the videos do. Give these lines the ids that the people have "
                "now, or take out the lines of those who are not in the folder any more."
            )
        return consent

    def _divide(self, splits: SplitSettings) -> tuple[dict[str, list[str]], dict[str, str]]:
        source_of = _pairs(self._clips.table, "clip_id", "source_id")
        contents: dict[str, set[tuple[str, str]]] = {clip: {("source", source)} for clip, source in source_of}
        clips_of: dict[str, list[str]] = defaultdict(list)
        for clip, identity in _pairs(self._subjects.table, "clip_id", "identity_id"):
            contents[clip].add(("identity", identity))
            clips_of[identity].append(clip)
        split_of = assign_splits(
            contents, validation_share=splits.validation_share, test_share=splits.test_share, seed=splits.seed
        )
        return clips_of, split_of | {identity: split_of[clips[0]] for identity, clips in clips_of.items()}

    def keys(self, config: str, split: str) -> list[str]:
        if config == "rejects":
            return [str(position) for position in range(self._rejects.table.num_rows)]
        if config in CLIP_CONFIGS:
            kinds = _pairs(self._clips.table, "clip_id", "kind")
            return [clip for clip, kind in kinds if kind == config and self._split_of[clip] == split]
        rows = self._multi_views if config == "multi_view" else self._identities
        return [key for key in rows.table["identity_id"].to_pylist() if self._split_of[key] == split]

    def row(self, config: str, key: str) -> Row:
        if config == "rejects":
            return self._rejects.table.slice(int(key), 1).to_pylist()[0]
        if config == "identities":
            return self._identity(key)
        return self._multi_view(key) if config == "multi_view" else self._clip(key)

    def _identity(self, identity_id: str) -> Row:
        row = self._identities.one(identity_id)
        clips = sorted(set(self._clips_of[identity_id]))
        sources = sorted({self._clips.one(clip)["source_id"] for clip in clips})
        return row | {
            "clip_ids": clips,
            "source_ids": sources,
            "consent": consent_of(self._consent, identity_id),
        }

    def _multi_view(self, identity_id: str) -> Row:
        row = self._multi_views.one(identity_id)
        return {
            "identity_id": identity_id,
            "faces": [self._face(self._views.one(view)) for view in row["view_ids"]],
            "voices": [self._voice(self._turns.one(turn)) for turn in row["turn_ids"]],
            "clip_ids": row["clip_ids"],
            "consent": consent_of(self._consent, identity_id),
        }

    def _clip(self, clip_id: str) -> Row:
        clip = self._clips.one(clip_id)
        subjects = sorted(self._subjects.all(clip_id), key=lambda subject: subject["number"])
        turns = sorted(self._turns_of.all(clip_id), key=lambda turn: turn["start_seconds"])
        caption = None if clip["caption"] is None else StructuredCaption.parse(clip["caption"])
        numbers = {subject["track_id"]: subject["number"] for subject in subjects}
        return clip | {
            "video": clip["file"],
            "scene": None if caption is None else caption.scene,
            "sounds": None if caption is None else caption.sounds,
            "num_subjects": len(subjects),
            "subjects": [self._subject(subject, clip, turns, caption) for subject in subjects],
            "lines": [_line(turn, numbers.get(turn["track_id"]), clip["start_seconds"]) for turn in turns],
            "scores": clip,
            "provenance": clip,
        }

    def _subject(self, subject: Row, clip: Row, turns: list[Row], caption: StructuredCaption | None) -> Row:
        described = None if caption is None else caption.subjects[subject["number"] - 1]
        views = [view for view in self._views_of.all(subject["track_id"]) if view["view_file"] is not None]
        own = [turn for turn in turns if turn["track_id"] == subject["track_id"] and turn["voice_file"] is not None]
        references = sorted(self._references.all(subject["subject_id"]), key=lambda reference: reference["rank"])
        cross = [reference for reference in references if reference["scope"] != "same_clip"]
        return subject | {
            "anchor": f"<S{subject['number']}>",
            "appearance": None if described is None else described.appearance,
            "position": None if described is None else described.position,
            "in_pair_faces": [
                self._face(view) for view in sorted(views, key=lambda view: (-view["view_score"], view["view_id"]))
            ],
            "in_pair_voices": [
                self._voice(turn) for turn in sorted(own, key=lambda turn: (-turn["voice_seconds"], turn["turn_id"]))
            ],
            "cross_faces": [
                reference | self._face(self._views.one(reference["view_id"]))
                for reference in cross
                if reference["modality"] == "face"
            ],
            "cross_voices": [
                reference | self._voice(self._turns.one(reference["turn_id"]))
                for reference in cross
                if reference["modality"] == "voice"
            ],
            "track": _track(self._tracks.one(subject["track_id"]), clip),
        }

    def _face(self, view: Row) -> Row:
        return view | {"image": view["view_file"], "source_id": self._clips.one(view["clip_id"])["source_id"]}

    def _voice(self, turn: Row) -> Row:
        source = self._clips.one(turn["clip_id"])["source_id"]
        return turn | {"audio": turn["voice_file"], "seconds": turn["voice_seconds"], "source_id": source}


def _pairs(table: pa.Table, *names: str) -> Iterable[tuple]:
    return zip(*(table[name].to_pylist() for name in names), strict=True)


def _track(track: Row, clip: Row) -> Row:
    width, height = clip["source_width"], clip["source_height"]
    return {
        "times": [time - clip["start_seconds"] for time in track["times"]],
        "boxes": [
            [left / width, top / height, right / width, bottom / height] for left, top, right, bottom in track["boxes"]
        ],
    }


def _line(turn: Row, subject: int | None, start: float) -> Row:
    return (
        {"subject": subject, "text": turn["text"]}
        | _moved(turn, start)
        | {"words": [{"text": word["text"]} | _moved(word, start) for word in turn["words"] or ()]}
    )


def _moved(row: Row, start: float) -> Row:
    return {name: row[name] - start for name in ("start_seconds", "end_seconds")}
