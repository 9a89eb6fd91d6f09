"""Transformer and text encoder as the one module that a training step calls.

B samples, R draws per sample.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import UMT5EncoderModel

from iap_pipelines.data.training_dataset import TrainingBatch
from iap_pipelines.models.transformer_iap import (
    IAPIdentityMemory,
    IAPTransformer3DModel,
    LayerMemory,
    Towers,
)
from iap_pipelines.pipelines.lora_iap import only_adapters
from iap_pipelines.training.config import ExchangeMargins
from iap_pipelines.training.exchange import exchange_loss
from iap_pipelines.training.flow_matching import (
    add_noise,
    mean_squared_error,
    motion_error,
    timestep,
    velocity,
)
from iap_pipelines.training.noise import NoiseDraw


class FlowLosses(NamedTuple):
    """Squared error of the velocity, per sample and draw `[B * R]`; `None` for a tower that did not run."""

    video: Tensor | None
    audio: Tensor | None
    motion: Tensor | None = None
    """see [`motion_error`]"""
    exchange: Tensor | None = None
    """scalar, see [`exchange_loss`]; `None` if exchanged references were not looked at"""


class IAPTrainingModel(nn.Module):
    """
    Everything that can learn, behind one `forward`, so that wrappers (DDP, FSDP) see one call per backward pass.

    Args:
        transformer: both towers.
        text_encoder: of captions.
    """

    reference_adapter: str | None = None
    """Adapter that acts while references are encoded, and only then; see [`LoraSettings`]."""
    runs_conditions_along = False
    """
    Whether conditions pass through the layers together with the target, once per draw, instead of before it. Slower,
    but each layer is called once: what FSDP needs, whose processes have to make the same calls.
    """

    exchange_draws: int | None = None
    """Draws per sample that are predicted with exchanged references as well; all if `None`."""
    exchange_margins = ExchangeMargins()
    """See [`exchange_loss`]."""
    exchange_ends: bool = True
    """See [`exchange_loss`]."""

    def __init__(self, transformer: IAPTransformer3DModel, text_encoder: UMT5EncoderModel) -> None:
        super().__init__()
        self.transformer = transformer
        self.text_encoder = text_encoder

    def forward(self, batch: TrainingBatch, noise: NoiseDraw) -> FlowLosses:
        """
        Noise the targets, predict their velocities, compare. References are conditions, so no loss is taken of them.
        """
        video = audio = None
        if batch.video is not None:
            video = add_noise(batch.video, noise.video, noise.video_sigma)
        if batch.audio is not None:
            audio = add_noise(batch.audio, noise.audio, noise.audio_sigma)
        noisy = (video, audio, noise.video_sigma, noise.audio_sigma)
        targets = [
            None if clean is None else velocity(clean, drawn)
            for clean, drawn in ((batch.video, noise.video), (batch.audio, noise.audio))
        ]
        caption = self.read_caption(batch)
        predictions = self.predict(batch, *noisy, caption)
        errors = _errors(predictions, targets)
        losses = FlowLosses(*errors, motion=None if video is None else motion_error(predictions[0], targets[0]))
        if batch.has_exchanged is None:
            return losses
        if not batch.has_exchanged.any() and not self.runs_conditions_along:
            # Not left out: processes that log together have the same losses.
            return losses._replace(exchange=batch.input_ids.new_zeros((), dtype=torch.float32))
        noisy, targets, errors = (self._to_exchange(tensors, batch.num_draws) for tensors in (noisy, targets, errors))
        exchanged = self.predict(batch._replace(identity=batch.exchanged), *noisy, caption)
        margins = (self.exchange_margins.video, self.exchange_margins.audio)
        towers = zip(errors, _errors(exchanged, targets), noisy[2:], margins, strict=True)
        exchange = sum(
            exchange_loss(*tower, batch.has_exchanged, ends=self.exchange_ends)
            for tower in towers
            if tower[0] is not None
        )
        return losses._replace(exchange=exchange)

    def predict(
        self,
        batch: TrainingBatch,
        video: Tensor | None,
        audio: Tensor | None,
        video_sigma: Tensor | None,
        audio_sigma: Tensor | None,
        caption: Mapping[str, Any] | None = None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """
        Velocities of noisy latents under the conditions of a batch. R may be another number of draws than the batch's.

        Args:
            batch: whose caption and references to use.
            video: noisy latents `[B * R, C, F, h, w]`, or `None`.
            audio: noisy latents `[B * R, L, C_audio]`, or `None`.
            video_sigma: noise levels `[B * R]`, `None` without video.
            audio_sigma: noise levels `[B * R]`, `None` without audio.
            caption: what `read_caption` made of this batch, if it was called already.
        """
        caption = caption or self.read_caption(batch)
        num_draws = len(audio if video is None else video) // len(batch.input_ids)
        targets = {
            "hidden_states": video,
            "audio_hidden_states": audio,
            "timestep": timestep(audio_sigma if video_sigma is None else video_sigma),
            "audio_timestep": None if audio_sigma is None else timestep(audio_sigma),
        }
        # An adapter that acts on references alone does so before the target comes.
        if self._runs_along and self.reference_adapter is None:
            references = {"identity": batch.identity}
        else:
            references = {"identity_memory": self._remember_identity(batch)}
        conditions = {name: _repeat(value, num_draws) for name, value in {**caption, **references}.items()}
        return self.transformer(**targets, **conditions, return_dict=False)

    def encode_caption(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Caption embeddings `[B, T, text_dim]`, zero behind each caption's end, as the pipeline makes them."""
        embeds = self.text_encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return embeds * attention_mask[..., None]

    def read_caption(self, batch: TrainingBatch) -> dict[str, Any]:
        """
        What the towers read from the captions of a batch, once per sample, for any number of draws and predictions.

        Returns:
            the transformer's argument by name: embeddings, or what every layer makes of them.
        """
        embeds = self.encode_caption(batch.input_ids, batch.attention_mask)
        if self._runs_along:
            return {"encoder_hidden_states": embeds}
        return {"caption_memory": self._remember_caption(embeds, batch)}

    @property
    def _runs_along(self) -> bool:
        # With checkpointing, conditions are recomputed along with the target.
        return self.runs_conditions_along or self.transformer.gradient_checkpointing

    def _to_exchange(self, tensors: Sequence[Tensor | None], num_draws: int) -> list[Tensor | None]:
        """The first `exchange_draws` of every sample's draws."""
        count = self.exchange_draws or num_draws
        return [None if t is None else t.unflatten(0, (-1, num_draws))[:, :count].flatten(0, 1) for t in tensors]

    def _remember_caption(self, embeds: Tensor, batch: TrainingBatch) -> tuple[LayerMemory, ...]:
        """What each layer of the towers that run reads from the caption."""
        transformer = self.transformer
        caption = Towers(
            None if batch.video is None else transformer.video_condition_embedder.text_embedder(embeds),
            None if batch.audio is None else transformer.audio_condition_embedder.text_embedder(embeds),
        )
        return tuple(block(Towers(), LayerMemory(), caption=caption)[1] for block in transformer.blocks)

    def _remember_identity(self, batch: TrainingBatch) -> IAPIdentityMemory | None:
        if batch.identity is None:
            return None
        num_frames = 0 if batch.video is None else batch.video.shape[2]
        num_audio_latents = 0 if batch.audio is None else batch.audio.shape[1]
        with self._reference_adapter():
            return self.transformer.encode_identity(batch.identity, num_frames, num_audio_latents)

    def _reference_adapter(self) -> AbstractContextManager[None]:
        if self.reference_adapter is None:
            return nullcontext()
        return only_adapters(self.transformer, [self.reference_adapter])


def _errors(predictions: Sequence[Tensor | None], targets: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Squared errors of each tower, `None` for one that did not run."""
    return [
        None if target is None else mean_squared_error(prediction, target)
        for prediction, target in zip(predictions, targets, strict=True)
    ]


def _repeat(value: object, count: int) -> object:
    """Repeat a tensor, or every tensor of nested tuples, along the first dimension."""
    if value is None or count == 1:
        return value
    if isinstance(value, torch.Tensor):
        return value.repeat_interleave(count, dim=0)
    entries = [_repeat(entry, count) for entry in value]
    return type(value)(*entries) if hasattr(value, "_fields") else tuple(entries)
