"""Official files to one folder that `IAPPipeline.from_pretrained` loads."""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch
from diffusers import UniPCMultistepScheduler
from diffusers.utils import logging
from torch import Tensor

from iap_pipelines.conversion.checkpoint import open_checkpoint
from iap_pipelines.conversion.components import (
    plan_audio_vae,
    plan_text_encoder,
    plan_transformer,
    plan_video_vae,
    plan_vocoder,
)
from iap_pipelines.conversion.errors import ConversionError
from iap_pipelines.conversion.plan import ComponentPlan, Source
from iap_pipelines.conversion.report import ComponentReport, ConversionReport
from iap_pipelines.conversion.shards import ShardWriter, split_into_shards
from iap_pipelines.conversion.tokenizer import TokenizerPlan, plan_tokenizer


logger = logging.get_logger(__name__)

SCHEDULER_CONFIG = {
    "num_train_timesteps": 1000,
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "flow_shift": 5.0,
}
"""The published sampler as diffusers' `UniPCMultistepScheduler`."""
_REDUCED = ("transformer", "text_encoder")
"""Components that take the requested dtype. The codecs are small and keep the precision of their files."""


@dataclass(frozen=True, kw_only=True)
class OfficialSources:
    """
    Where the official files are. A checkpoint is a file (`.safetensors`, `.pt`, `.pth`, `.bin`, `.ckpt`), an index
    (`….index.json`) or the folder of either.

    Args:
        transformer: dual tower.
        vae: Wan2.2 video VAE (`Wan2.2_VAE.pth`), or a folder with an `AutoencoderKLWan`.
        text_encoder: UMT5-XXL encoder (`models_t5_umt5-xxl-enc-bf16.pth`), or a folder with a transformers UMT5.
        tokenizer: folder of its tokenizer.
        audio_vae: MMAudio's VAE of 16 kHz sound (`v1-16.pth`).
        vocoder: BigVGAN v1 of 16 kHz sound (`best_netG.pt`).
    """

    transformer: Path
    vae: Path
    text_encoder: Path
    tokenizer: Path
    audio_vae: Path
    vocoder: Path


