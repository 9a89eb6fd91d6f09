# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""The dual-tower diffusion transformer of "Identity as Presence" (arXiv 2603.17889).

Two towers, video and audio, denoise together. Three kinds of tokens take part:

- *target* tokens: the clip's own noisy latents, one sequence per tower;
- *identity* tokens: reference faces (video tower) and reference voices (audio tower). They run at timestep 0 and see
  identity tokens only, never the target or the caption. So everything a target reads from them, one key and value per
  layer, is a constant of the generation;
- *caption* tokens: keys and values for cross-attention, constant as well.

These constants are a [`LayerMemory`] per layer. `encode_identity` and `encode_caption` compute them once and `forward`
takes them back as `identity_memory` and `caption_memory`; `forward` computes them itself when it is given the raw
conditions (training). Both ways run the same code, block by block, so they agree exactly.

This file imports nothing of the package, so that it can be exported beside a checkpoint as remote code.

Shape letters: B samples, L target tokens of one tower, I identity tokens of one tower, T caption tokens, S any key
sequence, D model channels, H heads, K channels per head.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, NamedTuple

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import FromOriginalModelMixin, PeftAdapterMixin
from diffusers.models._modeling_parallel import ContextParallelInput, ContextParallelOutput
from diffusers.models.attention import AttentionMixin, AttentionModuleMixin, FeedForward
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.cache_utils import CacheMixin
from diffusers.models.embeddings import PixArtAlphaTextProjection, TimestepEmbedding
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.normalization import FP32LayerNorm
from diffusers.utils import BaseOutput, apply_lora_scale, logging
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn
from torch.nn import functional as F


logger = logging.get_logger(__name__)

IDENTITY_WEIGHTS = ("separate", "shared", "released")
IDENTITY_ATTENTION = ("all", "per_subject")
IDENTITY_POSITION = ("fixed", "after_clip")


class Towers(NamedTuple):
    """The same thing for both towers; `None` where a tower does not take part."""

    video: Any = None
    audio: Any = None


NEITHER = Towers()


class KeyValue(NamedTuple):
    """What one layer lets others read: `key` and `value`, each `[B, S, H, K]`."""

    key: Tensor
    value: Tensor


class LayerMemory(NamedTuple):
    """The constants of one layer: [`KeyValue`] per tower of the identity tokens and of the caption tokens."""

    identity: Towers = Towers()
    caption: Towers = Towers()


class StreamTokens(NamedTuple):
    """One tower's target or identity tokens on their way through the blocks."""

    hidden_states: Tensor
    """`[B, L, D]`"""
    time_modulation: Tensor
    """`[B or 1, 6, D]`, once per sample"""
    rotary_emb: Tensor
    """complex64 `[B or 1, L, K / 2]`, see [`IAPRotaryEmbedding`]"""
    attention_mask: Tensor | None = None
    """bool `[B, 1, 1 or L, S]`, True where a query may look; `None` where everything may be seen"""


class IAPIdentityInputs(NamedTuple):
    """References of all subjects as latents. Any field may be `None`; entries of one sample may be padding.

    `*_subjects` numbers the subject of each entry from 0. `None` means entry k belongs to subject k. A mask of `None`
    means that nothing is padding, which keeps attention free of masks.
    """

    face_latents: Tensor | None = None
    """`[B, N, C, h, w]`, one latent picture per view of a face"""
    face_subjects: Tensor | None = None
    """int `[B, N]`"""
    face_mask: Tensor | None = None
    """bool `[B, N]`, False where an entry is padding"""
    voice_latents: Tensor | None = None
    """`[B, M, l, C_audio]`, one clip of speech per entry"""
    voice_subjects: Tensor | None = None
    """int `[B, M]`"""
    voice_mask: Tensor | None = None
    """bool `[B, M, l]`, False where a latent is padding"""


class IAPIdentityMemory(NamedTuple):
    """What `encode_identity` returns: the identity constants of every layer and who may read them."""

    layers: tuple[LayerMemory | None, ...]
    """one per layer, `None` for skipped layers"""
    mask: Towers
    """bool `[B, I]` per tower, False on padding; `None` where nothing is padding"""


@dataclass
class IAPTransformerOutput(BaseOutput):
    """Predicted flow velocities.

    Args:
        sample: `[B, C, F, H, W]`, or `None` if the video tower did not run.
        audio_sample: `[B, L, C_audio]`, or `None` if the audio tower did not run.
    """

    sample: Tensor | None = None
    audio_sample: Tensor | None = None


def apply_rotary_emb(hidden_states: Tensor, rotary_emb: Tensor) -> Tensor:
    """
    Rotate neighbouring channel pairs of `hidden_states` `[B, L, H, K]`.

    Args:
        hidden_states: to rotate, computed in float32.
        rotary_emb: complex64 `[B or 1, L, K / 2]`, see [`IAPRotaryEmbedding`].
    """
    pairs = torch.view_as_complex(hidden_states.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * rotary_emb.unsqueeze(2)).flatten(-2).type_as(hidden_states)


class IAPAttnProcessor:
    """Queries of one stream over given keys and values.

    Self-attention rotates the query. Cross-attention reads the caption with the plain query and the other tower with
    the rotated one, and adds the two before the output projection.
    """

    _attention_backend = None
    _parallel_config = None

    def __call__(
        self,
        attn: "IAPAttention",
        hidden_states: Tensor,
        key_value: KeyValue | None,
        rotary_emb: Tensor | None = None,
        attention_mask: Tensor | None = None,
        added_key_value: KeyValue | None = None,
    ) -> Tensor:
        if attention_mask is not None and self._parallel_config is not None:
            raise NotImplementedError(
                "Context parallelism splits key sequences and cannot follow an attention mask. Use "
                "`identity_attention='all'` and the same number of references in every sample."
            )
        query = attn.norm_q(attn.to_q(hidden_states)).unflatten(-1, (attn.heads, -1))
        rotated_query = query if rotary_emb is None else apply_rotary_emb(query, rotary_emb)
        if attn.is_cross_attention:
            output = dispatch_attention_fn(query, *key_value, backend=self._attention_backend)
            if added_key_value is not None:
                output = output + dispatch_attention_fn(
                    rotated_query,
                    *added_key_value,
                    backend=self._attention_backend,
                    parallel_config=self._parallel_config,
                )
        else:
            output = dispatch_attention_fn(
                rotated_query,
                *key_value,
                attn_mask=attention_mask,
                backend=self._attention_backend,
                parallel_config=self._parallel_config,
            )
        return attn.to_out[0](output.flatten(2).type_as(hidden_states))


