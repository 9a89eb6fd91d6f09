from collections import Counter

import pytest

from iap_pipelines.data.order import DataOrder


BUCKETS = {"one": list(range(10)), "two": list(range(10, 16)), "three": [16]}


def test_a_batch_comes_from_one_bucket():
    order = DataOrder(BUCKETS, batch_size=3, seed=0)
    for step in range(50):
        batch = set(order.batch(step))
        assert any(batch <= set(bucket) for bucket in BUCKETS.values())


def test_every_sample_is_seen_about_equally_often():
    order = DataOrder(BUCKETS, batch_size=2, seed=0)
    seen = Counter(index for step in range(order.batches_per_epoch * 10) for index in order.batch(step))
    assert {seen[index] for index in range(16)} == {10}


def test_order_depends_on_seed_and_step_alone():
    forwards = DataOrder(BUCKETS, batch_size=2, seed=5)
    batches = [forwards.batch(step) for step in range(40)]
    backwards = DataOrder(BUCKETS, batch_size=2, seed=5)
    assert [backwards.batch(step) for step in reversed(range(40))] == batches[::-1]
    other = DataOrder(BUCKETS, batch_size=2, seed=6)
    assert [other.batch(step) for step in range(40)] != batches


def test_epochs_differ():
    order = DataOrder({"one": list(range(32))}, batch_size=32, seed=0)
    assert order.batch(0) != order.batch(1)
    assert sorted(order.batch(0)) == sorted(order.batch(1))


def test_a_small_bucket_is_repeated():
    assert DataOrder({"three": [16]}, batch_size=3, seed=0).batch(0) == [16, 16, 16]


@pytest.mark.parametrize("buckets", [{}, {"one": []}])
def test_no_samples_are_refused(buckets):
    with pytest.raises(ValueError, match="at least one sample"):
        DataOrder(buckets, batch_size=1, seed=0)