def convert_official(
    sources: OfficialSources,
    output: Path,
    *,
    dtype: torch.dtype | None = torch.bfloat16,
    max_shard_size: int | str = "5GB",
    attention_head_dim: int = 128,
    initialise_identity: bool = False,
    dry_run: bool = False,
) -> ConversionReport:
    """
    Convert official files into one folder for `IAPPipeline.from_pretrained`.

    Everything is checked before anything is read. Tensors are then read, converted and written one at a time, into a
    folder that takes its final name when it is complete.

    Args:
        sources: the official files.
        output: folder to create; it may exist if it is empty.
        dtype: of the transformer and the text encoder, except for what the transformer always keeps in float32. `None`
            keeps the precision of the files. Codecs keep theirs in any case.
        max_shard_size: limit of one weights file, in bytes or as in `"5GB"`.
        attention_head_dim: channels of one head of the transformer, which its file does not tell.
        initialise_identity: accept a base checkpoint without parameters for identity tokens and start each of them as
            a copy of its base parameter.
        dry_run: check and report, read and write nothing.

    Raises:
        ConversionError: naming the file and the reason. Nothing is left behind.
    """
    output = Path(output)
    if dtype not in (None, torch.float32, torch.float16, torch.bfloat16):
        raise ConversionError(f"`dtype` must be float32, float16, bfloat16 or None, got {dtype}.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConversionError(f"`output` {output} exists already and is not an empty folder.")

    plan_tower = _with_options(attention_head_dim, initialise_identity)
    plans = (
        _plan("transformer", sources.transformer, plan_tower),
        _plan("vae", sources.vae, plan_video_vae),
        _plan("text_encoder", sources.text_encoder, plan_text_encoder),
        _plan("audio_vae", sources.audio_vae, plan_audio_vae),
        _plan("vocoder", sources.vocoder, plan_vocoder),
    )
    tokenizer = plan_tokenizer(Path(sources.tokenizer))
    _check_together({plan.name: plan for plan in plans}, tokenizer)
    stored = {plan.name: plan.stored_layout(dtype if plan.name in _REDUCED else None) for plan in plans}
    report = ConversionReport(
        output=output,
        dry_run=dry_run,
        components=tuple(_report(plan, stored[plan.name], max_shard_size) for plan in plans),
        tokenizer_files=tuple(tokenizer.files),
        model_index=_model_index(plans, tokenizer),
    )
    if not dry_run:
        _check_space(output, report.num_bytes)
        with _finished_or_nothing(output) as folder:
            for plan in plans:
                write_component(plan, folder / plan.name, stored[plan.name], max_shard_size)
            _new_folder(folder / "tokenizer", tokenizer.copy_to)
            _new_folder(folder / "scheduler", UniPCMultistepScheduler(**SCHEDULER_CONFIG).save_pretrained)
            _write_json(folder / "model_index.json", report.model_index)
    return report


def write_component(
    plan: ComponentPlan, folder: Path, layout: dict[str, Tensor], max_shard_size: int | str = "5GB"
) -> None:
    """
    Carry out one plan.

    Args:
        plan: checked plan.
        folder: created; its configuration is written last, so that an unfinished one does not load.
        layout: from `plan.stored_layout`.
        max_shard_size: limit of one weights file.

    Raises:
        ConversionError: a tensor cannot be read, or is not finite in the dtype it is stored in.
    """
    folder.mkdir()
    with ShardWriter(folder, plan.weights_name, layout, max_shard_size) as writer:
        for name, tensor in plan.tensors():
            stored = tensor.to(layout[name].dtype)
            if not _is_finite(stored):
                before = "holds NaN or infinity" if not _is_finite(tensor) else f"overflows {stored.dtype}"
                raise ConversionError(f"`{plan.name}` {plan.source.path}: `{plan.official_name(name)}` {before}.")
            writer.write(name, stored)
    plan.save_config(folder, max(layout.values(), key=lambda tensor: tensor.nbytes).dtype)
    logger.info("%s: %d tensors written to %s", plan.name, len(layout), folder)


def _with_options(attention_head_dim: int, initialise_identity: bool) -> Callable[[Source], ComponentPlan]:
    return lambda source: plan_transformer(
        source, attention_head_dim=attention_head_dim, initialise_identity=initialise_identity
    )


def _plan(argument: str, path: Path, make_plan: Callable[[Source], ComponentPlan]) -> ComponentPlan:
    try:
        source = open_checkpoint(Path(path))
    except ConversionError as error:
        raise ConversionError(f"`{argument}` {error}") from error
    plan = make_plan(source)
    plan.check()
    return plan


def _check_together(plans: dict[str, ComponentPlan], tokenizer: TokenizerPlan) -> None:
    """Components of different models each look right; only their sizes tell that they do not belong together."""

    def size(component: str, name: str, dim: int) -> int:
        return plans[component].layout[name].shape[dim]

    for meaning, left, right in (
        (
            "latent channels of `transformer` and `vae`",
            size("transformer", "video_patch_embedding.proj.weight", 1),
            size("vae", "post_quant_conv.weight", 0),
        ),
        (
            "latent channels of `transformer` and `audio_vae`",
            size("transformer", "audio_patch_embedding.proj.weight", 1),
            size("audio_vae", "vae.decoder.conv_in.weight", 1),
        ),
        (
            "caption channels of `transformer` and `text_encoder`",
            size("transformer", "video_condition_embedder.text_embedder.linear_1.weight", 1),
            size("text_encoder", "shared.weight", 1),
        ),
        (
            "mel bands of `audio_vae` and `vocoder`",
            size("audio_vae", "vae.data_mean", 1),
            size("vocoder", "conv_in.weight", 1),
        ),
    ):
        if left != right:
            raise ConversionError(f"The files do not belong together: the {meaning} differ ({left} and {right}).")
    vocab_size = size("text_encoder", "shared.weight", 0)
    if tokenizer.num_tokens > vocab_size:
        raise ConversionError(
            f"`tokenizer` {tokenizer.folder} knows {tokenizer.num_tokens} tokens, but `text_encoder` only "
            f"{vocab_size}."
        )


def _report(plan: ComponentPlan, stored: dict[str, Tensor], max_shard_size: int | str) -> ComponentReport:
    layout = plan.source.layout
    shards = split_into_shards(stored, plan.weights_name, max_shard_size)
    return ComponentReport(
        name=plan.name,
        class_name=plan.reference[1],
        source_files=plan.source.files,
        source_dtypes=_distinct_dtypes(layout.values()),
        num_source_keys=len(layout),
        num_source_bytes=_num_bytes(layout.values()),
        dead_keys=plan.dead_keys,
        num_dead_bytes=_num_bytes(layout[key] for key in plan.dead_keys),
        initialised_keys=plan.initialised_keys,
        dtypes=_distinct_dtypes(stored.values()),
        num_tensors=len(stored),
        num_parameters=sum(tensor.numel() for tensor in stored.values()),
        num_bytes=_num_bytes(stored.values()),
        shard_bytes=tuple(_num_bytes(stored[name] for name in names) for names in shards.values()),
    )


def _model_index(plans: tuple[ComponentPlan, ...], tokenizer: TokenizerPlan) -> dict[str, object]:
    references = {plan.name: list(plan.reference) for plan in plans}
    references["tokenizer"] = ["transformers", tokenizer.class_name]
    references["scheduler"] = ["diffusers", "UniPCMultistepScheduler"]
    return {
        "_class_name": "IAPPipeline",
        "_diffusers_version": diffusers.__version__,
        **dict(sorted(references.items())),
    }


def _check_space(output: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(next(parent for parent in output.absolute().parents if parent.exists())).free
    if free < num_bytes:
        raise ConversionError(
            f"`output` {output} needs {num_bytes / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free there."
        )


@contextmanager
def _finished_or_nothing(output: Path) -> Iterator[Path]:
    """A folder to fill, beside `output`; it becomes `output` if all goes well and vanishes if not."""
    output = output.absolute()
    folder = output.with_name(f".{output.name}.unfinished-{uuid.uuid4().hex[:8]}")
    try:
        folder.mkdir(parents=True)
        yield folder
        if output.exists():
            output.rmdir()  # empty, as was checked; if it is not any more, this fails and nothing is overwritten
        os.rename(folder, output)
    except OSError as error:
        raise ConversionError(f"`output` {output} cannot be written: {error}") from error
    finally:
        if folder.exists():
            shutil.rmtree(folder)


def _new_folder(folder: Path, fill: Callable[[Path], object]) -> None:
    folder.mkdir()
    fill(folder)


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _is_finite(tensor: Tensor) -> bool:
    # Smallest and largest value show NaN and infinity without a mask as large as the tensor.
    return tensor.numel() == 0 or all(bool(bound.isfinite()) for bound in torch.aminmax(tensor))


def _num_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _distinct_dtypes(tensors: Iterable[Tensor]) -> tuple[torch.dtype, ...]:
    return tuple(dict.fromkeys(tensor.dtype for tensor in tensors))
