"""Identity folders: a person written down, shared, and read back."""

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from safetensors.torch import save_file

from iap_pipelines.hub.cards import render_card
from iap_pipelines.hub.errors import explained
from iap_pipelines.hub.publishing import (
    CONSENT_IS_MISSING,
    LICENCE_FILE,
    RENEWED_CARD,
    check_consent_holds,
    publish_folder,
)
from iap_pipelines.hub.verification import IdentityEmbeddings
from iap_pipelines.identity_card import (
    EMBEDDINGS,
    FACE_LATENTS,
    FILE_PATTERNS,
    IDENTITY_FILE,
    KEYS_AND_VALUES,
    LORA,
    VOICE,
    VOICE_LATENTS,
    Consent,
    IdentityCard,
    ModelReference,
    file_digest,
)
from iap_pipelines.media import export_sound, read_audio, read_image
from iap_pipelines.pipelines.fingerprint import check_adapter, check_model, model_fingerprint
from iap_pipelines.pipelines.identity import LoadedIdentity, LoadedSubject
from iap_pipelines.pipelines.model_provenance import model_provenance
from iap_pipelines.pipelines.pipeline_iap import IAPPipeline
from iap_pipelines.types import AudioSamples, Subject


logger = logging.getLogger(__name__)

CONTENTS = ("references", "latents", "keys_and_values")


def load_subject(name_or_path: str | os.PathLike[str], **hub_kwargs: Any) -> Subject:
    """Read a person; see [`Subject.from_pretrained`]."""
    folder = Path(name_or_path)
    if not folder.is_dir():
        with explained(str(name_or_path), hub_kwargs.get("revision")):
            patterns = list(FILE_PATTERNS)
            folder = Path(snapshot_download(str(name_or_path), allow_patterns=patterns, **hub_kwargs))
    card = IdentityCard.load(folder)
    if card.is_expired(date.today()):
        logger.warning(
            "%s: the consent of %s ended on %s. Ask for a new one before you make clips; it cannot be published.",
            name_or_path,
            card.name,
            card.consent.expires_on,
        )
    views = tuple(card.path(view) for view in card.views)
    return Subject(face=views or None, voice=card.path(VOICE), name=card.name, card=card)


def save_subject(
    subject: Subject,
    folder: str | os.PathLike[str],
    *,
    description: str | None = None,
    consent: Consent | None = None,
    pipe: IAPPipeline | None = None,
    contents: Iterable[str] | None = None,
    lora: str | os.PathLike[str] | None = None,
    embeddings: IdentityEmbeddings | None = None,
) -> IdentityCard:
    """Write a person; see [`Subject.save_pretrained`]."""
    folder = Path(folder)
    _check_target(folder)
    known = subject.card
    description = description or (known and known.description)
    consent = consent or (known and known.consent)
    kept = _kept_files(subject, contents, lora)
    if kept and pipe is not None:
        check_model(known.base_model, pipe.transformer, pipe._loaded_from, f"the card of {known.name}")
    base_model = _reference(pipe) if pipe is not None else (known and known.base_model)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for path in kept:
            shutil.copyfile(path, partial / path.name)
        _write_contents(subject, partial, pipe, _checked_contents(contents, subject))
        _copy_lora(lora, partial, pipe)
        if embeddings is not None:
            embeddings.save(partial / EMBEDDINGS)
        elif known and known.path(EMBEDDINGS) and _shows_the_same(subject, known):
            shutil.copyfile(known.path(EMBEDDINGS), partial / EMBEDDINGS)
        card = IdentityCard(
            name=subject.name or folder.name,
            description=description,
            base_model=base_model,
            consent=consent,
            files={
                path.relative_to(partial).as_posix(): file_digest(path)
                for path in sorted(partial.rglob("*"))
                if path.is_file()
            },
        )
        card.save(partial)
        write_card(card, partial)
        os.chmod(partial, 0o755)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return IdentityCard.load(folder)