class IAPAttention(nn.Module, AttentionModuleMixin):
    """Attention whose keys and values are made apart from its queries, so that constant ones can be kept.

    Args:
        dim: model channels D.
        heads: number of heads H.
        eps: of the RMS norms, which run over all D channels before the head split.
        is_cross_attention: keys and values come from the caption, and a second pair of projections reads the other
            tower.
        has_queries: `False` builds only the key and value side (the last layer's identity stream: nobody reads what
            its queries would make).
    """

    _default_processor_cls = IAPAttnProcessor
    _available_processors = [IAPAttnProcessor]
    # Keys and values of constant tokens are computed without a query, so there is no q/k/v triple to fuse.
    _supports_qkv_fusion = False

    def __init__(
        self, dim: int, heads: int, eps: float, is_cross_attention: bool = False, has_queries: bool = True
    ) -> None:
        super().__init__()
        self.heads = heads
        self.is_cross_attention = is_cross_attention
        self.to_k = nn.Linear(dim, dim)
        self.to_v = nn.Linear(dim, dim)
        self.norm_k = nn.RMSNorm(dim, eps=eps)
        if has_queries:
            self.to_q = nn.Linear(dim, dim)
            self.norm_q = nn.RMSNorm(dim, eps=eps)
            self.to_out = nn.ModuleList([nn.Linear(dim, dim)])
        if is_cross_attention:
            self.norm_added = FP32LayerNorm(dim, eps)
            self.add_k_proj = nn.Linear(dim, dim)
            self.add_v_proj = nn.Linear(dim, dim)
            self.norm_added_k = nn.RMSNorm(dim, eps=eps)
        self.set_processor(IAPAttnProcessor())

    def key_value(self, hidden_states: Tensor, rotary_emb: Tensor | None = None) -> KeyValue:
        """Keys and values of `hidden_states` `[B, S, D]`, keys rotated if `rotary_emb` is given."""
        key = self.norm_k(self.to_k(hidden_states)).unflatten(-1, (self.heads, -1))
        value = self.to_v(hidden_states).unflatten(-1, (self.heads, -1))
        return KeyValue(key if rotary_emb is None else apply_rotary_emb(key, rotary_emb), value)

    def added_key_value(self, hidden_states: Tensor, rotary_emb: Tensor) -> KeyValue:
        """Keys and values of the other tower's target tokens `[B, S, D]`, at the other tower's positions."""
        hidden_states = self.norm_added(hidden_states)
        key = self.norm_added_k(self.add_k_proj(hidden_states)).unflatten(-1, (self.heads, -1))
        value = self.add_v_proj(hidden_states).unflatten(-1, (self.heads, -1))
        return KeyValue(apply_rotary_emb(key, rotary_emb), value)

    def forward(
        self,
        hidden_states: Tensor,
        key_value: KeyValue,
        rotary_emb: Tensor | None = None,
        attention_mask: Tensor | None = None,
        added_key_value: KeyValue | None = None,
    ) -> Tensor:
        return self.processor(self, hidden_states, key_value, rotary_emb, attention_mask, added_key_value)


class IAPModulation(nn.Module):
    """A layer's own offset to the time vectors: `[B, n, D]` + `[1, n, D]`, split into n rows of `[B, 1, D]`.

    A module rather than a bare parameter of the block, so that offloading hooks see it being called.
    """

    def __init__(self, num_vectors: int, dim: int) -> None:
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.randn(1, num_vectors, dim) / dim**0.5)

    def forward(self, time_modulation: Tensor) -> tuple[Tensor, ...]:
        num_vectors = self.scale_shift_table.shape[1]
        return (self.scale_shift_table + time_modulation[:, :num_vectors].float()).chunk(num_vectors, dim=1)


class IAPStream(nn.Module):
    """Self-attention and feed-forward of one stream in one layer, both gated by time.

    Args:
        dim: model channels D.
        heads: number of heads H.
        ffn_dim: inner channels of the feed-forward.
        eps: of the norms.
        is_last_identity: build only what makes keys and values; see [`IAPAttention`].
    """

    def __init__(self, dim: int, heads: int, ffn_dim: int, eps: float, is_last_identity: bool = False) -> None:
        super().__init__()
        self.modulation = IAPModulation(2 if is_last_identity else 6, dim)
        self.norm1 = FP32LayerNorm(dim, eps, elementwise_affine=False)
        self.attn1 = IAPAttention(dim, heads, eps, has_queries=not is_last_identity)
        if not is_last_identity:
            self.norm3 = FP32LayerNorm(dim, eps, elementwise_affine=False)
            self.ffn = FeedForward(dim, inner_dim=ffn_dim, activation_fn="gelu-approximate")

    def read(self, tokens: StreamTokens) -> tuple[Tensor, KeyValue]:
        """Normalised, modulated tokens `[B, L, D]` and the keys and values they offer."""
        shift, scale = self.modulation(tokens.time_modulation)[:2]
        hidden_states = tokens.hidden_states
        normed = torch.addcmul(shift, self.norm1(hidden_states.float()), 1 + scale).type_as(hidden_states)
        return normed, self.attn1.key_value(normed, tokens.rotary_emb)

    def attend(
        self, tokens: StreamTokens, normed: Tensor, key_value: KeyValue, is_identity: bool = False
    ) -> StreamTokens:
        gate = self.modulation(tokens.time_modulation)[2]
        # Feature caches replace `attn1.forward` and count its calls as steps. Identity tokens do not change from step
        # to step and may share `attn1` with the target, so they go around it.
        attention = partial(self.attn1.processor, self.attn1) if is_identity else self.attn1
        attn_output = attention(normed, key_value, tokens.rotary_emb, tokens.attention_mask)
        return tokens._replace(hidden_states=_add_gated(tokens.hidden_states, attn_output, gate))

    def feed_forward(self, tokens: StreamTokens) -> StreamTokens:
        shift, scale, gate = self.modulation(tokens.time_modulation)[3:]
        hidden_states = tokens.hidden_states
        normed = torch.addcmul(shift, self.norm3(hidden_states.float()), 1 + scale).type_as(hidden_states)
        return tokens._replace(hidden_states=_add_gated(hidden_states, self.ffn(normed), gate))


