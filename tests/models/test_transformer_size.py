"""The full-size model, built on the meta device."""

import pytest
import torch

from iap_pipelines.models.transformer_iap import IAPTransformer3DModel


@pytest.fixture(scope="module")
def full_size():
    with torch.device("meta"):
        return IAPTransformer3DModel()


def test_parameters_before_and_after_release(full_size):
    """The published layout builds 21.48 billion."""
    assert full_size.num_parameters() <= 15.4e9
    full_size.release_identity_weights()
    resident = full_size.num_parameters()
    assert resident == pytest.approx(11.66e9, rel=2e-3)
    assert 2 * resident / 1e9 == pytest.approx(23.3, abs=0.1)
    with torch.device("meta"):
        slim = IAPTransformer3DModel.from_config(full_size.config)
    assert slim.num_parameters() == resident
