"""A trained model as a pipeline folder that `IAPPipeline.from_pretrained` loads."""

import copy
import json
import os
import shutil
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, MMAudioVAE, UniPCMultistepScheduler
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from iap_pipelines.pipelines.pipeline_iap import IAPPipeline
from iap_pipelines.training.config import ExportSettings
from iap_pipelines.training.training_model import IAPTrainingModel


def build_pipeline(
    model: IAPTrainingModel, tokenizer: PreTrainedTokenizerBase, settings: ExportSettings, caption_length: int
) -> IAPPipeline:
    """
    Put a model and the codecs together, in float32.

    Args:
        model: its transformer and text encoder become components as they are, not copied.
        tokenizer: of captions.
        settings: codecs, scheduler and the pipeline's defaults.
        caption_length: tokens that the model was trained with.
    """
    codecs = Path(settings.codecs)
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=settings.flow_shift
    )
    return IAPPipeline(
        tokenizer=tokenizer,
        text_encoder=model.text_encoder,
        transformer=model.transformer,
        vae=AutoencoderKLWan.from_pretrained(codecs / "vae", torch_dtype=torch.float32),
        audio_vae=MMAudioVAE.from_pretrained(codecs / "audio_vae", torch_dtype=torch.float32),
        vocoder=LTX2Vocoder.from_pretrained(codecs / "vocoder", torch_dtype=torch.float32),
        scheduler=scheduler,
        height=settings.height,
        width=settings.width,
        sizes_by_subjects=settings.sizes_by_subjects,
        num_frames=settings.num_frames,
        frame_rate=settings.frame_rate,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        audio_guidance_scale=settings.audio_guidance_scale,
        face_guidance_scale=settings.face_guidance_scale,
        voice_guidance_scale=settings.voice_guidance_scale,
        face_size=settings.face_size,
        max_voice_seconds=settings.max_voice_seconds,
        max_sequence_length=caption_length,
    )


def export_pipeline(pipeline: IAPPipeline, folder: Path, dtype: torch.dtype) -> None:
    """
    Write a pipeline folder, replacing one that is there only when the new one is whole.

    Args:
        pipeline: whose parts stay as they are.
        folder: of the result; see [`check_replaceable`].
        dtype: of the stored weights.

    Raises:
        ValueError: if `folder` holds something else.
    """
    folder = Path(folder)
    check_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    # Copies are converted: parameters that change their dtype and back lose the hooks by which DDP adds up gradients.
    stored = copy.copy(pipeline)
    for name, module in _modules(pipeline).items():
        setattr(stored, name, copy.deepcopy(module).to(dtype))
    stored.tokenizer = copy.deepcopy(pipeline.tokenizer)
    if isinstance(stored.tokenizer, PreTrainedTokenizerFast):  # which would store how it was called last
        stored.tokenizer.backend_tokenizer.no_padding()
        stored.tokenizer.backend_tokenizer.no_truncation()
    stored.save_pretrained(partial, safe_serialization=True)
    _forget_origins(partial)
    os.chmod(partial, 0o755)
    old = partial.with_name(f"{partial.name}.old")
    if folder.exists():  # set aside whole: what a kill leaves of a pipeline would not be replaceable
        os.replace(folder, old)
    os.replace(partial, folder)
    shutil.rmtree(old, ignore_errors=True)


def check_replaceable(folder: Path) -> None:
    """
    Make sure that nothing but a pipeline is lost when a folder is replaced.

    Args:
        folder: that need not exist.

    Raises:
        ValueError: if it holds anything but a pipeline.
    """
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    if names and "model_index.json" not in names:
        raise ValueError(
            f"`folder` of the export is replaced, so it must be empty or hold a pipeline (model_index.json), but "
            f"{folder} holds {', '.join(names[:3])}. Give another one as `export.folder`, or delete it."
        )


def _forget_origins(folder: Path) -> None:
    """Diffusers writes into a config where the model was loaded from: a folder of this machine, no use elsewhere."""
    for path in folder.glob("*/config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _modules(pipeline: IAPPipeline) -> dict[str, torch.nn.Module]:
    return {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}
