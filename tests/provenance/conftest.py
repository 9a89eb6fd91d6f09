import pytest
import torch

from iap_pipelines.media import export_to_av, write_video
from iap_pipelines.provenance import Provenance, Reference
from tests.provenance.credentials import issue


PROVENANCE = Provenance(
    model="org/iap",
    revision="0" * 40,
    weights="a" * 64,
    references=(Reference(1, "face", "b" * 64, "file"), Reference(2, "voice", "c" * 64, "samples")),
)


@pytest.fixture(scope="session")
def credentials(tmp_path_factory):
    return issue(tmp_path_factory.mktemp("credentials"))


@pytest.fixture(scope="session")
def content():
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (5, 32, 48, 3), generator=generator, dtype=torch.uint8)
    return frames, torch.rand(1, 6400, generator=generator) - 0.5


@pytest.fixture
def write(content, tmp_path):
    """Write the same small clip; ``provenance`` as in `export_to_av`, or "plain"."""

    def write(name="clip.mp4", provenance=PROVENANCE, **options):
        rates = {"frame_rate": 12.5, "sampling_rate": 16_000}
        if provenance == "plain":
            return write_video(*content, tmp_path / name, **rates)
        return export_to_av(*content, tmp_path / name, provenance=provenance, **rates, **options)

    return write
