"""Files that come with the package: the embedded checkpoint and two drawn people to try it with."""

import os
from pathlib import Path

from iap_pipelines.types import Subject


_FOLDER = Path(__file__).parent
EMBEDDED_CHECKPOINT = _FOLDER / "iap-tiny"
"""A small `from_pretrained` folder, trained on the synthetic world; its README.md is the model card."""

EMBEDDED_RECOGNISERS = _FOLDER / "recognisers"
"""Models that score clips of the synthetic world; its README.md says how well."""

DEMO_PROMPT = (
    "Scene: blue room. <S1>: left, woman with a blue bob and big red glasses and earrings. "
    "<S2>: right, man with a brown flat top and big blue glasses and a beard. "
    '<S1> says: "red apple". <S2> says: "blue bird". Sounds: quiet.'
)


def example_subjects() -> list[Subject]:
    """Two people of the synthetic world whom the embedded checkpoint has never seen."""
    folder = _FOLDER / "subjects"
    return [
        Subject(face=folder / f"{name}.png", voice=folder / f"{name}.flac", name=name.capitalize())
        for name in ("ada", "ben")
    ]


def find_benchmark(name: str | os.PathLike[str]) -> Path:
    """Find the folder of a benchmark.

    Args:
        name: of one that comes with the package, or a folder.

    Raises:
        FileNotFoundError: if it is neither; lists the names.
    """
    embedded = sorted(path.name for path in (_FOLDER / "benchmarks").glob("*") if path.is_dir())
    if name in embedded:
        return _FOLDER / "benchmarks" / name
    if not Path(name).is_dir():
        raise FileNotFoundError(f"`benchmark` must be a folder, or one of {', '.join(embedded)}, but got {name!r}.")
    return Path(name)
