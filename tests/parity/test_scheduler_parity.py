"""Steps of the published scheduler bit for bit, and its trajectories, through `IAPPipeline.set_timesteps`."""

import copy
import re

import pytest
import torch
from diffusers import UniPCMultistepScheduler

from iap_pipelines import IAPPipeline
from tests.parity.loop_fixtures import FIXTURES


pytestmark = FIXTURES.marks
CASE_NAME = r"n(?P<steps>\d+)_shift(?P<shift>[\d.]+)"
# The corrector solves a 2 x 2 system, whose last bit depends on the linear algebra library of the processor.
TOLERANCE = {"atol": 3e-6, "rtol": 0}


@pytest.mark.parametrize("case", FIXTURES.prefixes("flow UniPC", CASE_NAME))
def test_scheduler(case):
    tensors, _ = FIXTURES.read("flow UniPC")
    match = re.fullmatch(CASE_NAME, case)
    pipe = scheduler_pipeline(float(match["shift"]))

    timesteps = pipe.set_timesteps(int(match["steps"]))
    assert torch.equal(timesteps, tensors[f"{case}/timesteps"])
    assert torch.equal(pipe.scheduler.sigmas, tensors[f"{case}/sigmas"])

    # The pipeline's own arrangement: sound steps through a copy, in turn with the picture.
    schedulers = {"video": pipe.scheduler, "audio": copy.deepcopy(pipe.scheduler)}
    samples = {tower: tensors[f"{case}/{tower}/samples"][0] for tower in schedulers}
    for step, timestep in enumerate(timesteps):
        for tower, scheduler in schedulers.items():
            velocity = tensors[f"{case}/{tower}/velocities"][step]
            samples[tower] = scheduler.step(velocity, timestep, samples[tower], return_dict=False)[0]
            torch.testing.assert_close(samples[tower], tensors[f"{case}/{tower}/samples"][step + 1], **TOLERANCE)


def scheduler_pipeline(shift: float) -> IAPPipeline:
    """A pipeline that can do nothing but set its steps."""
    components = dict.fromkeys(("tokenizer", "text_encoder", "transformer", "vae", "audio_vae", "vocoder"))
    scheduler = UniPCMultistepScheduler(use_flow_sigmas=True, flow_shift=shift, prediction_type="flow_prediction")
    return IAPPipeline(**components, scheduler=scheduler)
