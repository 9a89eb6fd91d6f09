import pytest

from iap_pipelines.synthetic import World, WorldConfig, fill_bank


TINY = {
    "num_identities": 10,
    "clips_per_identity": 4,
    "seed": 3,
    "two_person_share": 0.5,
    "three_person_share": 0.0,
    "held_out_share": 0.2,
    "height": 48,
    "voice_backend": "formant",
}


@pytest.fixture(scope="session")
def bank(tmp_path_factory):
    """Ten formant voices: real sound without a speech model."""
    return fill_bank(tmp_path_factory.mktemp("bank"), TINY["num_identities"], TINY["seed"], voice_backend="formant")


@pytest.fixture(scope="session")
def world(bank):
    return World(WorldConfig(**TINY), bank)
