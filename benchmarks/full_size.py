"""How large the published size is, built and computed our way: counted on the meta device, nothing is allocated.

Prints one table for `IAPTransformer3DModel()` with its default configuration, one face (256 tokens), one voice of 5 s
and a clip of 704 x 1280 pixels and 121 frames:

- *parameters*: what the constructor builds. The published column is the sum over the names and shapes of its released
  checkpoint layout (video tower 10.48 B, audio tower 11.00 B, of which 6.04 B are never read);
- *in bfloat16*: bytes of those parameters, and what `_keep_in_fp32_modules` adds by staying in float32;
- *forward pass, constants*: operations of one conditional pass, and of what is computed once per generation;
- *generation*: 50 steps of two passes each;
- *identity memory*: keys and values of all layers in bfloat16, which take the place of the released weights.

    python -m benchmarks.full_size
"""

import argparse
from typing import Any, NamedTuple

import torch
from torch import nn

from benchmarks.measuring import FlopCount, count_flops, markdown_table
from benchmarks.published_way import PublishedWayTransformer
from iap_pipelines import IAPTransformer3DModel
from iap_pipelines.models.transformer_iap import IAPIdentityInputs, IAPIdentityMemory
from iap_pipelines.shapes import CodecGeometry


BILLION, TERA, MEGA = 1e9, 1e12, 1e6
PUBLISHED_PARAMETERS = 21_480_155_348
"""Sum over the tensors of the released dual-tower layout (its two configurations built on the meta device)."""
BFLOAT16_BYTES, FLOAT32_BYTES = 2, 4
NUM_STEPS = 50


class FullSize(NamedTuple):
    """Sizes of the inputs; the model's own sizes are its configuration's."""

    height: int = 704
    width: int = 1280
    num_frames: int = 121
    frame_rate: float = 24.0
    face_size: int = 512
    voice_seconds: float = 5.0
    num_caption_tokens: int = 512


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def count_float32_parameters(model: IAPTransformer3DModel) -> int:
    """Parameters that stay in float32 when the model is loaded with `dtype=torch.bfloat16`."""
    kept = set(model._keep_in_fp32_modules)
    return sum(parameter.numel() for name, parameter in model.named_parameters() if kept & set(name.split(".")))


def memory_bytes(memory: IAPIdentityMemory, tower: str) -> int:
    """Bytes of one tower's identity keys and values in bfloat16."""
    pairs = [getattr(layer.identity, tower) for layer in memory.layers if layer is not None]
    return sum(BFLOAT16_BYTES * tensor.numel() for pair in pairs for tensor in pair)


class Inputs(NamedTuple):
    """Keyword arguments of a conditional pass, without its conditions, and the conditions."""

    target: dict[str, torch.Tensor]
    identity: IAPIdentityInputs
    caption: torch.Tensor


def make_inputs(size: FullSize, config: dict[str, Any], device: str = "meta") -> Inputs:
    """Zeros of the right shapes."""
    geometry = CodecGeometry()
    clip = geometry.clip(size.height, size.width, size.num_frames, size.frame_rate)
    side = size.face_size // geometry.spatial_factor
    num_voice_latents = geometry.voice_latents(round(size.voice_seconds * geometry.sampling_rate))
    channels, audio_channels = config["in_channels"], config["audio_in_channels"]

    def zeros(*shape: int) -> torch.Tensor:
        return torch.zeros(shape, device=device)

    return Inputs(
        target={
            "hidden_states": zeros(1, channels, clip.num_latent_frames, clip.latent_height, clip.latent_width),
            "audio_hidden_states": zeros(1, clip.num_audio_latents, audio_channels),
            "timestep": zeros(1),
        },
        identity=IAPIdentityInputs(
            face_latents=zeros(1, 1, channels, side, side),
            voice_latents=zeros(1, 1, num_voice_latents, audio_channels),
        ),
        caption=zeros(1, size.num_caption_tokens, config["text_dim"]),
    )


class Cost(NamedTuple):
    """What one generation computes."""

    forward: FlopCount
    constants: FlopCount

    def generation(self, num_forwards: int) -> int:
        return num_forwards * self.forward.total + self.constants.total


@torch.no_grad()
def count_generation(model: IAPTransformer3DModel, inputs: Inputs) -> tuple[Cost, IAPIdentityMemory]:
    """Operations of a conditional pass and of its constants (one identity, prompt and negative prompt)."""
    num_frames, num_audio_latents = (
        inputs.target["hidden_states"].shape[2],
        inputs.target["audio_hidden_states"].shape[1],
    )
    identity, identity_flops = count_flops(
        lambda: model.encode_identity(inputs.identity, num_frames, num_audio_latents)
    )
    caption, caption_flops = count_flops(lambda: model.encode_caption(inputs.caption))
    _, forward = count_flops(lambda: model(**inputs.target, caption_memory=caption, identity_memory=identity))
    constants = FlopCount(
        identity_flops.linear + 2 * caption_flops.linear, identity_flops.attention + 2 * caption_flops.attention
    )
    return Cost(forward, constants), identity


def account(size: FullSize, config: dict[str, Any]) -> str:
    """The table for a model of this configuration."""
    with torch.device("meta"):
        model, published = (cls(**config).eval() for cls in (IAPTransformer3DModel, PublishedWayTransformer))
    inputs = make_inputs(size, dict(model.config))
    ours, memory = count_generation(model, inputs)
    theirs, _ = count_generation(published, inputs)
    built, built_float32 = count_parameters(model), count_float32_parameters(model)
    model.release_identity_weights()
    released, released_float32 = count_parameters(model), count_float32_parameters(model)

    parameters = (PUBLISHED_PARAMETERS, built, released)
    extra_bytes = [(FLOAT32_BYTES - BFLOAT16_BYTES) * count for count in (built_float32, released_float32)]
    num_forwards = 2 * NUM_STEPS
    face, voice = (f"{memory_bytes(memory, tower) / MEGA:.0f} MB" for tower in ("video", "audio"))
    rows = [
        ["parameters built", *(f"{count / BILLION:.2f} B" for count in parameters)],
        ["in bfloat16", *(f"{BFLOAT16_BYTES * count / BILLION:.1f} GB" for count in parameters)],
        ["more by what stays in float32", "", *(f"{count / MEGA:.0f} MB" for count in extra_bytes)],
        ["conditional forward pass", _tera(theirs.forward.total), *[_tera(ours.forward.total)] * 2],
        ["constants, once per generation", "", _tera(ours.constants.total), "as encoded before"],
        [
            f"generation, {NUM_STEPS} steps",
            _tera(theirs.generation(num_forwards)),
            *[_tera(ours.generation(num_forwards))] * 2,
        ],
        ["identity memory of a face", "", face, face],
        ["identity memory of a voice", "", voice, voice],
    ]
    title = f"{size.height} x {size.width} pixels, {size.num_frames} frames"
    return markdown_table([title, "published", "ours", "ours, identity weights released"], rows)


def _tera(flops: int) -> str:
    return f"{flops / TERA:,.1f} TF"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    print(account(FullSize(), config={}))


if __name__ == "__main__":
    main()
