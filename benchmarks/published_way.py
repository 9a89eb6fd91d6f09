"""The same model computed the published way: nothing is kept between calls, and time is a property of every token.

Three things differ from `IAPTransformer3DModel`; the numbers that come out do not:

- references and caption run through all layers in every call of the transformer, instead of once per generation;
- time embedding, time MLP and the six modulations are evaluated for each token, target and identity alike;
- every layer adds its own offsets to a `[B, L, 6, D]` tensor, instead of to `[B, 6, D]`.

Left out, in favour of the published side: its rotation in complex128, its queries and feed-forward of identity tokens
in the last layer (whose result is discarded), and its equality assertion in every block.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from iap_pipelines import IAPTransformer3DModel
from iap_pipelines.models.transformer_iap import (
    IAPConditionEmbedder,
    IAPHead,
    IAPIdentityInputs,
    IAPIdentityMemory,
    IAPModulation,
    IAPTransformerOutput,
    StreamTokens,
    Towers,
)


class PerTokenConditionEmbedder(IAPConditionEmbedder):
    """Time of every token: `[B, L]` to `[B, L, D]` and `[B, L, 6, D]`."""

    def embed_time(self, timestep: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        temb, modulation = super().embed_time(timestep.flatten(), dtype)
        return temb.unflatten(0, timestep.shape), modulation.unflatten(0, timestep.shape)


class PerTokenModulation(IAPModulation):
    """`[B, L, n, D]` + `[1, n, D]`, split into n tensors `[B, L, D]`."""

    def forward(self, time_modulation: Tensor) -> tuple[Tensor, ...]:
        num_vectors = self.scale_shift_table.shape[1]
        return (self.scale_shift_table + time_modulation[..., :num_vectors, :].float()).unbind(dim=-2)


class PerTokenHead(IAPHead):
    """The head with a time vector per token."""

    def forward(self, hidden_states: Tensor, temb: Tensor) -> Tensor:
        shift, scale = self.modulation(temb[:, :, None].expand(-1, -1, 2, -1))
        hidden_states = (self.norm_out(hidden_states.float()) * (1 + scale) + shift).type_as(hidden_states)
        return self.proj_out(hidden_states)


_PER_TOKEN = {
    IAPConditionEmbedder: PerTokenConditionEmbedder,
    IAPModulation: PerTokenModulation,
    IAPHead: PerTokenHead,
}


class PublishedWayTransformer(IAPTransformer3DModel):
    """Takes the place of `IAPTransformer3DModel` in a pipeline; remembers raw conditions, and runs them every time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for module in self.modules():
            module.__class__ = _PER_TOKEN.get(type(module), type(module))
        self.references = None

    def encode_identity(self, identity: IAPIdentityInputs, *_: Any, **__: Any) -> IAPIdentityMemory:
        """Keep the references for all calls to come; the memory is empty."""
        self.references = identity
        return IAPIdentityMemory(layers=(), mask=Towers())

    def encode_caption(
        self, encoder_hidden_states: Tensor, audio_encoder_hidden_states: Tensor | None = None, **_: Any
    ) -> tuple[Tensor, Tensor | None]:
        return encoder_hidden_states, audio_encoder_hidden_states

    def forward(
        self,
        hidden_states: Tensor,
        audio_hidden_states: Tensor,
        timestep: Tensor,
        caption_memory: tuple[Tensor, Tensor | None],
        identity_memory: IAPIdentityMemory | None,
        skip_layers: tuple[int, ...] = (),
        attention_kwargs: dict[str, Any] | None = None,
        return_dict: bool = True,
    ) -> IAPTransformerOutput | tuple[Tensor, Tensor]:
        num_video_tokens = F.avg_pool3d(hidden_states[:1, :1], self.config.patch_size).numel()
        encoder_hidden_states, audio_encoder_hidden_states = caption_memory
        return super().forward(
            hidden_states,
            audio_hidden_states,
            timestep[:, None].expand(-1, num_video_tokens),
            encoder_hidden_states=encoder_hidden_states,
            audio_encoder_hidden_states=audio_encoder_hidden_states,
            identity=None if identity_memory is None else self.references,
            audio_timestep=timestep[:, None].expand(-1, audio_hidden_states.shape[1]),
            skip_layers=skip_layers,
            attention_kwargs=attention_kwargs,
            return_dict=return_dict,
        )

    def _as_identity_tokens(self, tower: str, hidden_states: Tensor, *args: Any) -> tuple[StreamTokens, Tensor | None]:
        # The parent asks for the time of one token that stands for all; here every token has its own.
        embedder = getattr(self, f"{tower}_condition_embedder")
        tokens, mask = super()._as_identity_tokens(tower, hidden_states, *args)
        timestep = torch.zeros(tokens.hidden_states.shape[:2], device=hidden_states.device)
        _, modulation = embedder.embed_time(timestep, hidden_states.dtype)
        return tokens._replace(time_modulation=modulation), mask
