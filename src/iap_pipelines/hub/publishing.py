"""A folder to a repository: recognised, checked, sent in one commit."""

import logging
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from iap_pipelines.hub.card_check import check_card
from iap_pipelines.hub.errors import HubError, explained
from iap_pipelines.hub.remote_code import REMOTE_CODE_REVISION, remote_code_files
from iap_pipelines.identity_card import CONSENT_FILE, FILE_PATTERNS, IDENTITY_FILE, LORA, Consent, IdentityCard


logger = logging.getLogger(__name__)

RepositoryFiles = Mapping[str, Path | bytes]
"""What a commit holds: by name in the repository, a file to read or its contents."""

CONSENT_IS_MISSING = (
    "`consent` is missing. A face and a voice belong to a person: ask them, and give what they said as "
    'consent=Consent(statement="I, Ada Example, agree that ...", given_on="2026-11-25", allowed_uses=("research",), '
    'expires_on="2027-11-25"), or on the command line as --consent "I, ..." --consent-date 2026-11-25.'
)

NOBODY_TO_ASK = (
    " LoRA weights that show nobody who exists, such as a style or a drawn person, are published with no_person=True "
    "(--no-person)."
)

CONSENT_HAS_ENDED = (
    "the consent of {who} ended on {day}, so nothing is published. Ask again; if they agree, write down what they say "
    "now as "
)
RENEWED_CARD = (
    '`iap identity {folder} --subject identity={folder} --consent "I, ..." --consent-date YYYY-MM-DD`, or in Python '
    "as consent=Consent(...)."
)
_RENEWED_LORA = '`iap publish {folder} REPOSITORY --consent "I, ..." --consent-date YYYY-MM-DD`.'
_RENEWED_DATASET = (
    "lines of `consent.jsonl` in the folder that the dataset is built from, or leave them out, and build it again."
)

LICENCE_FILE = "LICENSE.md"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_TOKEN = re.compile(rb"\bhf_[A-Za-z0-9]{30,}")
_MAX_TEXT_BYTES = 10_000_000


@dataclass(frozen=True)
class FolderKind:
    """What a folder is, told by one file that it must have."""

    name: str
    marker: str
    """glob, relative to the folder"""
    repo_type: str = "model"
    owned: tuple[str, ...] = ()
    """patterns of the files of a repository that go when the folder does not have them any more"""
    owns_folders: bool = False
    """whether so does all else in the folders that it has"""


# Shards and their index, which is read before a single file. Variants (`model.fp16.safetensors`) are others' weights.
_SHARDS = tuple(
    f"*/{stem}{end}"
    for stem in ("model", "diffusion_pytorch_model")
    for end in ("-*-of-*.safetensors", ".safetensors.index.json")
)
KINDS = (
    FolderKind("pipeline", "model_index.json", owned=_SHARDS),
    FolderKind("identity", IDENTITY_FILE, owned=FILE_PATTERNS),
    FolderKind("lora", LORA),
    FolderKind("dataset", "**/*.parquet", repo_type="dataset", owned=("*.parquet",)),
    FolderKind("dataset", "clips.jsonl", repo_type="dataset", owns_folders=True),
)


