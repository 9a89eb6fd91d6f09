"""How much of one person's adapter reaches another person in the same clip.

Takes two runs of `iap train-identity` on the same base. Clips of both people are made with the same noise three times:
without adapters, with the first person's adapter owned by that person, and with the same adapter acting everywhere.
Prints one table of what the adapter changed: keys and values of the references (relative length of the difference, all
layers of both towers) and pixels (mean difference of 255 levels; the first person stands on the left, the second on
the right). Pixels of the second person can change although nothing of theirs did, since both are in one picture.

    python -m benchmarks.personalisation runs/ada runs/ben
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import yaml

from benchmarks.measuring import markdown_table, set_threads
from iap_pipelines import IAPPipeline, Subject
from iap_pipelines.data.clip_folder import read_identities


PROMPT = "Scene: blue room. <S1>: left, person. <S2>: right, person. Sounds: quiet."


class Person(NamedTuple):
    """One finished run."""

    name: str
    base: str
    subject: Subject
    lora: Path

    @classmethod
    def of_run(cls, folder: Path) -> "Person":
        config = yaml.safe_load((folder / "config.yaml").read_text())
        name = config["lora"]["name"]
        references = read_identities(folder / "data")[name]
        subject = Subject(references.faces[0], references.voices[0], name=name)
        base = config["model"]["folder"]
        return cls(name, str(Path(base).resolve()) if Path(base).exists() else base, subject, folder / "lora")


class Change(NamedTuple):
    """What an adapter changed, per person."""

    references: tuple[float, float]
    pixels: tuple[list[float], list[float]]
    """one entry per clip"""


def measure(pipe: IAPPipeline, people: Sequence[Person], num_clips: int, num_steps: int) -> dict[str, Change]:
    """What the first person's adapter changes when it is theirs, and when it acts on everything."""
    first, second = (person.subject for person in people)
    plain = [first, second]
    pipe.load_lora_weights(people[0].lora, adapter_name=people[0].name)
    owned = [Subject(first.face, first.voice, name=first.name, adapter=people[0].name), second]
    config = pipe.transformer.peft_config[people[0].name]

    def run(subjects: list[Subject]) -> tuple[list[torch.Tensor], list[np.ndarray]]:
        clips = [
            pipe(
                PROMPT,
                subjects,
                num_inference_steps=num_steps,
                generator=torch.Generator().manual_seed(seed),
            ).frames[0]
            for seed in range(num_clips)
        ]
        return references_by_person(pipe, subjects), clips

    pipe.disable_lora()
    without = run(plain)
    pipe.enable_lora()
    changes = {"its owner's references": compare(without, run(owned))}
    config.auto_mapping = {"binding": "everything"}
    changes["everything"] = compare(without, run(plain))
    return changes


def references_by_person(pipe: IAPPipeline, subjects: list[Subject]) -> list[torch.Tensor]:
    """Keys and values of each person's references, one long vector per person."""
    vectors: list[list[torch.Tensor]] = [[], []]
    alone = next(iter(pipe.encode_identity(subjects[:1]).memories.values()))
    together = next(iter(pipe.encode_identity(subjects).memories.values()))
    for own, both in zip(alone.layers, together.layers, strict=True):
        for tower in range(2):
            count = own.identity[tower].key.shape[1]
            for tensor in both.identity[tower]:
                for person, part in enumerate((tensor[:, :count], tensor[:, count:])):
                    vectors[person].append(part.flatten())
    return [torch.cat(parts) for parts in vectors]


def compare(
    without: tuple[list[torch.Tensor], list[np.ndarray]], adapted: tuple[list[torch.Tensor], list[np.ndarray]]
) -> Change:
    references = tuple(
        ((after - before).norm() / before.norm()).item() for before, after in zip(without[0], adapted[0], strict=True)
    )
    differences = [255 * np.abs(after - before) for before, after in zip(without[1], adapted[1], strict=True)]
    middle = differences[0].shape[2] // 2
    halves = (slice(0, middle), slice(middle, None))
    pixels = tuple([float(difference[:, :, half].mean()) for difference in differences] for half in halves)
    return Change(references, pixels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs=2, help="output folders of two runs of `iap train-identity`")
    parser.add_argument("--clips", type=int, default=4, help="clips, each with its own noise (%(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="denoising steps (%(default)s)")
    parser.add_argument("--threads", type=int, help="threads of torch; its own choice if not given")
    args = parser.parse_args()
    set_threads(args.threads)
    people = [Person.of_run(folder) for folder in args.runs]
    if people[0].base != people[1].base:
        raise ValueError(f"`runs` must share their base model, but have {people[0].base} and {people[1].base}.")
    pipe = IAPPipeline.from_pretrained(people[0].base, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    changes = measure(pipe, people, args.clips, args.steps)
    rows = [
        [name, *(f"{100 * value:.1f} %" for value in change.references), *map(_mean_and_range, change.pixels)]
        for name, change in changes.items()
    ]
    header = ["adapter acts on", "references of its owner", "of the other", "pixels of its owner", "of the other"]
    print(markdown_table(header, rows))


def _mean_and_range(values: list[float]) -> str:
    return f"{np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main()
