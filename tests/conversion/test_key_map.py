import doctest

import pytest

from iap_pipelines.conversion import key_map
from iap_pipelines.conversion.key_map import KeyMap, summarise_keys


NAMES = KeyMap(
    [("{half}.layers.{n}.q.{p}", "{half}.block.{n}.to_q.{p}"), ("out.gamma", "norm.weight")],
    {"half": "encoder|decoder", "n": r"\d+", "p": "weight|bias"},
)


@pytest.mark.parametrize("key", ["encoder.layers.0.q.weight", "decoder.layers.12.q.bias", "out.gamma"])
def test_there_and_back(key):
    assert NAMES.to_official(NAMES.to_ours(key)) == key


@pytest.mark.parametrize(
    "key", ["encoder.layers.x.q.weight", "middle.layers.0.q.weight", "encoder.layers.0.q.weights", "outXgamma", ""]
)
def test_other_names_are_not_known(key):
    with pytest.raises(KeyError):
        NAMES.to_ours(key)


def test_examples():
    assert doctest.testmod(key_map).failed == 0


def test_summary_shows_gaps_and_every_axis():
    keys = [f"a.{i}.b.{j}.weight" for i in (0, 1, 2, 5) for j in (3, 4)]
    assert summarise_keys(keys) == ["a.{0,1,2,5}.b.{3-4}.weight (8 keys)"]


def test_summary_of_many_groups_counts_the_rest():
    lines = summarise_keys([f"name_{letter}.weight" for letter in "abcdef"], max_groups=2)
    assert lines == ["name_a.weight", "name_b.weight", "and 4 more keys"]
