"""Who is learned from and who is not: splits that share nobody."""

import hashlib
from collections.abc import Hashable, Iterable, Mapping

from iap_pipelines.data.features import SPLITS


def assign_splits(
    clips: Mapping[str, Iterable[Hashable]], *, validation_share: float, test_share: float, seed: int = 0
) -> dict[str, str]:
    """Give every clip a split, so that clips which share anything have the same one, however indirectly.

    The largest groups go first, each to the split that lacks most clips; the last ones go to splits that would stay
    empty.

    Args:
        clips: what each clip contains (people, recordings).
        validation_share: of the clips that should be in ``validation``, 0 to 1.
        test_share: of the clips that should be in ``test``.
        seed: decides between groups of equal size.

    Raises:
        ValueError: for shares outside [0, 1], or that add up to more than 1.

    >>> assign_splits({"a": ["ada"], "b": ["ada", "ben"], "c": ["cy"]}, validation_share=0.3, test_share=0)
    {'a': 'train', 'b': 'train', 'c': 'validation'}
    """
    if min(validation_share, test_share) < 0 or validation_share + test_share > 1:
        raise ValueError(
            "`validation_share` and `test_share` must be 0 or more and add up to 1 at most, but got "
            f"{validation_share!r} and {test_share!r}."
        )
    shares = dict(zip(SPLITS, (1 - validation_share - test_share, validation_share, test_share), strict=True))
    lacking = {split: share * len(clips) for split, share in shares.items() if share > 1e-9}
    empty = set(lacking)
    groups = sorted(connected_groups(clips), key=lambda group: (-len(group), _draw(seed, group)))
    splits = {}
    for position, group in enumerate(groups):
        must_fill = len(groups) - position <= len(empty)
        split = max(empty if must_fill else lacking, key=lambda name: (lacking[name], -SPLITS.index(name)))
        splits |= dict.fromkeys(group, split)
        lacking[split] -= len(group)
        empty.discard(split)
    return {clip: splits[clip] for clip in clips}


def connected_groups(clips: Mapping[str, Iterable[Hashable]]) -> list[list[str]]:
    """Groups of clips that share something with another clip of their group; sorted."""
    parent: dict[Hashable, Hashable] = {}

    def root(node: Hashable) -> Hashable:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for clip, contents in clips.items():
        for item in contents:
            parent[root(("item", item))] = root(("clip", clip))
    groups: dict[Hashable, list[str]] = {}
    for clip in sorted(clips):
        groups.setdefault(root(("clip", clip)), []).append(clip)
    return sorted(groups.values())


def _draw(seed: int, group: list[str]) -> str:
    return hashlib.sha256(f"{seed}\x1f{group[0]}".encode()).hexdigest()
