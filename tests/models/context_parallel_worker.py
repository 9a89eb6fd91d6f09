"""
One of two processes that share every sequence between them: RANK=0 python context_parallel_worker.py STORE_FILE.

`enable_parallelism` insists on an accelerator when it looks for its device. Everything after that it does without
one: this
takes the same steps with a mesh of CPU processes, so that the model's plan, its processor and diffusers' hooks are
the true ones.
"""

import os
import sys

import torch
import torch.distributed as dist
from diffusers import ContextParallelConfig
from diffusers.hooks.context_parallel import apply_context_parallel
from diffusers.models._modeling_parallel import ParallelConfig
from torch.distributed.device_mesh import init_device_mesh

from iap_pipelines.models.transformer_iap import IAPIdentityInputs, IAPTransformer3DModel


WORLD_SIZE = 2
CONFIGS = (
    {},
    {"identity_weights": {"video": "separate", "audio": "separate"}, "num_identity_slots": 4},
    {"identity_weights": {"video": "shared", "audio": "shared"}, "identity_position": "after_clip"},
)


def build(**config: object) -> IAPTransformer3DModel:
    torch.manual_seed(0)
    return IAPTransformer3DModel(
        in_channels=4,
        audio_in_channels=6,
        num_attention_heads=2,
        attention_head_dim=12,
        ffn_dim=32,
        num_layers=3,
        text_dim=16,
        freq_dim=16,
        audio_embed_dim=32,
        **config,
    ).eval()


def parallelise(model: IAPTransformer3DModel, rank: int) -> None:
    # Not `ulysses_anything`, for lengths that do not divide: it exchanges them through memory of an accelerator.
    config = ContextParallelConfig(ulysses_degree=WORLD_SIZE)
    mesh = init_device_mesh("cpu", mesh_shape=config.mesh_shape, mesh_dim_names=config.mesh_dim_names)
    parallel_config = ParallelConfig(context_parallel_config=config)
    parallel_config.setup(rank, WORLD_SIZE, torch.device("cpu"), mesh=mesh)
    for processor in model.attn_processors.values():
        processor._parallel_config = parallel_config
    apply_context_parallel(model, config, model._cp_plan)


def people(voice_length: int) -> IAPIdentityInputs:
    generator = torch.Generator().manual_seed(1)
    faces = torch.randn(1, 2, 4, 4, 4, generator=generator)
    return IAPIdentityInputs(faces, voice_latents=torch.randn(1, 2, voice_length, 6, generator=generator))


def clip(num_frames: int, num_audio_latents: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return {
        "hidden_states": torch.randn(1, 4, num_frames, 4, 4, generator=generator),
        "audio_hidden_states": torch.randn(1, num_audio_latents, 6, generator=generator),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 5, 16, generator=generator),
    }


def run(
    model: IAPTransformer3DModel, inputs: dict[str, torch.Tensor], identity: IAPIdentityInputs
) -> list[torch.Tensor]:
    num_frames, num_audio_latents = inputs["hidden_states"].shape[2], inputs["audio_hidden_states"].shape[1]
    with torch.no_grad():
        once = model(**inputs, identity=identity, return_dict=False)
        memory = model.encode_identity(identity, num_frames, num_audio_latents)
        return [*once, *model(**inputs, identity_memory=memory, return_dict=False)]


def main() -> None:
    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=rank, world_size=WORLD_SIZE)
    for config in CONFIGS:
        # Lengths of 12, 10, 4 per view and 6 per voice: each of them is cut in the middle.
        inputs, identity = clip(num_frames=3, num_audio_latents=10), people(voice_length=6)
        expected = run(build(**config), inputs, identity)
        model = build(**config)
        parallelise(model, rank)
        for found, wanted in zip(run(model, inputs, identity), expected, strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)

    model = build(identity_attention="per_subject")
    parallelise(model, rank)
    try:
        run(model, clip(3, 8), people(6))
    except NotImplementedError as error:
        assert "identity_attention" in str(error)
    else:
        raise AssertionError("a mask that cannot be split was accepted")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
