"""Fréchet distance, intervals, AUC and EER against scipy, numpy and counting."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import mannwhitneyu

from iap_pipelines.evaluation.functional import (
    area_under_curve,
    bootstrap_frechet,
    bootstrap_mean,
    bootstrap_people,
    bootstrap_separation,
    distributions,
    equal_error_rate,
    equal_error_threshold,
    frechet_distance,
)


def _features(seed, count=200, channels=4):
    generator = np.random.default_rng(seed)
    return generator.standard_normal((count, channels)) @ generator.standard_normal((channels, channels)) + seed


def test_frechet_distance_equals_scipys():
    real, generated = _features(0), _features(1)
    covariances = np.cov(real.T), np.cov(generated.T)
    expected = ((real.mean(0) - generated.mean(0)) ** 2).sum() + np.trace(
        covariances[0] + covariances[1] - 2 * sqrtm(covariances[0] @ covariances[1]).real
    )
    assert frechet_distance(real, generated) == pytest.approx(expected)


def test_frechet_distance_of_a_set_to_itself_is_zero():
    assert frechet_distance(_features(0), _features(0)) == pytest.approx(0, abs=1e-6)


def _clips(seed, count=30, **changes):
    """Features of clips with four frames each."""
    return list(_features(seed, 4 * count, **changes).reshape(count, 4, -1))


@pytest.mark.parametrize("channels", [4, 300])
def test_the_quick_form_of_the_distance_is_the_distance(channels):
    """With more samples than channels, and with fewer."""
    real, generated = _features(0, channels=channels), _features(1, 150, channels=channels)
    assert distributions._distance(real, generated) == pytest.approx(frechet_distance(real, generated), rel=1e-6)


def test_the_interval_of_a_distance_is_around_it_and_narrows():
    few = bootstrap_frechet(_clips(0), _clips(1), seed=0)
    many = bootstrap_frechet(_clips(0, 300), _clips(1, 300), seed=0)
    assert few.value == frechet_distance(np.concatenate(_clips(0)), np.concatenate(_clips(1)))
    for found in (few, many):
        assert found.low < found.value < found.high
    assert many.high - many.low < few.high - few.low
    assert bootstrap_frechet(_clips(0), _clips(1), seed=0) == few
    assert bootstrap_frechet(_clips(0)[:1], _clips(1), seed=0).low is None


def test_frechet_distance_needs_samples_of_the_same_space():
    with pytest.raises(ValueError, match="`generated`"):
        frechet_distance(_features(0), _features(1)[:1])
    with pytest.raises(ValueError, match="`generated`"):
        frechet_distance(_features(0), _features(1, channels=5))


def test_auc_equals_mann_whitney():
    generator = np.random.default_rng(0)
    genuine, impostor = generator.normal(1, 1, 60).round(1), generator.normal(0, 1, 90).round(1)
    expected = mannwhitneyu(genuine, impostor).statistic / (60 * 90)
    assert area_under_curve(genuine, impostor) == pytest.approx(expected)


def test_eer_of_two_gaussians_is_the_one_of_the_books():
    """For two normal distributions d apart the threshold lies half way and the rate is Phi(-d / 2)."""
    generator = np.random.default_rng(0)
    genuine, impostor = generator.normal(2, 1, 40_000), generator.normal(0, 1, 40_000)
    assert equal_error_rate(genuine, impostor) == pytest.approx(0.1587, abs=0.005)
    assert equal_error_threshold(genuine, impostor) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("genuine", "impostor", "rate"),
    [([2, 3], [0, 1], 0), ([0, 1], [2, 3], 1), ([1, 1], [1, 1], 0.5), ([1, 3], [2, 0], 0.5), ([1], [0], 0)],
)
def test_eer_by_hand(genuine, impostor, rate):
    assert equal_error_rate(np.array(genuine), np.array(impostor)) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("genuine", "impostor", "threshold"),
    [([2, 3], [0, 1], 1.5), ([1, 3], [2, 0], 1.5), ([5, 6, 7, 1], [0, 2, 3, 4.5], 3.75)],
)
def test_the_threshold_lies_between_two_scores(genuine, impostor, threshold):
    assert equal_error_threshold(np.array(genuine), np.array(impostor)) == pytest.approx(threshold)


def test_where_every_threshold_refuses_the_highest_is_above_all_scores():
    """Impostors score higher: whoever reaches the threshold is one of them, whatever it is."""
    threshold = equal_error_threshold(np.array([0.0, 1.0]), np.array([2.0, 3.0]))
    assert 1 < threshold <= 2


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """40 experiments of 60 clips each: 95 % of the intervals hold the true mean, give or take three."""
    covered = 0
    for seed in range(40):
        values = np.random.default_rng(seed).normal(0.5, 0.2, 60)
        interval = bootstrap_mean(values, seed=seed)
        assert interval.low < interval.value < interval.high
        covered += interval.low <= 0.5 <= interval.high
    assert covered >= 35


def test_same_seed_same_interval():
    values = np.random.default_rng(0).random(20)
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)


def test_weights_make_rates_of_unequal_clips_one_rate():
    errors, words = np.array([1, 0, 6]), np.array([2, 10, 8])
    assert bootstrap_mean(errors / words, words, seed=0).value == pytest.approx(errors.sum() / words.sum())


def test_clips_without_weight_do_not_count():
    assert bootstrap_mean(np.array([0.2, 0.4, 9]), np.array([1, 1, 0]), seed=0) == bootstrap_mean(
        np.array([0.2, 0.4]), seed=0
    )


def test_one_clip_says_nothing_about_the_spread():
    assert bootstrap_mean(np.array([0.4]), seed=0) == (0.4, None, None)
    assert bootstrap_separation(area_under_curve, np.array([1.0]), np.array([0.0, 0.5]), seed=0) == (1.0, None, None)


def test_equal_values_say_nothing_about_the_spread():
    assert bootstrap_mean(np.ones(16), seed=0) == (1.0, None, None)
    assert bootstrap_people([(person, 1.0, 2.0) for person in range(16)], seed=0) == (1.0, None, None)


def test_clips_of_one_person_make_no_interval_narrower():
    values = np.random.default_rng(0).random(12).tolist()
    once = [(person, value, 1.0) for person, value in enumerate(values)]
    assert bootstrap_people(10 * once, seed=0) == pytest.approx(bootstrap_people(once, seed=0))
    assert bootstrap_people([], seed=0) is None


def test_separation_has_an_interval():
    generator = np.random.default_rng(0)
    interval = bootstrap_separation(area_under_curve, generator.normal(1, 1, 40), generator.normal(0, 1, 40), seed=0)
    assert 0.5 < interval.low < interval.value < interval.high < 1


@pytest.mark.parametrize("values", [[], [np.nan], [[1.0]]])
def test_a_mean_needs_numbers(values):
    with pytest.raises(ValueError, match="`values`"):
        bootstrap_mean(np.array(values), seed=0)