def push_subject(
    subject: Subject, repo_id: str, *, private: bool = True, token: str | None = None, **save_kwargs: Any
) -> str:
    """Publish a person; see [`Subject.push_to_hub`]."""
    consent = save_kwargs.get("consent") or (subject.card and subject.card.consent)
    if consent is None:
        raise ValueError(CONSENT_IS_MISSING)
    check_consent_holds(consent, "", subject.name or "this person", RENEWED_CARD.format(folder="FOLDER"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, repo_id.rpartition("/")[2])
        save_subject(subject, folder, **save_kwargs)
        return publish_folder(folder, repo_id, private=private, token=token)


def write_card(card: IdentityCard, folder: Path) -> None:
    """Write README.md, and LICENSE.md where there is consent."""
    metadata: dict[str, Any] = {"license": "other", "license_name": "consent-of-the-person"}
    if card.consent is not None:
        metadata["license_link"] = LICENCE_FILE
        (folder / LICENCE_FILE).write_text(_licence(card, card.consent), encoding="utf-8")
    metadata |= {"library_name": "diffusers", "pipeline_tag": "text-to-video"}
    metadata["tags"] = ["identity", "iap-pipelines", "text-to-audio-video", *(["lora"] if LORA in card.files else [])]
    if card.base_model is not None and re.fullmatch(r"[\w.-]+/[\w.-]+", card.base_model.name):
        metadata |= {"base_model": card.base_model.name, "base_model_relation": "adapter"}
    facts = {
        "name": card.name,
        "variable": re.sub(r"\W+", "_", card.name.lower()).strip("_") or "person",
        "source": folder.name.lstrip(".").partition(".")[0],
        "description": card.description,
        "contents": _describe_contents(card),
        "model": card.base_model.name if card.base_model else "path/to/checkpoint",
        "base_model": card.base_model,
        "consent": card.consent,
        "has_references": card.has_references,
        "has_lora": LORA in card.files,
        "has_embeddings": EMBEDDINGS in card.files,
        "training_data": "The LoRA weights were trained on clips of this person."
        if LORA in card.files
        else "Nothing was trained: the card holds references, or what the model computes of them.",
    }
    (folder / "README.md").write_text(render_card("identity", metadata, facts), encoding="utf-8")


def _check_target(folder: Path) -> None:
    if folder.exists() and not (folder / IDENTITY_FILE).is_file() and (folder.is_file() or any(folder.iterdir())):
        raise ValueError(f"`save_directory` {folder} holds something else than an identity: choose a new folder.")


def _checked_contents(contents: Iterable[str] | None, subject: Subject) -> tuple[str, ...]:
    if contents is None:
        return ("references",) if subject.face is not None or subject.voice is not None else ()
    contents = (contents,) if isinstance(contents, str) else tuple(contents)
    unknown = sorted(set(contents) - set(CONTENTS))
    if unknown or not contents:
        raise ValueError(f"`contents` must be among {', '.join(CONTENTS)}, got {unknown or 'nothing'}.")
    return contents


def _write_contents(subject: Subject, folder: Path, pipe: IAPPipeline | None, contents: tuple[str, ...]) -> None:
    if "references" in contents:
        _write_references(subject, folder)
    if set(contents) - {"references"}:
        if pipe is None:
            raise ValueError(f"`contents` {contents} need the `pipe` that encodes them.")
        person = LoadedIdentity.load([subject]).samples[0][0]
        if "latents" in contents:
            _write_latents(person, folder, pipe)
        if "keys_and_values" in contents:
            pipe.encode_identity([subject]).save(folder / KEYS_AND_VALUES)


def _kept_files(subject: Subject, contents: Iterable[str] | None, lora: str | os.PathLike[str] | None) -> list[Path]:
    """Files of the card that fit one model and go on as they are, unless the person was given others."""
    card = subject.card
    if card is None:
        return []
    names = []
    if contents is None and _shows_the_same(subject, card):
        names += [FACE_LATENTS, VOICE_LATENTS, KEYS_AND_VALUES]
    if lora is None:
        names.append(LORA)
    return [path for name in names if (path := card.path(name))]


def _shows_the_same(subject: Subject, card: IdentityCard) -> bool:
    views, voice = tuple(card.path(view) for view in card.views), card.path(VOICE)
    return subject.views in ((), views) and subject.voice in (None, voice)


def _write_references(subject: Subject, folder: Path) -> None:
    if subject.views:
        (folder / "views").mkdir()
    for index, view in enumerate(subject.views):
        image = read_image(view) if isinstance(view, str | os.PathLike) else view.convert("RGB")
        image.info.clear()
        image.save(folder / "views" / f"{index}.png")
    if subject.voice is not None:
        voice = subject.voice if isinstance(subject.voice, AudioSamples) else read_audio(subject.voice)
        export_sound(voice if voice.num_channels <= 2 else voice.to_mono(), folder / VOICE)


def _write_latents(person: LoadedSubject, folder: Path, pipe: IAPPipeline) -> None:
    if not isinstance(person, LoadedSubject):
        raise ValueError("`contents` asks for latents of somebody whose references are latents already.")
    if person.views:
        save_file({"latents": pipe.encode_faces(person.views).contiguous()}, folder / FACE_LATENTS)
    if person.voice is not None:
        save_file({"latents": pipe.encode_voice(person.voice).contiguous()}, folder / VOICE_LATENTS)


def _copy_lora(lora: str | os.PathLike[str] | None, folder: Path, pipe: IAPPipeline | None) -> None:
    if lora is None:
        return
    source = Path(lora) / LORA if Path(lora).is_dir() else Path(lora)
    if not source.is_file() or source.suffix != ".safetensors":
        raise ValueError(f"`lora` must be a safetensors file or a folder with {LORA}, but {source} is none.")
    if pipe is not None:
        _, metadata = pipe.lora_state_dict(source, return_lora_metadata=True)
        try:
            check_adapter(metadata, pipe.transformer, pipe.transformer_name)
        except ValueError as error:
            raise ValueError(f"`lora` {source}: {error} The model of a card is `pipe` (--model).") from error
    shutil.copyfile(source, folder / LORA)


def _reference(pipe: IAPPipeline) -> ModelReference:
    known = model_provenance(pipe)
    # Of a folder only its own name: where it lies is nobody's business.
    name = known.model or Path(pipe._loaded_from or "unnamed").name
    return ModelReference(name=name, revision=known.revision, fingerprint=model_fingerprint(pipe.transformer))


def _describe_contents(card: IdentityCard) -> str:
    parts = []
    if card.views:
        parts.append(f"{len(card.views)} {'picture' if len(card.views) == 1 else 'pictures'} of the face")
    names = {
        VOICE: "a recording of the voice",
        FACE_LATENTS: "latents of the face",
        VOICE_LATENTS: "latents of the voice",
        KEYS_AND_VALUES: "keys and values of the references",
        LORA: "LoRA weights",
        EMBEDDINGS: "embeddings for verification",
    }
    parts += [text for name, text in names.items() if name in card.files]
    return ", ".join(parts)


def _licence(card: IdentityCard, consent: Consent) -> str:
    uses = "".join(f"- {use}\n" for use in consent.allowed_uses) or "- as the statement says\n"
    end = f"until {consent.expires_on}" if consent.expires_on else "until it is withdrawn"
    return (
        f"# Licence\n\nThese files show {card.name}. They may be used as {card.name} agreed to on {consent.given_on}, "
        f"{end}:\n\n> {consent.statement}\n\nAllowed uses:\n\n{uses}"
    )
