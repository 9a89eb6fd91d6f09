import numpy as np
import pytest
import torch
import torch.nn.functional as F

from iap_pipelines.evaluation.functional import lip_sync, syncnet_scores


def test_the_peak_is_the_offset():
    lags = np.arange(-5, 6) * 40.0
    scores = np.exp(-(((lags - 120) / 60) ** 2))
    result = lip_sync(scores, lags)
    assert result.offset_ms == 120
    assert result.confidence == pytest.approx(1 - np.median(scores))


def test_adding_a_constant_changes_nothing():
    lags, scores = np.arange(-5, 6) * 40.0, np.random.default_rng(0).random(11)
    assert lip_sync(scores + 3, lags) == pytest.approx(lip_sync(scores, lags))


@pytest.mark.parametrize("scores", [np.zeros(2), np.array([0.0, np.nan, 1.0]), np.zeros((3, 1))])
def test_curves_that_say_nothing_are_refused(scores):
    with pytest.raises(ValueError, match="scores"):
        lip_sync(scores, np.arange(len(scores)) * 40.0)


def _published(lips, sound, max_shift):
    """The definition in torch: distances of each frame to its shifted neighbours, then mean, median and minimum."""
    padded = F.pad(sound, (0, 0, max_shift, max_shift))
    rows = [
        F.pairwise_distance(lips[[frame]].repeat(2 * max_shift + 1, 1), padded[frame : frame + 2 * max_shift + 1])
        for frame in range(len(lips))
    ]
    mean = torch.stack(rows, 1).mean(1)
    smallest, index = mean.min(0)
    return max_shift - index.item(), (mean.median() - smallest).item(), smallest.item()


def test_syncnet_scores_equal_the_published_computation():
    generator = torch.Generator().manual_seed(0)
    lips = torch.randn(40, 16, generator=generator, dtype=torch.float64)
    sound = torch.roll(lips, 3, 0) + 0.1 * torch.randn(40, 16, generator=generator, dtype=torch.float64)
    offset, confidence, distance = _published(lips, sound, 15)
    result = syncnet_scores(lips.numpy(), sound.numpy())
    # The published offset counts the other way round: negative when the sound is late.
    assert (result.offset_frames, -offset) == (3, 3)
    assert (result.lse_c, result.lse_d) == pytest.approx((confidence, distance))


def test_unrelated_sound_has_little_confidence():
    generator = np.random.default_rng(0)
    lips, other = generator.standard_normal((2, 60, 16))
    assert syncnet_scores(lips, lips).lse_c > 5 * syncnet_scores(lips, other).lse_c


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="lips"):
        syncnet_scores(np.zeros((4, 8)), np.zeros((5, 8)))
