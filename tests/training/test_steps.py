import pytest
import torch

from iap_pipelines.training.config import TrainingConfig
from iap_pipelines.training.steps import TrainingSteps
from iap_pipelines.training.trainer import Trainer


@pytest.fixture
def trainer(config_values):
    return Trainer(TrainingConfig.model_validate(config_values))


def steps_of(trainer, **arguments):
    return TrainingSteps(
        trainer.dataset,
        trainer.steps.order,
        trainer.tokenizer,
        flow=trainer.config.flow,
        caption_length=40,
        seed=3,
        **arguments,
    )


def pieces(steps_per_process, step):
    """Targets, noise and captions of one step, of all processes and micro-batches one after another."""
    parts = [micro for steps in steps_per_process for micro in steps[step]]
    tensors = [(micro.batch.video, micro.noise.audio, micro.batch.input_ids) for micro in parts]
    return [torch.cat(kind) for kind in zip(*tensors, strict=True)]


@pytest.mark.parametrize("step", [0, 5])
def test_samples_do_not_depend_on_the_number_of_processes(trainer, step):
    alone = pieces([steps_of(trainer)], step)
    shared = pieces([steps_of(trainer, rank=rank, num_processes=2, micro_batch_size=1) for rank in range(2)], step)
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one, other)


def test_a_step_is_the_same_whenever_it_is_asked_for(trainer):
    first = pieces([trainer.steps], 4)
    pieces([trainer.steps], 0)
    for one, other in zip(first, pieces([trainer.steps], 4), strict=True):
        assert torch.equal(one, other)


def test_an_uneven_share_is_refused(trainer):
    with pytest.raises(ValueError, match="must be a multiple of processes times"):
        steps_of(trainer, num_processes=3)


def test_references_are_not_the_target(trainer):
    for step in range(3):
        for micro in trainer.steps[step]:
            faces = micro.batch.identity.face_latents
            target = micro.batch.video[..., : faces.shape[-2], : faces.shape[-1]]
            for face in faces.flatten(0, 1):
                assert not any(torch.equal(face, frame) for clip in target for frame in clip.unbind(1))