def _add_gated(hidden_states: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    return torch.addcmul(hidden_states.float(), update, gate).type_as(hidden_states)


class IAPTower(IAPStream):
    """One tower in one layer: a stream that also reads the caption and the other tower.

    `identity` holds the weights of the tower's identity tokens if they have their own; `None` otherwise.
    """

    def __init__(
        self, dim: int, heads: int, ffn_dim: int, eps: float, identity_weights: str, is_last_layer: bool
    ) -> None:
        super().__init__(dim, heads, ffn_dim, eps)
        self.norm2 = FP32LayerNorm(dim, eps)
        self.attn2 = IAPAttention(dim, heads, eps, is_cross_attention=True)
        self.is_last_layer = is_last_layer
        self.identity = None
        if identity_weights == "separate":
            self.identity = IAPStream(dim, heads, ffn_dim, eps, is_last_identity=is_last_layer)

    def step_identity(self, tokens: StreamTokens) -> tuple[StreamTokens, KeyValue]:
        """Move the identity tokens one layer on; the last layer only makes its keys and values."""
        stream = self if self.identity is None else self.identity
        normed, key_value = stream.read(tokens)
        if not self.is_last_layer:
            tokens = stream.feed_forward(stream.attend(tokens, normed, key_value, is_identity=True))
        return tokens, key_value

    def attend_self_and_identity(self, tokens: StreamTokens, identity: KeyValue | None) -> StreamTokens:
        normed, key_value = self.read(tokens)
        if identity is not None:
            key_value = KeyValue(*(torch.cat(pair, dim=1) for pair in zip(key_value, identity, strict=True)))
        return self.attend(tokens, normed, key_value)

    def attend_caption_and_tower(
        self, tokens: StreamTokens, caption: KeyValue, other: StreamTokens | None
    ) -> StreamTokens:
        hidden_states = tokens.hidden_states
        normed = self.norm2(hidden_states.float()).type_as(hidden_states)
        added = None if other is None else self.attn2.added_key_value(other.hidden_states, other.rotary_emb)
        attn_output = self.attn2(normed, caption, tokens.rotary_emb, added_key_value=added)
        return tokens._replace(hidden_states=hidden_states + attn_output)


class IAPTransformerBlock(nn.Module):
    """One layer of both towers.

    `forward` is the only door: it turns raw conditions into the layer's memory, moves the target one layer on, or does
    both. Hooks (offloading, sharding, checkpointing) on the block therefore see every use of its weights.
    """

    def __init__(
        self, dim: int, heads: int, ffn_dim: int, eps: float, identity_weights: dict[str, str], is_last_layer: bool
    ) -> None:
        super().__init__()
        self.video = IAPTower(dim, heads, ffn_dim, eps, identity_weights["video"], is_last_layer)
        self.audio = IAPTower(dim, heads, ffn_dim, eps, identity_weights["audio"], is_last_layer)

    def forward(
        self, target: Towers, memory: LayerMemory, identity: Towers = NEITHER, caption: Towers = NEITHER
    ) -> tuple[Towers, LayerMemory, Towers]:
        """
        Args:
            target: [`StreamTokens`] per tower, or nothing to only make the memory.
            memory: what is already known of this layer's constants.
            identity: [`StreamTokens`] per tower whose keys and values are to be added to the memory.
            caption: embedded caption `[B, T, D]` per tower whose keys and values are to be added to the memory.

        Returns:
            target, memory, identity after this layer.
        """
        identity, memory = self._remember_identity(identity, memory)
        memory = self._remember_caption(caption, memory)
        return self._denoise(target, memory), memory, identity

    def _remember_identity(self, identity: Towers, memory: LayerMemory) -> tuple[Towers, LayerMemory]:
        for name in Towers._fields:
            tokens = getattr(identity, name)
            if tokens is not None:
                tokens, key_value = getattr(self, name).step_identity(tokens)
                identity = identity._replace(**{name: tokens})
                memory = memory._replace(identity=memory.identity._replace(**{name: key_value}))
        return identity, memory

    def _remember_caption(self, caption: Towers, memory: LayerMemory) -> LayerMemory:
        for name in Towers._fields:
            hidden_states = getattr(caption, name)
            if hidden_states is not None:
                key_value = getattr(self, name).attn2.key_value(hidden_states)
                memory = memory._replace(caption=memory.caption._replace(**{name: key_value}))
        return memory

    def _denoise(self, target: Towers, memory: LayerMemory) -> Towers:
        video, audio = target
        if video is not None:
            video = self.video.attend_self_and_identity(video, memory.identity.video)
        if audio is not None:
            audio = self.audio.attend_self_and_identity(audio, memory.identity.audio)
        # Both towers read the other's state from before this step.
        video, audio = (
            video and self.video.attend_caption_and_tower(video, memory.caption.video, audio),
            audio and self.audio.attend_caption_and_tower(audio, memory.caption.audio, video),
        )
        return Towers(video and self.video.feed_forward(video), audio and self.audio.feed_forward(audio))


class IAPRotaryEmbedding(nn.Module):
    """Rotations for one sequence of latent frames, each a grid of `height` x `width` tokens.

    The K / 2 channel pairs are divided among frame, row and column as in Wan: (c - 2 (c // 3), c // 3, c // 3). A
    sound has a 1 x 1 grid, so its row and column pairs are not rotated: both towers share one time axis.
    """

    def __init__(self, attention_head_dim: int, theta: float) -> None:
        super().__init__()
        num_pairs = attention_head_dim // 2
        self.axis_pairs = (num_pairs - 2 * (num_pairs // 3), num_pairs // 3, num_pairs // 3)
        self.theta = theta

    def forward(self, frame_positions: Tensor, height: int, width: int) -> Tensor:
        """
        Args:
            frame_positions: `[B or 1, N]`, in latent frames; fractions are fine.

        Returns:
            unit complex numbers, complex64 `[B or 1, N * height * width, K / 2]`.
        """
        device = frame_positions.device
        rows = torch.arange(height, device=device, dtype=torch.float32)
        columns = torch.arange(width, device=device, dtype=torch.float32)
        frame_angles, row_angles, column_angles = (
            positions[..., None] * self._frequencies(num_pairs, device)
            for positions, num_pairs in zip((frame_positions, rows, columns), self.axis_pairs, strict=True)
        )
        batch_size, num_frames = frame_positions.shape
        grid = (batch_size, num_frames, height, width, -1)
        angles = (
            frame_angles[:, :, None, None].expand(grid),
            row_angles[None, None, :, None].expand(grid),
            column_angles[None, None, None, :].expand(grid),
        )
        angles = torch.cat(angles, dim=-1).flatten(1, 3)
        return torch.polar(torch.ones_like(angles), angles)

    def _frequencies(self, num_pairs: int, device: torch.device) -> Tensor:
        exponents = torch.arange(num_pairs, device=device, dtype=torch.float32) / num_pairs
        return self.theta**-exponents


class IAPVideoPatchEmbed(nn.Module):
    """Latent pictures `[B, C, F, H, W]` to tokens `[B, L, D]` in frame, row, column order."""

    def __init__(self, in_channels: int, dim: int, patch_size: tuple[int, int, int]) -> None:
        super().__init__()
        self.proj = nn.Conv3d(in_channels, dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.proj(hidden_states).flatten(2).transpose(1, 2).contiguous()


class IAPAudioPatchEmbed(nn.Module):
    """
    Audio latents `[B, L, C_audio]` to tokens `[B, L, D]`: a convolution, then a gated convolutional feed-forward.

    Where a mask (bool `[B, L]`) is given, every convolution sees zeros on padding, as it does beyond the ends.
    """

    def __init__(self, in_channels: int, dim: int, hidden_dim: int, kernel_size: int = 7) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.proj = nn.Conv1d(in_channels, dim, kernel_size, padding=padding)
        self.gate = nn.Conv1d(dim, hidden_dim, kernel_size, padding=padding, bias=False)
        self.up = nn.Conv1d(dim, hidden_dim, kernel_size, padding=padding, bias=False)
        self.down = nn.Conv1d(hidden_dim, dim, kernel_size, padding=padding, bias=False)

    def forward(self, hidden_states: Tensor, mask: Tensor | None = None) -> Tensor:
        is_padding = None if mask is None else ~mask[:, None]
        hidden_states = _zero(hidden_states.transpose(1, 2), is_padding)
        hidden_states = _zero(F.silu(self.proj(hidden_states)), is_padding)
        hidden_states = _zero(F.silu(self.gate(hidden_states)) * self.up(hidden_states), is_padding)
        return self.down(hidden_states).transpose(1, 2).contiguous()


def _zero(hidden_states: Tensor, where: Tensor | None) -> Tensor:
    return hidden_states if where is None else hidden_states.masked_fill(where, 0)


class IAPConditionEmbedder(nn.Module):
    """Timestep and caption of one tower."""

    def __init__(self, dim: int, freq_dim: int, text_dim: int) -> None:
        super().__init__()
        self.freq_dim = freq_dim
        self.time_embedder = TimestepEmbedding(freq_dim, dim)
        self.time_proj = nn.Linear(dim, 6 * dim)
        self.text_embedder = PixArtAlphaTextProjection(text_dim, dim, act_fn="gelu_tanh")

    def embed_time(self, timestep: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """`[B]` in 0..1000 to the time vector `[B, D]` (for the head) and its six modulations `[B, 6, D]`."""
        # The product below reaches 1000 rad, where float32 loses 3e-5: half of what separates us from the published
        # numbers.
        precise = torch.float32 if timestep.device.type in ("mps", "npu") else torch.float64
        half = self.freq_dim // 2
        exponents = torch.arange(half, device=timestep.device, dtype=precise) / half
        angles = timestep.to(precise)[:, None] * 10000.0**-exponents
        sinusoid = torch.cat((angles.cos(), angles.sin()), dim=-1).float()
        # Kept in float32 by `_keep_in_fp32_modules`, unless the user cast the whole model.
        time_dtype = self.time_embedder.linear_1.weight.dtype
        temb = self.time_embedder(sinusoid.to(time_dtype if time_dtype.is_floating_point else dtype)).to(dtype)
        return temb, self.time_proj(F.silu(temb)).unflatten(-1, (6, -1))


class IAPHead(nn.Module):
    """Tokens `[B, L, D]` to velocities `[B, L, out_features]`."""

    def __init__(self, dim: int, out_features: int, eps: float) -> None:
        super().__init__()
        self.modulation = IAPModulation(2, dim)
        self.norm_out = FP32LayerNorm(dim, eps, elementwise_affine=False)
        self.proj_out = nn.Linear(dim, out_features)

    def forward(self, hidden_states: Tensor, temb: Tensor) -> Tensor:
        shift, scale = self.modulation(temb[:, None].expand(-1, 2, -1))
        hidden_states = torch.addcmul(shift, self.norm_out(hidden_states.float()), 1 + scale).type_as(hidden_states)
        return self.proj_out(hidden_states)


def _apply_group_offload_hook(method: Callable) -> Callable:
    """
    Run the model's group offloading hook around a method other than `forward`, as `apply_forward_hook` does with the
    hook of accelerate: without it, embedders and identity projections would still be on the offload device.
    """

    @wraps(method)
    def wrapper(self: "IAPTransformer3DModel", *args: Any, **kwargs: Any) -> Any:
        registry = getattr(self, "_diffusers_hook", None)
        hook = None if registry is None else registry.get_hook("group_offloading")
        if hook is None:
            return method(self, *args, **kwargs)
        args, kwargs = hook.pre_forward(self, *args, **kwargs)
        return hook.post_forward(self, method(self, *args, **kwargs))

    return wrapper


class IAPTransformer3DModel(
    ModelMixin, ConfigMixin, AttentionMixin, CacheMixin, PeftAdapterMixin, FromOriginalModelMixin
):
    r"""
    Dual-tower transformer that denoises a clip's picture and sound together, given a caption and reference faces and
    voices.

    Args:
        patch_size (`tuple[int, int, int]`, defaults to `(1, 2, 2)`):
            Latent frames, rows and columns of one video token.
        in_channels (`int`, defaults to `48`):
            Channels of the video latents, in and out.
        audio_in_channels (`int`, defaults to `20`):
            Channels of the audio latents, in and out.
        num_attention_heads (`int`, defaults to `24`):
            Heads of both towers.
        attention_head_dim (`int`, defaults to `128`):
            Channels of one head.
        ffn_dim (`int`, defaults to `14336`):
            Inner channels of the feed-forward layers.
        num_layers (`int`, defaults to `30`):
            Layers of both towers.
        text_dim (`int`, defaults to `4096`):
            Channels of the caption embeddings.
        freq_dim (`int`, defaults to `256`):
            Channels of the sinusoidal time embedding.
        audio_embed_dim (`int`, *optional*):
            Inner channels of the gated convolution that embeds audio latents. `None` takes the published rule: two
            thirds of four times the width, rounded up to a multiple of 256.
        eps (`float`, defaults to `1e-6`):
            Of every norm.
        rope_theta (`float`, defaults to `10000.0`):
            Base of the rotary frequencies.
        audio_position_scale (`float`, defaults to `0.19676`):
            Latent video frames per audio latent, which puts both towers on one time axis.
        identity_weights (`dict[str, str]`, *optional*):
            Per tower (`"video"`, `"audio"`): `"separate"` gives identity tokens weights of their own, `"shared"` lets
            them use the tower's, `"released"` builds a model that only accepts precomputed `identity_memory` on that
            tower. `None` is the published choice, separate for video and shared for audio.
        identity_attention (`str`, defaults to `"all"`):
            `"all"` lets the identity tokens of all subjects see each other (published); `"per_subject"` makes a
            subject's keys and values independent of who else is there.
        identity_position (`str`, defaults to `"fixed"`):
            `"fixed"` puts references at `face_position` and `voice_position` whatever the clip (published);
            `"after_clip"` starts where the clip ends and gives each subject the same span in both towers, so nothing
            ever collides.
        face_position (`int`, defaults to `31`):
            First latent frame position of faces when `identity_position="fixed"`.
        voice_position (`int`, defaults to `630`):
            First audio latent position of voices when `identity_position="fixed"`.
        identity_span (`int`, defaults to `64`):
            Latent frame positions reserved per subject when `identity_position="after_clip"`.
        num_identity_slots (`int`, defaults to `0`):
            Number of learned identity vectors. Subject k's vector is added to its face and its voice tokens, which
            tells the towers that they belong together. 0 builds none (published).
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ["IAPTransformerBlock"]
    _repeated_blocks = ["IAPTransformerBlock"]
    _skip_layerwise_casting_patterns = [
        "patch_embedding",
        "condition_embedder",
        "identity_embedding",
        "norm",
        "modulation",
    ]
    _keep_in_fp32_modules = ["time_embedder", "modulation", "norm1", "norm2", "norm3", "norm_out", "norm_added"]
    # Sequences are split where they are born and where their positions are born, for target and identity tokens alike;
    # captions stay whole. Heads gather the velocities.
    _cp_plan = {
        "video_patch_embedding": {0: ContextParallelInput(split_dim=1, expected_dims=3, split_output=True)},
        "audio_patch_embedding": {0: ContextParallelInput(split_dim=1, expected_dims=3, split_output=True)},
        "rope": {0: ContextParallelInput(split_dim=1, expected_dims=3, split_output=True)},
        "video_head": ContextParallelOutput(gather_dim=1, expected_dims=3),
        "audio_head": ContextParallelOutput(gather_dim=1, expected_dims=3),
    }

    @register_to_config
    def __init__(
        self,
        patch_size: tuple[int, int, int] = (1, 2, 2),
        in_channels: int = 48,
        audio_in_channels: int = 20,
        num_attention_heads: int = 24,
        attention_head_dim: int = 128,
        ffn_dim: int = 14336,
        num_layers: int = 30,
        text_dim: int = 4096,
        freq_dim: int = 256,
        audio_embed_dim: int | None = None,
        eps: float = 1e-6,
        rope_theta: float = 10000.0,
        audio_position_scale: float = 0.19676,
        identity_weights: dict[str, str] | None = None,
        identity_attention: str = "all",
        identity_position: str = "fixed",
        face_position: int = 31,
        voice_position: int = 630,
        identity_span: int = 64,
        num_identity_slots: int = 0,
    ) -> None:
        super().__init__()
        identity_weights = identity_weights or {"video": "separate", "audio": "shared"}
        self._check_config(identity_weights, identity_attention, identity_position)
        self.register_to_config(identity_weights=identity_weights)

        dim = num_attention_heads * attention_head_dim
        if audio_embed_dim is None:
            audio_embed_dim = 256 * math.ceil(int(8 * dim / 3) / 256)

        # 1. Tokens and their positions
        self.video_patch_embedding = IAPVideoPatchEmbed(in_channels, dim, patch_size)
        self.audio_patch_embedding = IAPAudioPatchEmbed(audio_in_channels, dim, audio_embed_dim)
        self.rope = IAPRotaryEmbedding(attention_head_dim, rope_theta)

        # 2. Conditions
        self.video_condition_embedder = IAPConditionEmbedder(dim, freq_dim, text_dim)
        self.audio_condition_embedder = IAPConditionEmbedder(dim, freq_dim, text_dim)
        towers_with_slots = [name for name, kind in identity_weights.items() if kind != "released"]
        if num_identity_slots > 0 and towers_with_slots:
            self.identity_embedding = nn.Embedding(num_identity_slots, dim)
            for name in towers_with_slots:
                self.add_module(f"{name}_identity_proj", nn.Linear(dim, dim, bias=False))

        # 3. Layers
        self.blocks = nn.ModuleList(
            IAPTransformerBlock(dim, num_attention_heads, ffn_dim, eps, identity_weights, i == num_layers - 1)
            for i in range(num_layers)
        )

        # 4. Velocities
        self.video_head = IAPHead(dim, in_channels * math.prod(patch_size), eps)
        self.audio_head = IAPHead(dim, audio_in_channels, eps)

        self.gradient_checkpointing = False

    @staticmethod
    def _check_config(identity_weights: dict[str, str], identity_attention: str, identity_position: str) -> None:
        if set(identity_weights) != set(Towers._fields) or not set(identity_weights.values()) <= set(IDENTITY_WEIGHTS):
            raise ValueError(
                f"`identity_weights` must give one of {IDENTITY_WEIGHTS} for 'video' and for 'audio', got "
                f"{identity_weights}."
            )
        if identity_attention not in IDENTITY_ATTENTION:
            raise ValueError(f"`identity_attention` must be one of {IDENTITY_ATTENTION}, got {identity_attention!r}.")
        if identity_position not in IDENTITY_POSITION:
            raise ValueError(f"`identity_position` must be one of {IDENTITY_POSITION}, got {identity_position!r}.")

    @apply_forward_hook
    @_apply_group_offload_hook
    @apply_lora_scale("attention_kwargs")
    def encode_identity(
        self,
        identity: IAPIdentityInputs,
        num_frames: int,
        num_audio_latents: int,
        skip_layers: tuple[int, ...] = (),
        attention_kwargs: dict[str, Any] | None = None,
    ) -> IAPIdentityMemory:
        """
        Compute what every layer lets the target read from the references. Exact for every step, noise and caption.

        Args:
            identity (`IAPIdentityInputs`):
                Reference latents of all subjects.
            num_frames (`int`):
                Latent frames of the clip to generate; places the references when `identity_position="after_clip"`.
            num_audio_latents (`int`):
                Audio latents of the clip to generate, likewise. 0 for a clip without sound.
            skip_layers (`tuple[int]`, *optional*):
                Layers left out. A skipped layer changes what later layers offer, so every setting has its own memory.
            attention_kwargs (`dict`, *optional*):
                `{"scale": s}` scales LoRA weights.

        Returns:
            [`IAPIdentityMemory`] to pass as `identity_memory`.
        """
        self._check_skip_layers(skip_layers)
        tokens, mask = self._embed_identity(identity, num_frames, num_audio_latents)
        memories = []
        for index, block in enumerate(self.blocks):
            memory = None
            if index not in skip_layers:
                _, memory, tokens = block(Towers(), LayerMemory(), identity=tokens)
            memories.append(memory)
        return IAPIdentityMemory(tuple(memories), mask)

    @apply_forward_hook
    @_apply_group_offload_hook
    @apply_lora_scale("attention_kwargs")
    def encode_caption(
        self,
        encoder_hidden_states: Tensor,
        audio_encoder_hidden_states: Tensor | None = None,
        attention_kwargs: dict[str, Any] | None = None,
    ) -> tuple[LayerMemory, ...]:
        """
        Compute what every layer reads from the caption.

        Args:
            encoder_hidden_states (`torch.Tensor` of shape `(batch_size, sequence_length, text_dim)`):
                Caption embeddings, zero-padded; the padding is visible, as in the published model.
            audio_encoder_hidden_states (`torch.Tensor`, *optional*):
                Caption for the audio tower; `None` gives it the same one.
            attention_kwargs (`dict`, *optional*):
                `{"scale": s}` scales LoRA weights.

        Returns:
            One [`LayerMemory`] per layer, to pass as `caption_memory`.
        """
        caption = self._embed_caption(encoder_hidden_states, audio_encoder_hidden_states)
        return tuple(block(Towers(), LayerMemory(), caption=caption)[1] for block in self.blocks)

    @apply_lora_scale("attention_kwargs")
    def forward(
        self,
        hidden_states: Tensor | None,
        audio_hidden_states: Tensor | None,
        timestep: Tensor,
        encoder_hidden_states: Tensor | None = None,
        audio_encoder_hidden_states: Tensor | None = None,
        identity: IAPIdentityInputs | None = None,
        audio_timestep: Tensor | None = None,
        caption_memory: tuple[LayerMemory, ...] | None = None,
        identity_memory: IAPIdentityMemory | None = None,
        skip_layers: tuple[int, ...] = (),
        attention_kwargs: dict[str, Any] | None = None,
        return_dict: bool = True,
    ) -> IAPTransformerOutput | tuple[Tensor | None, Tensor | None]:
        """
        Predict the flow velocities of both towers.

        Args:
            hidden_states (`torch.Tensor` of shape `(batch_size, in_channels, num_frames, height, width)`, *optional*):
                Noisy video latents. `None` runs the audio tower alone.
            audio_hidden_states (`torch.Tensor` of shape `(batch_size, num_audio_latents, audio_in_channels)`,
                *optional*): Noisy audio latents. `None` runs the video tower alone.
            timestep (`torch.Tensor` of shape `(batch_size,)`):
                Between 0 (clean) and 1000 (noise).
            encoder_hidden_states (`torch.Tensor` of shape `(batch_size, sequence_length, text_dim)`, *optional*):
                Caption embeddings. Either these or `caption_memory`.
            audio_encoder_hidden_states (`torch.Tensor`, *optional*):
                Caption embeddings of the audio tower, if they differ.
            identity (`IAPIdentityInputs`, *optional*):
                Reference latents. At most one of these and `identity_memory`.
            audio_timestep (`torch.Tensor` of shape `(batch_size,)`, *optional*):
                Timestep of the audio tower, if it differs.
            caption_memory (`tuple[LayerMemory]`, *optional*):
                From `encode_caption`.
            identity_memory (`IAPIdentityMemory`, *optional*):
                From `encode_identity`, called with the same `skip_layers`.
            skip_layers (`tuple[int]`, *optional*):
                Layers left out, in both towers and for identity tokens.
            attention_kwargs (`dict`, *optional*):
                `{"scale": s}` scales LoRA weights.
            return_dict (`bool`, defaults to `True`):
                Whether to return an [`IAPTransformerOutput`] or a plain tuple.

        Returns:
            [`IAPTransformerOutput`], or the tuple `(sample, audio_sample)`. A tower that did not run gives `None`.
        """
        if (encoder_hidden_states is None) == (caption_memory is None):
            raise ValueError("Pass exactly one of `encoder_hidden_states` and `caption_memory`.")
        if identity is not None and identity_memory is not None:
            raise ValueError("Pass at most one of `identity` and `identity_memory`.")
        if hidden_states is None and audio_hidden_states is None:
            raise ValueError("Pass `hidden_states`, `audio_hidden_states`, or both.")
        self._check_skip_layers(skip_layers, identity_memory)

        # 1. Conditions: raw ones run through the layers along with the target, known ones are read from memory.
        caption, tokens = Towers(), Towers()
        if caption_memory is None:
            caption = self._embed_caption(encoder_hidden_states, audio_encoder_hidden_states)
        identity_mask = Towers() if identity_memory is None else identity_memory.mask
        if identity is not None:
            num_frames = 0 if hidden_states is None else hidden_states.shape[2]
            num_audio_latents = 0 if audio_hidden_states is None else audio_hidden_states.shape[1]
            tokens, identity_mask = self._embed_identity(identity, num_frames, num_audio_latents)

        # 2. Target tokens
        audio_timestep = timestep if audio_timestep is None else audio_timestep
        video = audio = video_temb = audio_temb = None
        if hidden_states is not None:
            dtype = hidden_states.dtype
            video_temb, modulation = self.video_condition_embedder.embed_time(timestep, dtype)
            video = self._embed_video(hidden_states, modulation)
        if audio_hidden_states is not None:
            dtype = audio_hidden_states.dtype
            audio_temb, modulation = self.audio_condition_embedder.embed_time(audio_timestep, dtype)
            audio = self._embed_audio(audio_hidden_states, modulation)
        target = Towers(
            video and video._replace(attention_mask=_target_mask(video.hidden_states, identity_mask.video)),
            audio and audio._replace(attention_mask=_target_mask(audio.hidden_states, identity_mask.audio)),
        )

        # 3. Layers
        for index, block in enumerate(self.blocks):
            if index in skip_layers:
                continue
            memory = LayerMemory(
                identity=Towers() if identity_memory is None else identity_memory.layers[index].identity,
                caption=Towers() if caption_memory is None else caption_memory[index].caption,
            )
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                target, _, tokens = self._gradient_checkpointing_func(block, target, memory, tokens, caption)
            else:
                target, _, tokens = block(target, memory, tokens, caption)

        # 4. Velocities
        sample = audio_sample = None
        if hidden_states is not None:
            sample = self._unpatchify(self.video_head(target.video.hidden_states, video_temb), hidden_states.shape)
        if audio_hidden_states is not None:
            audio_sample = self.audio_head(target.audio.hidden_states, audio_temb)
        if not return_dict:
            return sample, audio_sample
        return IAPTransformerOutput(sample=sample, audio_sample=audio_sample)

    def release_identity_weights(self) -> None:
        """
        Drop the weights that only identity tokens use: those of towers whose `identity_weights` are `"separate"`. From
        now on this model takes `identity_memory` only on these towers, and `save_pretrained` writes a slim checkpoint
        of the same kind. Towers with shared weights keep all of theirs.
        """
        released = dict(self.config.identity_weights)
        if set(released.values()) == {"shared"}:
            logger.warning("Both towers share their weights with references (`identity_weights`): nothing to free.")
        for name, kind in released.items():
            if kind == "separate":
                released[name] = "released"
                for block in self.blocks:
                    getattr(block, name).identity = None
                if self.config.num_identity_slots > 0:
                    delattr(self, f"{name}_identity_proj")
        if set(released.values()) == {"released"} and hasattr(self, "identity_embedding"):
            del self.identity_embedding
        # `from_config` would ignore a value that is on record as a default.
        defaults = [name for name in self.config.get("_use_default_values", ()) if name != "identity_weights"]
        self.register_to_config(identity_weights=released, _use_default_values=defaults)

    def _check_skip_layers(
        self, skip_layers: tuple[int, ...], identity_memory: IAPIdentityMemory | None = None
    ) -> None:
        if not all(0 <= index < len(self.blocks) for index in skip_layers):
            raise ValueError(f"`skip_layers` must lie in 0..{len(self.blocks) - 1}, got {skip_layers}.")
        if identity_memory is not None:
            skipped = {index for index, layer in enumerate(identity_memory.layers) if layer is None}
            if skipped != set(skip_layers):
                raise ValueError(
                    f"`identity_memory` was computed with `skip_layers`={tuple(skipped)} and cannot serve "
                    f"`skip_layers`={tuple(skip_layers)}. Call `encode_identity` once per setting."
                )

    def _embed_caption(self, encoder_hidden_states: Tensor, audio_encoder_hidden_states: Tensor | None) -> Towers:
        if audio_encoder_hidden_states is None:
            audio_encoder_hidden_states = encoder_hidden_states
        return Towers(
            self.video_condition_embedder.text_embedder(encoder_hidden_states),
            self.audio_condition_embedder.text_embedder(audio_encoder_hidden_states),
        )

    def _embed_video(self, hidden_states: Tensor, modulation: Tensor) -> StreamTokens:
        _, _, num_frames, height, width = hidden_states.shape
        patch_frames, patch_height, patch_width = self.config.patch_size
        positions = torch.arange(num_frames // patch_frames, device=hidden_states.device, dtype=torch.float32)
        rotary_emb = self.rope(positions[None], height // patch_height, width // patch_width)
        return StreamTokens(self.video_patch_embedding(hidden_states), modulation, rotary_emb)

    def _embed_audio(self, hidden_states: Tensor, modulation: Tensor) -> StreamTokens:
        positions = torch.arange(hidden_states.shape[1], device=hidden_states.device, dtype=torch.float32)
        rotary_emb = self.rope(positions[None] * self.config.audio_position_scale, 1, 1)
        return StreamTokens(self.audio_patch_embedding(hidden_states), modulation, rotary_emb)

    def _embed_identity(
        self, identity: IAPIdentityInputs, num_frames: int, num_audio_latents: int
    ) -> tuple[Towers, Towers]:
        """Identity tokens per tower, and which of them are real (bool `[B, I]`, or `None` if all are)."""
        clip_end = max(
            math.ceil(num_frames / self.config.patch_size[0]),
            math.ceil(num_audio_latents * self.config.audio_position_scale),
        )
        tokens, mask = Towers(), Towers()
        for name, kind in self.config.identity_weights.items():
            present = identity.face_latents if name == "video" else identity.voice_latents
            if present is not None:
                if kind == "released":
                    raise ValueError(
                        f"The {name} identity weights of this model were released; it takes `identity_memory` "
                        f"computed "
                        "before that, not new references. Load the full checkpoint to add people."
                    )
                embed = self._embed_faces if name == "video" else self._embed_voices
                tower_tokens, tower_mask = embed(identity, clip_end)
                tokens = tokens._replace(**{name: tower_tokens})
                mask = mask._replace(**{name: tower_mask})
        return tokens, mask

    def _embed_faces(self, identity: IAPIdentityInputs, clip_end: int) -> tuple[StreamTokens, Tensor | None]:
        latents = identity.face_latents
        batch_size, num_views, _, height, width = latents.shape
        subjects = _subjects_or_default(identity.face_subjects, batch_size, num_views, latents.device)
        views = torch.ones_like(subjects) if identity.face_mask is None else identity.face_mask.to(subjects.dtype)
        if self.config.identity_position == "fixed":
            positions = self.config.face_position + _length_before(views)
        else:
            positions = clip_end + self.config.identity_span * subjects + _length_before(views, subjects)
        # One latent picture is one frame of its own clip.
        hidden_states = self.video_patch_embedding(latents.flatten(0, 1).unsqueeze(2))
        height, width = height // self.config.patch_size[1], width // self.config.patch_size[2]
        rotary_emb = self.rope(positions.flatten()[:, None].float(), height, width)
        mask = identity.face_mask
        mask = None if mask is None else mask[..., None].expand(-1, -1, hidden_states.shape[1])
        return self._as_identity_tokens("video", hidden_states, rotary_emb, subjects, mask)

    def _embed_voices(self, identity: IAPIdentityInputs, clip_end: int) -> tuple[StreamTokens, Tensor | None]:
        latents = identity.voice_latents
        batch_size, num_voices, length, _ = latents.shape
        subjects = _subjects_or_default(identity.voice_subjects, batch_size, num_voices, latents.device)
        lengths = torch.full_like(subjects, length) if identity.voice_mask is None else identity.voice_mask.sum(dim=-1)
        steps, scale = torch.arange(length, device=latents.device), self.config.audio_position_scale
        if self.config.identity_position == "fixed":
            starts = self.config.voice_position + _length_before(lengths)
            positions = (starts[..., None] + steps) * scale
        else:
            if (length - 1) * scale >= self.config.identity_span:
                raise ValueError(
                    f"A voice of {length} latents spans {length * scale:.1f} latent frames, but a subject owns only "
                    f"`identity_span`={self.config.identity_span}. Shorten the recording."
                )
            starts = clip_end + self.config.identity_span * subjects
            positions = starts[..., None] + (_length_before(lengths, subjects)[..., None] + steps) * scale
        # Voices are embedded one by one: no convolution across two recordings.
        mask = identity.voice_mask
        hidden_states = self.audio_patch_embedding(latents.flatten(0, 1), None if mask is None else mask.flatten(0, 1))
        rotary_emb = self.rope(positions.flatten(0, 1).float(), 1, 1)
        return self._as_identity_tokens("audio", hidden_states, rotary_emb, subjects, mask)

    def _as_identity_tokens(
        self,
        tower: str,
        hidden_states: Tensor,
        rotary_emb: Tensor,
        subjects: Tensor,
        mask: Tensor | None,
    ) -> tuple[StreamTokens, Tensor | None]:
        """
        Lay the references of each sample one after another.

        Args:
            tower: whose references.
            hidden_states: `[B * N, P, D]`, P tokens per reference.
            rotary_emb: complex64 `[B * N, P, K / 2]`.
            subjects: int `[B, N]`.
            mask: bool `[B, N, P]`, or `None` where nothing is padding.

        Returns:
            the tokens, and which of them are real: bool `[B, N * P]` or `None`.
        """
        hidden_states = hidden_states.unflatten(0, subjects.shape)
        if self.config.num_identity_slots > 0:
            slots = getattr(self, f"{tower}_identity_proj")(self.identity_embedding(subjects))
            hidden_states = hidden_states + slots[:, :, None]
        rotary_emb = rotary_emb.unflatten(0, subjects.shape).flatten(1, 2)
        mask = None if mask is None else mask.flatten(1)
        # Padding sees padding, so that no row of the mask is empty.
        attention_mask = None if mask is None else mask[:, :, None] == mask[:, None, :]
        if self.config.identity_attention == "per_subject" and subjects.shape[1] > 1:
            subjects = subjects.repeat_interleave(hidden_states.shape[2], dim=1)
            same_subject = subjects[:, :, None] == subjects[:, None, :]
            attention_mask = same_subject if attention_mask is None else attention_mask & same_subject
        if attention_mask is not None:
            attention_mask = attention_mask[:, None]
        zero = torch.zeros(1, device=hidden_states.device)
        embedder = getattr(self, f"{tower}_condition_embedder")
        _, modulation = embedder.embed_time(zero, hidden_states.dtype)
        return StreamTokens(hidden_states.flatten(1, 2), modulation, rotary_emb, attention_mask), mask

    def _unpatchify(self, hidden_states: Tensor, shape: torch.Size) -> Tensor:
        batch_size, channels, num_frames, height, width = shape
        patch_frames, patch_height, patch_width = self.config.patch_size
        hidden_states = hidden_states.reshape(
            batch_size,
            num_frames // patch_frames,
            height // patch_height,
            width // patch_width,
            patch_frames,
            patch_height,
            patch_width,
            channels,
        )
        return hidden_states.permute(0, 7, 1, 4, 2, 5, 3, 6).reshape(shape)


def _subjects_or_default(subjects: Tensor | None, batch_size: int, num_entries: int, device: torch.device) -> Tensor:
    if subjects is not None:
        return subjects
    return torch.arange(num_entries, device=device).expand(batch_size, -1)


def _length_before(lengths: Tensor, subjects: Tensor | None = None) -> Tensor:
    """
    Summed `lengths` `[B, N]` of the entries before each entry; only those of the same subject if `subjects` is given.
    """
    if subjects is None:
        return lengths.cumsum(dim=1) - lengths
    is_before = (subjects[:, :, None] == subjects[:, None, :]).tril(diagonal=-1)
    return (is_before * lengths[:, None, :]).sum(dim=-1)


def _target_mask(hidden_states: Tensor, identity_mask: Tensor | None) -> Tensor | None:
    """Who a target token may look at: every target token and every real identity token, bool `[B, 1, 1, L + I]`."""
    if identity_mask is None:
        return None
    return F.pad(identity_mask, (hidden_states.shape[1], 0), value=True)[:, None, None]
