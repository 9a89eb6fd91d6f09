import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from iap_pipelines.data.training_dataset import collate
from iap_pipelines.models.transformer_iap import IAPIdentityInputs
from iap_pipelines.pipelines.identity import SubjectLatents
from iap_pipelines.training.config import ExchangeMargins, TrainingConfig
from iap_pipelines.training.noise import draw_noise, stack_draws
from iap_pipelines.training.trainer import Trainer


@pytest.fixture
def trainer(config_values):
    trainer = Trainer(TrainingConfig.model_validate(config_values))
    # A zero head hides everything before it.
    for head in (trainer.model.transformer.video_head, trainer.model.transformer.audio_head):
        torch.nn.init.normal_(head.proj_out.weight, std=0.1)
    return trainer


@pytest.fixture
def step(trainer):
    return trainer.steps[0][0]


def test_losses_are_per_sample_and_draw(trainer, step):
    losses = trainer.model(*step)
    count = len(step.batch.input_ids) * step.batch.num_draws
    assert losses.video.shape == losses.audio.shape == (count,)


def test_conditions_encoded_once_give_what_repeated_ones_give(trainer, step):
    once = trainer.model(*step)
    trainer.model.transformer.enable_gradient_checkpointing()
    repeated = trainer.model(*step)
    torch.testing.assert_close(once, repeated, atol=1e-5, rtol=1e-5)


def test_references_are_conditions_and_never_targets(trainer, step):
    """
    The loss covers as many values as the target has: with other references it changes only through the prediction.
    """
    batch, noise = step
    trainer.model.transformer.video_head.proj_out.weight.data.zero_()
    trainer.model.transformer.audio_head.proj_out.weight.data.zero_()
    loss = trainer.model(batch, noise)
    other = IAPIdentityInputs(
        *(torch.randn_like(t) if t is not None and t.is_floating_point() else t for t in batch.identity)
    )
    changed = trainer.model(batch._replace(identity=other), noise)
    torch.testing.assert_close(loss, changed)
    expected = (noise.video - batch.video).square().flatten(1).mean(dim=1)
    torch.testing.assert_close(loss.video, expected)


def test_a_batch_of_two_equals_two_batches_of_one(trainer, config_values):
    samples = [trainer.dataset.sample(1, np.random.default_rng(seed)) for seed in range(2)]
    together = collate(samples, trainer.tokenizer, 40)
    apart = [collate([sample], trainer.tokenizer, 40) for sample in samples]
    generator = torch.Generator().manual_seed(0)
    video, audio = (
        torch.randn(together.video.shape, generator=generator),
        torch.randn(together.audio.shape, generator=generator),
    )
    sigma = torch.linspace(0.1, 0.9, len(video))
    expected = trainer.model.predict(together, video, audio, sigma, sigma)
    size = together.num_draws
    for index, batch in enumerate(apart):
        part = slice(index * size, (index + 1) * size)
        given = trainer.model.predict(batch, video[part], audio[part], sigma[part], sigma[part])
        torch.testing.assert_close(given[0], expected[0][part], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(given[1], expected[1][part], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("people", [1, 2])
def test_the_prediction_with_somebody_elses_references_is_looked_at(trainer, people):
    dataset = trainer.dataset
    dataset.settings = replace(dataset.settings, exchanges=True)
    index = next(index for index, clip in enumerate(dataset.clips) if len(clip.identities) == people)
    sample = dataset.sample(index, np.random.default_rng(1))
    noise = stack_draws([draw_noise(sample, trainer.config.flow, np.random.default_rng(1))])
    noise = noise._replace(
        video_sigma=torch.full_like(noise.video_sigma, 0.9), audio_sigma=torch.full_like(noise.audio_sigma, 0.8)
    )

    def exchange(*samples):
        return trainer.model(collate(samples, trainer.tokenizer, 40), noise).exchange

    assert exchange(sample._replace(exchanged=None)) is None
    nobody = (SubjectLatents(),) * people
    assert exchange(sample._replace(exchanged=nobody)) == exchange(sample._replace(exchanged=())) == 0
    assert exchange(sample._replace(subjects=nobody, exchanged=nobody)) == 0
    loss = exchange(sample)
    loss.backward()
    assert trainer.model.transformer.identity_embedding.weight.grad.abs().sum() > 0
    # Nothing changes, so the loss of both towers is where it is at chance.
    trainer.model.exchange_margins = ExchangeMargins(video=0.5, audio=0.1)
    at_chance = pytest.approx(0.5 * 0.9**2 + 0.1 * 0.8**2, rel=1e-5)
    assert exchange(sample._replace(exchanged=sample.subjects)).item() == at_chance
    assert loss.item() != at_chance
    trainer.model.exchange_ends = False
    endless = exchange(sample._replace(exchanged=sample.subjects)).item()
    assert endless == pytest.approx((0.5 + 0.1) * math.log(2), rel=1e-5)


def test_only_the_first_draws_are_predicted_with_somebody_elses_references(trainer):
    dataset = trainer.dataset
    dataset.settings = replace(dataset.settings, exchanges=True, num_draws=3)
    alike = max(dataset.buckets().values(), key=len)
    samples = [dataset.sample(index, np.random.default_rng(index)) for index in alike[:2]]
    batch = collate(samples, trainer.tokenizer, 40)
    noise = stack_draws([draw_noise(sample, trainer.config.flow, np.random.default_rng(1)) for sample in samples])
    trainer.model.exchange_draws = 1
    losses = trainer.model(batch, noise)
    assert len(losses.video) == 6
    first = batch._replace(video=batch.video[::3], audio=batch.audio[::3], num_draws=1)
    expected = trainer.model(first, type(noise)(*(field[::3] for field in noise))).exchange
    assert expected > 0
    torch.testing.assert_close(losses.exchange, expected)


@pytest.mark.parametrize("exchanges", [False, True])
def test_captions_are_read_once_a_step(trainer, exchanges):
    trainer.dataset.settings = replace(trainer.dataset.settings, exchanges=exchanges)
    calls = []
    trainer.model.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    assert (trainer.model(*trainer.steps[0][0]).exchange is not None) == exchanges
    assert len(calls) == 1


def test_margins_of_each_tower_come_from_the_config(config_values):
    flow = config_values["flow"] | {"exchange_margins": {"video": 0.5}}
    trainer = Trainer(TrainingConfig.model_validate(config_values | {"flow": flow}))
    assert trainer.model.exchange_margins == ExchangeMargins(video=0.5, audio=0.1)
