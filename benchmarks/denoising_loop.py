"""What reuse buys: the denoising loop of `IAPPipeline` against the same loop computed the published way.

Prints one table with three rows:

- *ours*: `IAPPipeline.__call__` from embeddings to latents;
- *published way*: the same call with the same weights and (asserted) the same result, but identity, caption and time
  are computed in every call of the transformer and for every token, see `published_way.py`;
- *two Wan models*: one diffusers `WanTransformer3DModel` per tower, which know neither identity nor each other, as a
floor.

Columns: operations of one conditional forward pass with the constants of the generation spread over its passes, as
`torch.utils.flop_counter` counts them on a CPU (projections and convolutions) and with attention added; seconds per
generation; times as slow as ours; share of the peak, which is a large float32 matrix product measured in the same
rounds.

    python -m benchmarks.denoising_loop --threads 2
"""

import argparse
import copy
import statistics
from collections.abc import Callable

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from benchmarks.measuring import (
    GIGA,
    PEAK_MATMUL_SIDE,
    FlopCount,
    add_measuring_arguments,
    count_flops,
    describe_measurement,
    markdown_table,
    measure_interleaved,
    median_ratio,
    peak_matmul,
    set_threads,
)
from benchmarks.published_way import PublishedWayTransformer
from benchmarks.setting import LoopSetting, generate_latents, transformer_pipeline
from iap_pipelines import IAPPipeline, IAPTransformer3DModel


TOLERANCE = 1e-4
"""Largest difference between our latents and those of the published way, for latents of about unit size."""
OURS, PUBLISHED, FLOOR = "ours", "published way", "two Wan models (floor)"


def check_equal(ours: tuple[Tensor, Tensor], published: tuple[Tensor, Tensor]) -> float:
    """Largest difference between two generations; raises `AssertionError` above `TOLERANCE`."""
    difference = max((a - b).abs().max().item() for a, b in zip(ours, published, strict=True))
    if not difference <= TOLERANCE:
        raise AssertionError(f"The published way gives other latents: they differ by {difference:.1e}.")
    return difference


def wan_loop(setting: LoopSetting, pipe: IAPPipeline) -> Callable[[], None]:
    """The loop with one plain Wan model per tower, token counts and width as ours."""
    video_model, audio_model = (
        WanTransformer3DModel(
            patch_size=patch_size,
            num_attention_heads=setting.num_attention_heads,
            attention_head_dim=setting.attention_head_dim,
            in_channels=channels,
            out_channels=channels,
            text_dim=setting.text_dim,
            ffn_dim=setting.ffn_dim,
            num_layers=setting.num_layers,
            cross_attn_norm=True,
        ).eval()
        for patch_size, channels in (((1, 2, 2), setting.video_channels), ((1, 1, 1), setting.audio_channels))
    )
    captions = setting.captions()
    side = setting.latent_size
    video = torch.zeros(1, setting.video_channels, setting.num_latent_frames, side, side)
    audio = torch.zeros(1, setting.audio_channels, setting.num_voice_latents, 1, 1)

    @torch.no_grad()
    def run() -> None:
        towers = [
            (model, latents, scale, copy.deepcopy(pipe.scheduler))
            for model, latents, scale in ((video_model, video, 4.0), (audio_model, audio, 3.0))
        ]
        for model, latents, scale, scheduler in towers:
            scheduler.set_timesteps(setting.num_inference_steps)
            for t in scheduler.timesteps:
                conditional, unconditional = (
                    model(latents, t.expand(1), caption, return_dict=False)[0] for caption in captions
                )
                velocity = conditional + (scale - 1) * (conditional - unconditional)
                latents = scheduler.step(velocity, t, latents, return_dict=False)[0]

    return run


def compare(setting: LoopSetting, repeats: int) -> str:
    """Measure everything and return the table, with a line above it on how."""
    ours, published = (
        transformer_pipeline(setting.transformer(cls)) for cls in (IAPTransformer3DModel, PublishedWayTransformer)
    )
    loops = {
        OURS: lambda: generate_latents(ours, setting),
        PUBLISHED: lambda: generate_latents(published, setting),
        FLOOR: wan_loop(setting, ours),
    }
    latents, flops = {}, {}
    for name, loop in loops.items():
        latents[name], flops[name] = count_flops(loop)
    difference = check_equal(latents[OURS], latents[PUBLISHED])
    seconds = measure_interleaved(loops | {"peak": peak_matmul()}, repeats)
    peak_seconds = [value / (2 * PEAK_MATMUL_SIDE**3) for value in seconds["peak"]]
    num_forwards = 2 * setting.num_inference_steps
    rows = [
        _row(name, flops[name], seconds[name], num_forwards, median_ratio(seconds[name], seconds[OURS]), peak_seconds)
        for name in loops
    ]
    header = [
        f"{setting.num_inference_steps} steps with guidance",
        "GF per forward",
        "with attention",
        "seconds",
        "times ours",
        "share of peak",
        "with attention",
    ]
    note = (
        f"{describe_measurement(repeats)} Peak: {1 / statistics.median(peak_seconds) / GIGA:.0f} GF/s. "
        f"Latents of the first two rows differ by {difference:.1e}."
    )
    return f"{note}\n\n{markdown_table(header, rows)}"


def _row(
    name: str, flops: FlopCount, seconds: list[float], num_forwards: int, ratio: float, peak_seconds: list[float]
) -> list[str]:
    share = median_ratio(peak_seconds, seconds)
    return [
        name,
        f"{flops.linear / num_forwards / GIGA:.1f}",
        f"{flops.total / num_forwards / GIGA:.1f}",
        f"{statistics.median(seconds):.2f}",
        f"{ratio:.2f}",
        f"{share * flops.linear:.0%}",
        f"{share * flops.total:.0%}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10, help="denoising steps (%(default)s)")
    add_measuring_arguments(parser, repeats=5)
    args = parser.parse_args()
    set_threads(args.threads)
    print(compare(LoopSetting(num_inference_steps=args.steps), args.repeats))


if __name__ == "__main__":
    main()
