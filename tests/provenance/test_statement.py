import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

from iap_pipelines.provenance import Provenance, Reference
from iap_pipelines.provenance.digests import reference_digest, weights_fingerprint
from iap_pipelines.types import AudioSamples
from tests.provenance.conftest import PROVENANCE


@pytest.mark.parametrize("provenance", [PROVENANCE, Provenance(), Provenance(weights="0" * 64)])
def test_there_and_back(provenance):
    assert Provenance.from_assertion(provenance.to_assertion()) == provenance


@pytest.mark.parametrize("data", [{}, {"model": {}, "references": [{"name": "Ada"}]}, {"model": 1, "references": []}])
def test_statements_of_others_are_refused(data):
    with pytest.raises(ValueError, match="statement"):
        Provenance.from_assertion(data)


@pytest.mark.parametrize("model", ["/home/ada/iap", "~/iap", "./iap", "C:\\Users\\ada"])
def test_a_path_is_no_name(model):
    with pytest.raises(ValueError, match="path"):
        Provenance(model=model)


@pytest.mark.parametrize(
    "values", [(0, "face", "0" * 64, "file"), (1, "ear", "0" * 64, "file"), (1, "face", "x", "file")]
)
def test_a_reference_checks_itself(values):
    with pytest.raises(ValueError):
        Reference(*values)


def test_a_file_is_hashed_as_sha256sum_does(tmp_path):
    path = tmp_path / "ada.png"
    path.write_bytes(b"any bytes")
    assert reference_digest(path) == (hashlib.sha256(b"any bytes").hexdigest(), "file")


def test_values_are_hashed_by_what_they_hold():
    pixels = np.random.default_rng(0).integers(0, 255, (8, 6, 3), dtype=np.uint8)
    image, samples = Image.fromarray(pixels), torch.linspace(-1, 1, 12)[None]
    digests = [
        reference_digest(image),
        reference_digest(Image.fromarray(pixels.reshape(6, 8, 3))),
        reference_digest(AudioSamples(samples, 8_000)),
        reference_digest(AudioSamples(samples, 16_000)),
        reference_digest(samples),
        reference_digest(samples.bfloat16()),
    ]
    assert len({digest for digest, _ in digests}) == len(digests)
    assert reference_digest(image.copy()) == digests[0]
    assert [source for _, source in digests] == ["pixels"] * 2 + ["samples"] * 2 + ["latents"] * 2


def test_the_fingerprint_knows_a_model_by_its_weights():
    model = torch.nn.Sequential(torch.nn.Linear(300, 20), torch.nn.LayerNorm(20, elementwise_affine=False))
    fingerprint = weights_fingerprint(model)
    assert weights_fingerprint(model) == fingerprint
    assert weights_fingerprint(model.bfloat16()) != fingerprint
    model.float()
    trained = weights_fingerprint(model)
    with torch.no_grad():
        model[0].weight += 1e-6
    assert weights_fingerprint(model) != trained
    assert weights_fingerprint(torch.nn.Linear(2, 2, device="meta")) is None
