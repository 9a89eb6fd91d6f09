import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler

from iap_pipelines.training.config import LogitNormalSigmas, UniformSigmas
from iap_pipelines.training.flow_matching import (
    add_noise,
    clean_from_velocity,
    euler_sigmas,
    euler_step,
    motion_error,
    shift_sigma,
    velocity,
)
from iap_pipelines.training.noise import draw_sigmas


@pytest.fixture
def path():
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 5, 3, 4, generator=generator)
    return clean, noise, torch.linspace(0, 1, 5)


def test_a_path_leads_there_and_back(path):
    clean, noise, sigma = path
    sample = add_noise(clean, noise, sigma)
    torch.testing.assert_close(clean_from_velocity(sample, velocity(clean, noise), sigma), clean)
    torch.testing.assert_close(clean_from_velocity(sample, velocity(clean, noise), sigma - 1), noise)


def test_ends_of_a_path(path):
    clean, noise, _ = path
    assert torch.equal(add_noise(clean, noise, torch.zeros(5)), clean)
    assert torch.equal(add_noise(clean, noise, torch.ones(5)), noise)


def test_velocity_is_the_slope_of_the_path(path):
    clean, noise, sigma = (tensor.double() for tensor in path)
    step = 1e-4
    slope = (add_noise(clean, noise, sigma + step) - add_noise(clean, noise, sigma)) / step
    torch.testing.assert_close(slope, velocity(clean, noise), atol=1e-8, rtol=1e-8)


def test_the_schedulers_clean_sample_is_ours(path):
    clean, noise, _ = path
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    scheduler.set_timesteps(8)
    scheduler._init_step_index(scheduler.timesteps[3])
    sigma = scheduler.sigmas[3].expand(5)
    sample = add_noise(clean, noise, sigma)
    torch.testing.assert_close(scheduler.convert_model_output(velocity(clean, noise), sample=sample), clean)


def test_euler_steps_along_the_true_velocity_reach_the_clean_end(path):
    clean, noise, _ = path
    sample, sigmas = noise, euler_sigmas(7, shift=3.0).tolist()
    for pair in zip(sigmas, sigmas[1:], strict=False):
        sample = euler_step(sample, velocity(clean, noise), pair)
    torch.testing.assert_close(sample, clean, atol=1e-5, rtol=1e-5)


def test_shift_keeps_the_ends_and_is_undone_by_its_inverse():
    sigma = torch.linspace(0, 1, 11)
    shifted = shift_sigma(sigma, 4.0)
    assert (shifted[0], shifted[-1]) == (0, 1)
    assert (shifted[1:-1] > sigma[1:-1]).all()
    torch.testing.assert_close(shift_sigma(shifted, 0.25), sigma)


def test_noise_levels_have_the_distribution_asked_for():
    uniform = draw_sigmas(20_000, UniformSigmas(type="uniform"), np.random.default_rng(0))
    assert uniform.mean() == pytest.approx(0.5, abs=0.01)
    assert uniform.var() == pytest.approx(1 / 12, abs=0.005)
    settings = LogitNormalSigmas(type="logit_normal", mean=0.5, std=2.0)
    logits = draw_sigmas(20_000, settings, np.random.default_rng(0)).double().logit()
    assert logits.mean() == pytest.approx(0.5, abs=0.05)
    assert logits.std() == pytest.approx(2.0, abs=0.05)


def test_motion_error_is_of_what_changes_over_time():
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(2, 4, 3, 2, 2, generator=generator)
    still = torch.randn(2, 4, 1, 2, 2, generator=generator)
    torch.testing.assert_close(motion_error(target + still, target), torch.zeros(2), atol=1e-10, rtol=0)
    moving = torch.tensor([-1.0, 0.0, 1.0])[None, None, :, None, None]
    torch.testing.assert_close(motion_error(target + moving, target), torch.full((2,), 2 / 3))
    assert motion_error(target[:, :, :1], target[:, :, 1:2]).tolist() == [0.0, 0.0]
