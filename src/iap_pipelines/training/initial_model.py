"""What a run starts from: random weights, or the folder of an earlier stage."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import AutoTokenizer, PreTrainedTokenizerBase, UMT5Config, UMT5EncoderModel

from iap_pipelines.models.transformer_iap import IAPTransformer3DModel
from iap_pipelines.training.config import NewModel, PretrainedModel
from iap_pipelines.training.parts import part_of
from iap_pipelines.training.tokenizer import build_tokenizer
from iap_pipelines.training.training_model import IAPTrainingModel


_WRONG_WAY = 4.0
"""Tokens that a token in the other direction counts as farther away."""


class InitialModel(NamedTuple):
    """The modules that can learn, and the tokenizer that goes with them."""

    model: IAPTrainingModel
    tokenizer: PreTrainedTokenizerBase


def initial_model(
    source: NewModel | PretrainedModel, captions: Iterable[str], caption_length: int, seed: int
) -> InitialModel:
    """
    Make or load what a run starts from, in float32.

    Args:
        source: see [`NewModel`] and [`PretrainedModel`].
        captions: of the training split; their words become the tokenizer of a new model.
        caption_length: tokens per caption.
        seed: of a new model's weights.
    """
    if isinstance(source, NewModel):
        return _new(source, captions, caption_length, seed)
    model = _load(source.folder, source.transformer)
    if source.video_from is not None:
        take_video_tower(model, _load(source.video_from, source.transformer))
    tokenizer = AutoTokenizer.from_pretrained(source.folder, subfolder="tokenizer", model_max_length=caption_length)
    return InitialModel(model, tokenizer)


def take_video_tower(model: IAPTrainingModel, other: IAPTrainingModel) -> None:
    """
    Copy the weights of the video tower from another model.

    Raises:
        ValueError: if the towers differ in names or shapes.
    """
    target, source = ({n: p for n, p in m.named_parameters() if part_of(n) == "video"} for m in (model, other))
    if {n: p.shape for n, p in target.items()} != {n: p.shape for n, p in source.items()}:
        raise ValueError("`video_from` must hold a model of the same configuration as `folder`.")
    with torch.no_grad():
        for name, parameter in target.items():
            parameter.copy_(source[name])


def _load(folder: str, changes: dict[str, Any]) -> IAPTrainingModel:
    """A folder's model, some arguments of its transformer changed; weights that they make needless are dropped."""
    if Path(folder).exists() and not (Path(folder) / "transformer").exists():
        raise ValueError(f"`folder` {folder} is no pipeline folder: it has no `transformer`.")
    transformer, found = IAPTransformer3DModel.from_pretrained(
        folder, subfolder="transformer", torch_dtype=torch.float32, output_loading_info=True, **changes
    )
    if found["missing_keys"]:
        raise ValueError(
            f"`transformer: {changes}` needs weights that {folder} does not have: {sorted(found['missing_keys'])[0]}."
        )
    text_encoder = UMT5EncoderModel.from_pretrained(folder, subfolder="text_encoder", dtype=torch.float32)
    return IAPTrainingModel(transformer, text_encoder)


def _new(source: NewModel, captions: Iterable[str], caption_length: int, seed: int) -> InitialModel:
    num_anchors = source.transformer.get("num_identity_slots") or 4
    tokenizer = build_tokenizer([*captions, source.text_encoder.extra_words], num_anchors, caption_length)
    config = UMT5Config(
        **source.text_encoder.model_dump(exclude={"extra_words"}),
        vocab_size=len(tokenizer),
        dropout_rate=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        text_encoder = UMT5EncoderModel(config)
        initialise_text_encoder(text_encoder)
        transformer = IAPTransformer3DModel(**source.transformer, text_dim=config.d_model)
        initialise_transformer(transformer)
    return InitialModel(IAPTrainingModel(transformer, text_encoder), tokenizer)


def initialise_transformer(transformer: IAPTransformer3DModel) -> None:
    """
    Weights from which training from scratch starts well.

    Velocities start at zero (zero heads), what is read from the caption and the other tower enters from nothing (its
    output projection has no gate of its own), and time modulates little at first. Draws from torch's default
    generator.
    """
    for name, module in transformer.named_modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv3d):
            nn.init.xavier_uniform_(module.weight.flatten(1))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if name.endswith(("time_proj", "identity_proj")):
            nn.init.normal_(module.weight, std=0.02)
        if name.endswith(("proj_out", "attn2.to_out.0")):
            nn.init.zeros_(module.weight)


def initialise_text_encoder(text_encoder: UMT5EncoderModel) -> None:
    """
    Let every head look at neighbours from the start, half of them back and half ahead, near ones most.

    The relative position biases that UMT5 starts with are a tenth of the other logits and did not grow in 4,000 steps:
    captions stayed bags of words, so that "left" was the same vector whoever stood there. The slopes are those of
    ALiBi (arXiv 2108.12409), one per pair of heads.
    """
    config = text_encoder.config
    per_direction = config.relative_attention_num_buckets // 2
    exact = per_direction // 2
    growth = (config.relative_attention_max_distance / exact) ** (1 / (per_direction - exact))
    distance = torch.tensor([b if b < exact else exact * growth ** (b - exact) for b in range(per_direction)])
    for layer in text_encoder.encoder.block:
        bias = layer.layer[0].SelfAttention.relative_attention_bias.weight
        for head in range(config.num_heads):
            slope = 4.0 ** -(head // 2)
            # The first half of the buckets lies behind, the second ahead.
            extra = [0.0, _WRONG_WAY] if head % 2 == 0 else [_WRONG_WAY, 0.0]
            with torch.no_grad():
                bias[:, head] = torch.cat([-slope * (distance + more) for more in extra])
