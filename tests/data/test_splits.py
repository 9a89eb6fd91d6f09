"""Nobody is in two splits, whatever the clips share."""

import numpy as np
import pytest

from iap_pipelines.data.features import SPLITS
from iap_pipelines.data.splits import assign_splits, connected_groups


SHARES = {"validation_share": 0.2, "test_share": 0.1}


def draw_clips(seed):
    generator = np.random.default_rng(seed)
    num_people = int(generator.integers(1, 60))
    return {
        f"clip-{i}": generator.choice(
            num_people, size=int(generator.integers(1, min(4, num_people + 1))), replace=False
        ).tolist()
        for i in range(int(generator.integers(1, 80)))
    }


@pytest.mark.parametrize("seed", range(60))
def test_splits_share_nobody_and_lose_no_clip(seed):
    clips = draw_clips(seed)
    splits = assign_splits(clips, **SHARES, seed=seed)
    assert splits.keys() == clips.keys()
    people = {name: {p for clip, split in splits.items() if split == name for p in clips[clip]} for name in SPLITS}
    assert not people["train"] & people["validation"]
    assert not people["train"] & people["test"]
    assert not people["validation"] & people["test"]


@pytest.mark.parametrize("seed", range(20))
def test_no_split_is_empty_when_there_are_enough_groups(seed):
    clips = draw_clips(seed)
    used = set(assign_splits(clips, **SHARES).values())
    assert len(used) == min(3, len(connected_groups(clips)))


def test_shares_are_met_when_groups_are_small():
    splits = list(assign_splits({f"{i}": [i] for i in range(100)}, **SHARES).values())
    assert {name: splits.count(name) for name in SPLITS} == {"train": 70, "validation": 20, "test": 10}


def test_order_does_not_matter_and_the_seed_does():
    clips = {f"{i}": [i] for i in range(40)}
    assert assign_splits(clips, **SHARES) == assign_splits(dict(reversed(clips.items())), **SHARES)
    assert assign_splits(clips, **SHARES) != assign_splits(clips, **SHARES, seed=1)


def test_a_share_of_zero_stays_empty():
    splits = assign_splits({f"{i}": [i] for i in range(9)}, validation_share=0, test_share=0.3)
    assert set(splits.values()) == {"train", "test"}


def test_clips_are_connected_through_others():
    assert connected_groups({"a": [1, 2], "b": [3], "c": [2, 4], "d": [4]}) == [["a", "c", "d"], ["b"]]


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.1), (0.7, 0.4)])
def test_impossible_shares_are_refused(validation, test):
    with pytest.raises(ValueError, match="add up to 1"):
        assign_splits({}, validation_share=validation, test_share=test)
