"""A synthetic world as rows of the dataset. What is true of it is known; what only curation measures is null."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from iap_pipelines.curation.records import Record, TrackSync
from iap_pipelines.curation.results import Identity
from iap_pipelines.curation.schema import column_fields
from iap_pipelines.data.clip_folder import IdentityEntry, read_identities
from iap_pipelines.data.features import CLIP_CONFIGS
from iap_pipelines.types import StructuredCaption


Row = dict[str, Any]

_CONSENT = {
    "status": "not_needed",
    "statement": "A drawn person with a made voice: nobody's likeness.",
    "given_on": None,
    "expires_on": None,
    "allowed_uses": [],
}


class WorldCorpus:
    """A folder that `iap synthesize` wrote, with its own splits.

    Args:
        folder: of the world.

    Raises:
        FileNotFoundError: if it is not complete.
        ValueError: if a clip and one of its people have different splits.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._identities = read_identities(self.folder)
        with open(self.folder / "clips.jsonl", encoding="utf-8") as file:
            self._clips = {clip["clip_id"]: clip for clip in map(json.loads, file)}
        self._clips_of: dict[str, list[str]] = {name: [] for name in self._identities}
        for clip in self._clips.values():
            for subject in clip["subjects"]:
                self._note(clip, self._identities[subject["identity"]])

    def _note(self, clip: Row, identity: IdentityEntry) -> None:
        if clip["split"] != identity.split:
            raise ValueError(
                f"`folder`: clip {clip['clip_id']} is in split {clip['split']!r}, but {identity.identity}, who is in "
                f"it, in {identity.split!r}."
            )
        self._clips_of[identity.identity].append(clip["clip_id"])

    def keys(self, config: str, split: str) -> list[str]:
        if config == "rejects":
            return []
        if config in CLIP_CONFIGS:
            return [
                name
                for name, clip in self._clips.items()
                if clip["split"] == split and (len(clip["subjects"]) == 1) == (config == "single_subject")
            ]
        return [name for name, identity in self._identities.items() if identity.split == split]

    def row(self, config: str, key: str) -> Row:
        if config == "identities":
            return self._identity(key)
        return self._multi_view(key) if config == "multi_view" else self._clip(self._clips[key])

    def _identity(self, name: str) -> Row:
        clips = self._clips_of[name]
        return dict.fromkeys(_names(Identity)) | {
            "identity_id": name,
            "num_clips": len(clips),
            "subject_ids": [f"{clip}/{name}" for clip in clips],
            "clip_ids": clips,
            "source_ids": [],
            "consent": _CONSENT,
        }

    def _multi_view(self, name: str) -> Row:
        return {
            "identity_id": name,
            "faces": self._faces(name),
            "voices": self._voices(name),
            "clip_ids": self._clips_of[name],
            "consent": _CONSENT,
        }

    def _faces(self, name: str) -> list[Row]:
        unknown = dict.fromkeys(("clip_id", "source_id", "yaw_degrees", "pitch_degrees", "view_score", "similarity"))
        return [
            unknown | {"image": path.relative_to(self.folder), "view_id": f"{name}/{path.stem}", "scope": "reference"}
            for path in self._identities[name].faces
        ]

    def _voices(self, name: str) -> list[Row]:
        unknown = dict.fromkeys(("clip_id", "source_id", "text", "seconds", "similarity"))
        return [
            unknown | {"audio": path.relative_to(self.folder), "turn_id": f"{name}/{path.stem}", "scope": "reference"}
            for path in self._identities[name].voices
        ]

    def _clip(self, clip: Row) -> Row:
        caption = StructuredCaption.parse(clip["caption"])
        with np.load(self.folder / clip["truth"]) as truth:
            boxes = truth["face_box"] / np.array([clip["width"], clip["height"]] * 2)
        return clip | {
            "video": clip["file"],
            "scene": caption.scene,
            "sounds": caption.sounds,
            "num_subjects": len(clip["subjects"]),
            "subjects": [
                self._subject(clip, caption, number, boxes[:, number - 1])
                for number in range(1, len(clip["subjects"]) + 1)
            ],
            "lines": [_line(line) for line in clip["lines"]],
            "scores": None,
            "provenance": None,
        }

    def _subject(self, clip: Row, caption: StructuredCaption, number: int, boxes: np.ndarray) -> Row:
        name = clip["subjects"][number - 1]["identity"]
        said = [line for line in clip["lines"] if line["subject"] == number]
        described = caption.subjects[number - 1]
        unknown = ("match_score", "match_margin", "face_embedding", "voice_embedding")
        return dict.fromkeys((*unknown, *_names(TrackSync))) | {
            "number": number,
            "anchor": f"<S{number}>",
            "subject_id": f"{clip['clip_id']}/{name}",
            "identity_id": name,
            "role": "speaker" if said else "listener",
            "appearance": described.appearance,
            "position": described.position,
            "in_pair_faces": [],
            "in_pair_voices": [],
            "cross_faces": self._faces(name),
            "cross_voices": self._voices(name),
            "track": {"times": [f / clip["frame_rate"] for f in range(len(boxes))], "boxes": boxes.tolist()},
            "speech_seconds": sum(line["end"] - line["start"] for line in said),
        }


def _names(record: type[Record]) -> list[str]:
    """Columns that curation would fill."""
    return [item.name for item in column_fields(record)]


def _line(line: Row) -> Row:
    return {
        "subject": line["subject"],
        "text": line["text"],
        "start_seconds": line["start"],
        "end_seconds": line["end"],
        "words": [
            {"text": word["word"], "start_seconds": word["start"], "end_seconds": word["end"]}
            for word in line["words"]
        ],
    }
