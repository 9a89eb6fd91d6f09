"""LoRA weights that come with people, each bound to its own person, or for everybody in a clip."""

import itertools
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from iap_pipelines.hub.errors import explained
from iap_pipelines.identity_card import CONSENT_FILE, IDENTITY_FILE, Consent, IdentityCard
from iap_pipelines.pipelines.fingerprint import check_model
from iap_pipelines.pipelines.lora_iap import owned_adapters
from iap_pipelines.pipelines.pipeline_iap import IAPPipeline
from iap_pipelines.types import Subject


logger = logging.getLogger(__name__)

LoraSource = str | os.PathLike[str]
"""A folder, file or repository of LoRA weights."""


def load_adapters(
    pipe: IAPPipeline, subjects: Sequence[Subject], own: Sequence[LoraSource | None] | None = None
) -> list[Subject]:
    """
    Load the LoRA weights of people, and let each adapter act on its owner alone.

    Args:
        pipe: gets one adapter per person with LoRA weights, called `subject_1`, `subject_2`, … by place; with a
            number behind it (`subject_1_2`) if one of that name is loaded.
        subjects: people, with or without cards. Who has an `adapter` already keeps it.
        own: weights of each of them; where it is `None`, those that the person's identity card brings, if any.

    Returns:
        The same people, to pass as `subjects`.

    Raises:
        ValueError: a card belongs to another model.
        OSError: weights cannot be read.
    """
    bound = []
    for number, (subject, source) in enumerate(zip(subjects, own or [None] * len(subjects), strict=True), start=1):
        if source is None and subject.lora is not None and subject.adapter is None:
            who = f"`subjects[{number - 1}]` ({subject.name})"
            check_model(subject.card.base_model, pipe.transformer, pipe._loaded_from, who)
            source = subject.lora
        if source is not None:
            name = _free_name(pipe, f"subject_{number}")
            _load(pipe, source, name)
            subject = replace(subject, adapter=name)
        bound.append(subject)
    return bound


def load_shared_adapters(
    pipe: IAPPipeline, subjects: Sequence[Subject], sources: Sequence[LoraSource]
) -> list[Subject]:
    """
    Load LoRA weights that act on everything in a clip, as `load_lora_weights` and `set_adapters` do.

    Weights that were learned on one person's references go to that person: the only subject, since nobody says whose
    they are.

    Args:
        pipe: gets the adapters `lora_1`, `lora_2`, … (`lora_1_2` if that name is taken); they are active, all others
            that belong to nobody are not.
        subjects: people of the clip.
        sources: the weights.

    Returns:
        The same people, to pass as `subjects`.

    Raises:
        ValueError: weights belong to one person, and it is not clear to whom.
        OSError: weights cannot be read.
    """
    subjects, shared = list(subjects), []
    for number, source in enumerate(sources, start=1):
        name = _free_name(pipe, f"lora_{number}")
        _load(pipe, source, name)
        if name not in owned_adapters(pipe.transformer):
            shared.append(name)
        elif len(subjects) == 1 and subjects[0].adapter is None:
            subjects = [replace(subjects[0], adapter=name)]
        else:
            raise ValueError(
                f"{source}: these LoRA weights were learned for one person's references, and nobody says whose they "
                f"are. Give them with their owner: --subject face=...,lora={source}."
            )
    if shared:
        pipe.set_adapters(shared)
    return subjects


def _free_name(pipe: IAPPipeline, name: str) -> str:
    """The name, or with a number behind it if an adapter of that name is loaded."""
    taken = getattr(pipe.transformer, "peft_config", {})
    return next(n for n in itertools.chain([name], (f"{name}_{i}" for i in itertools.count(2))) if n not in taken)


def _load(pipe: IAPPipeline, source: LoraSource, name: str) -> None:
    with explained(str(source)):
        pipe.load_lora_weights(source, adapter_name=name)
        consent = _find_consent(source)
    if consent is not None and consent.has_ended(date.today()):
        logger.warning(
            "%s: the consent of the person whom these LoRA weights show ended on %s. Ask for a new one before you "
            "make clips.",
            source,
            consent.expires_on,
        )


def _find_consent(source: LoraSource) -> Consent | None:
    """What stands beside LoRA weights: a consent, an identity card with one, or nothing."""
    path = Path(source)
    if path.exists():
        folder = path if path.is_dir() else path.parent
        if (folder / CONSENT_FILE).is_file():
            return Consent.load(folder)
        return IdentityCard.load(folder).consent if (folder / IDENTITY_FILE).is_file() else None
    file = _download(str(source), CONSENT_FILE)
    if file is not None:
        return Consent.load(file.parent)
    file = _download(str(source), IDENTITY_FILE)
    return IdentityCard.model_validate_json(file.read_bytes()).consent if file is not None else None


def _download(repo_id: str, name: str) -> Path | None:
    try:
        return Path(hf_hub_download(repo_id, name))
    except EntryNotFoundError:  # nor in the cache, without a connection
        return None
