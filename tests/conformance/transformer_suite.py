"""diffusers' model tester mixins on `IAPTransformer3DModel`.

Not collected by our own test run: `run.py` places this file inside a copy of diffusers' `tests` package, whose mixins
it imports relatively.
"""

from typing import Any

import torch
from torch.utils import _pytree

from iap_pipelines.models.transformer_iap import IAPIdentityInputs, IAPTransformer3DModel

from ..models.testing_utils import (
    AttentionBackendTesterMixin,
    AttentionTesterMixin,
    BaseModelTesterConfig,
    LoraHotSwappingForModelTesterMixin,
    LoraTesterMixin,
    MemoryTesterMixin,
    ModelTesterMixin,
    PyramidAttentionBroadcastTesterMixin,
    TaylorSeerCacheTesterMixin,
    TorchCompileTesterMixin,
    TrainingTesterMixin,
)
from ..testing_utils import enable_full_determinism, torch_device


enable_full_determinism()


class CastableIdentity(IAPIdentityInputs):
    """
    The mixins rebuild every tuple from one iterable when they cast inputs; a NamedTuple wants its fields one by one.
    """

    def __new__(cls, *fields: Any, **named: Any) -> IAPIdentityInputs:
        if len(fields) == 1 and not torch.is_tensor(fields[0]):
            fields = tuple(fields[0])
        return super().__new__(cls, *fields, **named)


# What ahead-of-time packages ask of every NamedTuple among the arguments.
_pytree._register_namedtuple(CastableIdentity, serialized_type_name="iap_pipelines.conformance.CastableIdentity")


class TransformerConfig(BaseModelTesterConfig):
    """Two subjects with a face and a voice each, learned slots, references after the clip."""

    model_class = IAPTransformer3DModel
    main_input_name = "hidden_states"
    input_shape = output_shape = (4, 3, 4, 4)

    def get_init_dict(self) -> dict[str, Any]:
        return {
            "in_channels": 4,
            "audio_in_channels": 6,
            "num_attention_heads": 2,
            "attention_head_dim": 12,
            "ffn_dim": 32,
            "num_layers": 2,
            "text_dim": 16,
            "freq_dim": 16,
            "audio_embed_dim": 32,
            "identity_weights": {"video": "separate", "audio": "separate"},
            "identity_attention": "per_subject",
            "identity_position": "after_clip",
            "num_identity_slots": 4,
        }

    def get_dummy_inputs(self, batch_size: int = 1) -> dict[str, Any]:
        generator = torch.Generator("cpu").manual_seed(0)

        def draw(*shape: int) -> torch.Tensor:
            return torch.randn(batch_size, *shape, generator=generator).to(torch_device)

        return {
            "hidden_states": draw(*self.input_shape),
            "audio_hidden_states": draw(8, 6),
            "timestep": torch.full((batch_size,), 500.0, device=torch_device),
            "encoder_hidden_states": draw(6, 16),
            "identity": CastableIdentity(face_latents=draw(2, 4, 4, 4), voice_latents=draw(2, 4, 6)),
        }


class TestTransformer(TransformerConfig, ModelTesterMixin):
    pass


class TestTransformerMemory(TransformerConfig, MemoryTesterMixin):
    pass


class TestTransformerTraining(TransformerConfig, TrainingTesterMixin):
    def test_gradient_checkpointing_is_applied(self) -> None:
        super().test_gradient_checkpointing_is_applied(expected_set={"IAPTransformer3DModel"})


class TestTransformerAttention(TransformerConfig, AttentionTesterMixin):
    pass


class TestTransformerAttentionBackends(TransformerConfig, AttentionBackendTesterMixin):
    pass


class TestTransformerCompile(TransformerConfig, TorchCompileTesterMixin):
    def test_torch_compile_repeated_blocks(self) -> None:
        # References given as latents: the last layer makes their keys and values only, which is a graph of its own.
        super().test_torch_compile_repeated_blocks(recompile_limit=2)


class TestTransformerLora(TransformerConfig, LoraTesterMixin):
    pass


class TestTransformerLoraHotSwap(TransformerConfig, LoraHotSwappingForModelTesterMixin):
    @property
    def different_shapes_for_compilation(self) -> None:
        return None

    def get_dummy_inputs(self, batch_size: int = 1, **shape: int) -> dict[str, Any]:
        return super().get_dummy_inputs(batch_size)


class TestTransformerPyramidAttentionBroadcast(TransformerConfig, PyramidAttentionBroadcastTesterMixin):
    pass


class TestTransformerTaylorSeer(TransformerConfig, TaylorSeerCacheTesterMixin):
    # The default pattern ends in "attn"; ours are called attn1 and attn2, as in Wan and LTX-2, and have to be named.
    TAYLORSEER_CACHE_CONFIG = {
        **TaylorSeerCacheTesterMixin.TAYLORSEER_CACHE_CONFIG,
        "cache_identifiers": [r"blocks\.\d+\.(video|audio)\.attn[12]"],
    }
