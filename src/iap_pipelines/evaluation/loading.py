"""From settings to models. What is missing says so and leaves its metrics without a value."""

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from iap_pipelines.evaluation.models import EvaluationModels
from iap_pipelines.evaluation.settings import Choice, EvaluationSettings
from iap_pipelines.perception import backends as perception


logger = logging.getLogger(__name__)

_PERCEPTION: Mapping[str, Callable[[Any], Any]] = {
    "face_detector": perception.load_face_detector,
    "face_landmarker": perception.load_face_landmarker,
    "face_embedder": perception.load_face_embedder,
    "second_face_embedder": perception.load_face_embedder,
    "voice_activity": perception.load_voice_activity_detector,
    "voice_embedder": perception.load_voice_embedder,
    "second_voice_embedder": perception.load_voice_embedder,
    "transcriber": perception.load_transcriber,
    "lip_sync": perception.load_lip_sync_model,
    "syncnet": perception.load_lip_sync_model,
}
"""Roles whose models curation uses too."""

DRAWN_WORLD = {
    "face_detector": "drawn_world",
    "face_landmarker": "drawn_world",
    "face_embedder": "face_identity",
    "voice_activity": "drawn_world",
    "voice_embedder": "voice_identity",
    "transcriber": "word_ctc",
    "lip_sync": "drawn_mouth",
}
"""Types for clips of the drawn world, see `backends.drawn_world`."""

ROLES = (
    *_PERCEPTION,
    "picture_text",
    "sound_text",
    "speech_quality",
    "picture_features",
    "video_features",
    "sound_features",
)


def load_models(settings: EvaluationSettings) -> EvaluationModels:
    """Load every model that the settings choose.

    A package, file or repository that is not there leaves the role empty, with a warning, and its reason stands in
    every result.

    Args:
        settings: what is chosen.

    Raises:
        ValueError: for a choice that does not exist in its role.
    """
    loaded, missing = {}, {}
    for role in ROLES:
        choice = getattr(settings, role)
        if choice is None:
            missing[role] = f"no model is chosen (`{role}`)"
            continue
        try:
            loaded[role] = _load(role, choice)
        except ValidationError as error:
            raise ValueError(f"`{role}`: {error}") from error
        except (ImportError, OSError) as error:
            missing[role] = " ".join(str(error).split())
            logger.warning("No %s, its metrics stay empty: %s", role, missing[role])
    return EvaluationModels(loaded, missing)


def _load(role: str, choice: Choice) -> Any:
    if role in _PERCEPTION and not _is_of_the_drawn_world(role, choice):
        return _PERCEPTION[role](choice)
    kind, options = _read(role, choice)
    return _own_models(role)[kind](**options)


def _is_of_the_drawn_world(role: str, choice: Choice) -> bool:
    kind = choice.get("type") if isinstance(choice, dict) else choice
    return kind == DRAWN_WORLD.get(role.removeprefix("second_"))


def _read(role: str, choice: Choice) -> tuple[str, dict[str, Any]]:
    known = _own_models(role)
    if isinstance(choice, str):
        choice = {"type": "transformers", "model": choice} if "transformers" in known else {"type": choice}
    options = dict(choice)
    kind = options.pop("type", "transformers")
    if kind not in known:
        raise ValueError(f"`{role}` must be one of {', '.join(known)}, but got {kind!r}.")
    parameters = inspect.signature(known[kind]).parameters
    needed = {name for name, parameter in parameters.items() if parameter.default is parameter.empty}
    if not needed <= set(options) <= set(parameters):
        raise ValueError(f"`{role}`: {kind} takes {', '.join(parameters) or 'no options'}, but got {choice}.")
    return kind, options


def _own_models(role: str) -> dict[str, Callable[..., Any]]:
    from iap_pipelines.evaluation.backends import features
    from iap_pipelines.evaluation.backends.speech_quality import Dnsmos

    role = role.removeprefix("second_")
    if role in DRAWN_WORLD:
        from iap_pipelines.evaluation.backends import drawn_world

        return {DRAWN_WORLD[role]: drawn_world.MODELS[role]}
    return {
        "picture_text": {"transformers": features.ClipPictureText},
        "sound_text": {"transformers": features.ClapSoundText},
        "speech_quality": {"dnsmos": Dnsmos},
        "picture_features": {"transformers": features.PictureFeatures},
        "video_features": {"transformers": features.VideoFeatures},
        "sound_features": {"transformers": features.ClapSoundText},
    }[role]
