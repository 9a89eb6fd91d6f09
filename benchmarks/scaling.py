"""How time grows with frames, subjects and steps, and that the cost of identity does not grow with steps.

Prints one table: one thing at a time is changed from a base of 5 latent frames, one subject and 4 steps. *identity* is
`IAPPipeline.encode_identity`, *loop* is `IAPPipeline.__call__` with people encoded before (caption, then all steps
with guidance); *per step* is the loop divided by its steps.

    python -m benchmarks.scaling --threads 2
"""

import argparse
import dataclasses
import statistics
from functools import partial

from benchmarks.measuring import (
    add_measuring_arguments,
    describe_measurement,
    markdown_table,
    measure_interleaved,
    set_threads,
)
from benchmarks.setting import LoopSetting, generate_latents, transformer_pipeline


MILLI = 1e-3
LATENT_FRAMES = (3, 9)
SUBJECTS = (2, 4)
STEPS = (2, 8)


def settings_to_compare(base: LoopSetting) -> list[LoopSetting]:
    """The base, and it with more or less of one thing."""
    changes = [("num_latent_frames", LATENT_FRAMES), ("num_subjects", SUBJECTS), ("num_inference_steps", STEPS)]
    return [base] + [dataclasses.replace(base, **{name: value}) for name, values in changes for value in values]


def compare(settings: list[LoopSetting], repeats: int) -> str:
    """Measure everything and return the table, with a line above it on how."""
    pipe = transformer_pipeline(settings[0].transformer())
    candidates = {}
    for setting in settings:
        encode = partial(pipe.encode_identity, setting.subjects(), num_frames=setting.num_frames)
        candidates["identity", setting] = encode
        candidates["loop", setting] = partial(generate_latents, pipe, setting, encode())
    seconds = {key: statistics.median(rounds) for key, rounds in measure_interleaved(candidates, repeats).items()}
    rows = [_row(setting, seconds["identity", setting], seconds["loop", setting]) for setting in settings]
    header = ["frames", "subjects", "steps", "video tokens", "identity, ms", "loop, s", "per step, ms"]
    return f"{describe_measurement(repeats)}\n\n{markdown_table(header, rows)}"


def _row(setting: LoopSetting, identity_seconds: float, loop_seconds: float) -> list[str]:
    return [
        str(setting.num_frames),
        str(setting.num_subjects),
        str(setting.num_inference_steps),
        str(setting.num_latent_frames * (setting.latent_size // 2) ** 2),
        f"{identity_seconds / MILLI:.0f}",
        f"{loop_seconds:.2f}",
        f"{loop_seconds / setting.num_inference_steps / MILLI:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_measuring_arguments(parser, repeats=3)
    args = parser.parse_args()
    set_threads(args.threads)
    print(compare(settings_to_compare(LoopSetting(num_inference_steps=4)), args.repeats))


if __name__ == "__main__":
    main()
