"""LoRA weights that come with identity cards, each bound to its own person."""

from collections.abc import Sequence
from dataclasses import replace

from iap_pipelines.pipelines.fingerprint import check_model
from iap_pipelines.pipelines.pipeline_iap import IAPPipeline
from iap_pipelines.types import Subject


def load_adapters(pipe: IAPPipeline, subjects: Sequence[Subject]) -> list[Subject]:
    """
    Load what the people's identity cards bring, and let each adapter act on its owner alone.

    Args:
        pipe: gets one adapter per card with LoRA weights, called `subject_1`, `subject_2`, … by place.
        subjects: people, with or without cards. Who has an `adapter` already keeps it.

    Returns:
        The same people, to pass as `subjects`.

    Raises:
        ValueError: a card belongs to another model.
    """
    bound = []
    for number, subject in enumerate(subjects, start=1):
        if subject.lora is not None and subject.adapter is None:
            who = f"`subjects[{number - 1}]` ({subject.name})"
            check_model(subject.card.base_model, pipe.transformer, pipe._loaded_from, who)
            name = f"subject_{number}"
            pipe.load_lora_weights(subject.lora, adapter_name=name)
            subject = replace(subject, adapter=name)
        bound.append(subject)
    return bound