def kind_of_folder(folder: Path) -> FolderKind:
    """
    Recognise a folder.

    Raises:
        ValueError: it is none of the kinds that are published.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder.")
    for kind in KINDS:
        if next(folder.glob(kind.marker), None) is not None:
            return kind
    markers = ", ".join(f"{kind.marker} ({kind.name})" for kind in KINDS)
    raise ValueError(f"{folder}: it is nothing that can be published, since it has none of {markers}.")


def publish_folder(
    folder: str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    remote_code: bool = False,
    consent: Consent | None = None,
    no_person: bool = False,
    token: str | None = None,
) -> str:
    """
    Publish a pipeline, an identity, LoRA weights or a dataset.

    One commit: the repository shows all of it or nothing. After an interruption the same call continues. Weights,
    shards and references that an earlier call sent, and that the folder does not have any more, are deleted in it.

    Args:
        folder: what to publish. Hidden files stay behind.
        repo_id: such as `"org/iap"`; created when it is missing.
        private: of a new repository; `None`: private for identities and LoRA weights of people, else as the account's
            settings say.
        revision: branch to commit to; created when it is missing. `None`: the main one, or `remote-code`.
        remote_code: publish a pipeline with its code, for those who have diffusers alone.
        consent: what the person agreed to whom LoRA weights show; published as `consent.json`. `None`: what that file
            of the folder says.
        no_person: the LoRA weights show nobody who exists, so there is nobody to ask.
        token: what to authenticate with; the one of `hf auth login` or HF_TOKEN if `None`.

    Returns:
        The address of the commit.

    Raises:
        ValueError: the folder is not ready, or a person did not agree; says what is missing.
        HubError: the Hub refuses or cannot be reached; says what to do.
    """
    folder = Path(folder)
    kind = kind_of_folder(folder)
    if kind.name != "lora" and (consent is not None or no_person):
        raise ValueError(
            f"`consent` and `no_person` are for LoRA weights, but {folder} is of the kind {kind.name!r}; the consent "
            "of a person is part of their identity card (`iap identity`)."
        )
    files: RepositoryFiles = folder_files(folder)
    if kind.name == "identity":
        files = identity_files(folder)
    if kind.name == "identity" or (kind.name == "lora" and not no_person):
        private = True if private is None else private
    check_files(files)
    if kind.name == "lora":
        files = lora_files(folder, files, consent, no_person)
    if kind.name == "dataset":
        check_consents_of_dataset(folder)
    problems = check_card(folder / "README.md", kind.repo_type)
    if problems:
        raise ValueError(f"{folder / 'README.md'}: {' '.join(problems)} See model_cards/ for templates and examples.")
    if remote_code:
        if kind.name != "pipeline":
            raise ValueError(f"`remote_code` is for pipelines, but {folder} is of the kind {kind.name!r}.")
        files = remote_code_files(files)
        revision = revision or REMOTE_CODE_REVISION
    owned = set(kind.owned)
    if kind.owns_folders:
        owned |= {f"{name.partition('/')[0]}/*" for name in files if "/" in name}
    return publish_files(
        files,
        repo_id,
        repo_type=kind.repo_type,
        owned=owned,
        private=private,
        revision=revision,
        token=token,
    )


def publish_files(
    files: RepositoryFiles,
    repo_id: str,
    *,
    repo_type: str = "model",
    owned: Collection[str] = (),
    private: bool | None = None,
    revision: str | None = None,
    token: str | None = None,
) -> str:
    """Send files in one commit, and delete those that match `owned` and are not among them; see [`publish_folder`]."""
    api = HfApi(token=token)
    with explained(repo_id, revision):
        repo_id = api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True).repo_id
        if private and not api.repo_info(repo_id, repo_type=repo_type).private:
            raise HubError(
                f"{repo_id}: it exists and is public, but was to be private. Nothing was sent. Choose another name, "
                "or say `private=False` (--no-private)."
            )
        if revision is not None:
            api.create_branch(repo_id, repo_type=repo_type, branch=revision, exist_ok=True)
        present = api.list_repo_files(repo_id, repo_type=repo_type, revision=revision)
        missing = [name for name in present if name not in files]
        stale = [name for name in missing if any(fnmatchcase(name, pattern) for pattern in owned)]
        operations = [
            *(CommitOperationAdd(name, content) for name, content in files.items()),
            *map(CommitOperationDelete, stale),
        ]
        message = "Upload with iap-pipelines"
        commit = api.create_commit(repo_id, operations, repo_type=repo_type, revision=revision, commit_message=message)
    logger.info("%s: %d files published, %d deleted", repo_id, len(files), len(stale))
    return commit.commit_url


def folder_files(folder: Path) -> dict[str, Path]:
    """Every file of a folder but the hidden ones, by its name in a repository."""
    names = ((path.relative_to(folder), path) for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        name.as_posix(): path
        for name, path in names
        if not any(part.startswith(".") or part == "__pycache__" for part in name.parts)
    }


def check_files(files: Mapping[str, Path]) -> None:
    """
    Refuse what must not be published.

    Raises:
        ValueError: pickles, or a file that contains an access token; names the file.
    """
    for name, path in files.items():
        if name.endswith(_PICKLES):
            raise ValueError(f"{path}: pickles run code when they are loaded. Save weights as safetensors.")
        if path.stat().st_size <= _MAX_TEXT_BYTES and _TOKEN.search(path.read_bytes()):
            raise ValueError(f"{path}: it contains what looks like a Hugging Face access token. Take it out first.")


def lora_files(
    folder: Path, files: Mapping[str, Path], consent: Consent | None, no_person: bool = False
) -> dict[str, Path | bytes]:
    """
    The files of LoRA weights, with the consent of the person whom they show.

    Raises:
        ValueError: nobody says that the person agreed, `consent.json` is not valid, or the consent has ended.
    """
    written = Consent.load(folder) if CONSENT_FILE in files else None
    if no_person:
        if consent is not None or written is not None:
            raise ValueError(f"{folder}: `no_person` and a consent exclude each other. Leave out one of them.")
        return dict(files)
    if consent is None and written is None:
        raise ValueError(f"{folder}: {CONSENT_IS_MISSING}{NOBODY_TO_ASK}")
    check_consent_holds(consent or written, f"{folder}: ", "the person", _RENEWED_LORA.format(folder=folder))
    return {**files, CONSENT_FILE: consent.to_json().encode()} if consent is not None else dict(files)


def identity_files(folder: Path) -> dict[str, Path]:
    """
    The files of an identity card, and nothing else that lies beside them.

    Raises:
        ValueError: the card is not valid, the person did not agree, or their consent has ended.
    """
    card = IdentityCard.load(folder)
    if card.consent is None:
        raise ValueError(f"{folder}: {CONSENT_IS_MISSING}")
    check_consent_holds(card.consent, f"{folder}: ", card.name, RENEWED_CARD.format(folder=folder))
    names = (IDENTITY_FILE, "README.md", LICENCE_FILE, *card.files)
    return {name: folder / name for name in names if (folder / name).is_file()}


def check_consent_holds(consent: Consent, where: str, who: str, renewal: str) -> None:
    """
    Refuse a consent that has ended.

    Args:
        consent: what the person agreed to.
        where: begins the message: the folder with `": "`, or nothing.
        who: whose consent it is.
        renewal: ends the message: how a new one is written down.

    Raises:
        ValueError: its last day has passed.
    """
    if consent.has_ended(date.today()):
        raise ValueError(f"{where}{CONSENT_HAS_ENDED.format(who=who, day=consent.expires_on)}{renewal}")


def check_consents_of_dataset(folder: Path) -> None:
    """
    Refuse a dataset that shows people whose consent has ended; its config `identities` says what everybody agreed to.

    Raises:
        ValueError: names the first of them.
    """
    shards = sorted(folder.glob("identities/*.parquet"))
    if not shards:
        return
    import pyarrow.parquet as pq  # in the extras with which datasets are made

    for shard in shards:
        if not {"identity_id", "consent"} <= set(pq.read_schema(shard).names):
            continue
        for row in pq.read_table(shard, columns=["identity_id", "consent"]).to_pylist():
            end = row["consent"]["expires_on"]
            if end is not None and date.fromisoformat(end) < date.today():
                ended = CONSENT_HAS_ENDED.format(who=row["identity_id"], day=end)
                raise ValueError(f"{folder}: {ended}{_RENEWED_DATASET}")
