"""What the loopback Hub keeps: repositories with branches and commits, and large files by their hash."""

import base64
import hashlib
import itertools
import json
from dataclasses import dataclass, field
from pathlib import PurePosixPath


LARGE_SUFFIXES = (".safetensors", ".parquet", ".mp4", ".flac", ".wav")
_commit_numbers = itertools.count()


@dataclass(frozen=True)
class StoredFile:
    """A file of a commit. `is_large` files travel apart from the commit, as on the real Hub (git-lfs)."""

    data: bytes
    is_large: bool = False

    @property
    def git_oid(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_large else self.git_oid

    def tree_entry(self, path: str) -> dict:
        entry = {"type": "file", "oid": self.git_oid, "size": len(self.data), "path": path}
        if self.is_large:
            entry["lfs"] = {"oid": self.sha256, "size": len(self.data), "pointerSize": 134}
        return entry


Tree = dict[str, StoredFile]


def tree_entries(tree: Tree) -> dict[str, dict]:
    """What is listed of a tree: its files, and the folders that they lie in."""
    entries = {path: file.tree_entry(path) for path, file in tree.items()}
    for path in tree:
        for folder in map(str, PurePosixPath(path).parents[:-1]):
            oid = hashlib.sha1(folder.encode()).hexdigest()
            entries[folder] = {"type": "directory", "oid": oid, "size": 0, "path": folder}
    return dict(sorted(entries.items()))


def is_inside(path: str, folder: str) -> bool:
    """Whether a folder of a tree holds a path, at any depth; the root, an empty text, holds all."""
    return not folder or path.startswith(f"{folder}/")


@dataclass
class Repository:
    is_private: bool = False
    trees: dict[str, Tree] = field(default_factory=dict)
    """by commit"""
    branches: dict[str, str] = field(default_factory=dict)
    """branch name to commit"""

    def __post_init__(self) -> None:
        self.commit("main", {})

    def resolve(self, revision: str) -> str | None:
        """The commit that a branch or a commit's own name stands for."""
        return self.branches.get(revision, revision if revision in self.trees else None)

    def files(self, revision: str = "main") -> Tree:
        return self.trees[self.branches[revision]]

    def commit(self, branch: str, tree: Tree) -> str:
        digest = json.dumps([next(_commit_numbers), sorted((path, file.sha256) for path, file in tree.items())])
        sha = hashlib.sha1(digest.encode()).hexdigest()
        self.trees[sha] = tree
        self.branches[branch] = sha
        return sha

    def apply(self, branch: str, lines: list[dict], large_files: dict[str, bytes]) -> str:
        """Make a commit from the lines of a commit request."""
        tree = dict(self.files(branch))
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                tree[value["path"]] = StoredFile(base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile":
                tree[value["path"]] = StoredFile(large_files[value["oid"]], is_large=True)
            elif line["key"] == "deletedFile":
                del tree[value["path"]]
            elif line["key"] != "header":
                raise NotImplementedError(line["key"])
        return self.commit(branch, tree)
