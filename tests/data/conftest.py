import pytest

from tests.data.curated_folder import write_curated_folder


@pytest.fixture(scope="session")
def curated(tmp_path_factory):
    """A small output folder of a curation; not to be changed."""
    return write_curated_folder(tmp_path_factory.mktemp("curated") / "out")


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory):
    """A small synthetic world; not to be changed."""
    from iap_pipelines.synthetic import WorldConfig, synthesize

    folder = tmp_path_factory.mktemp("world") / "out"
    config = WorldConfig(
        num_identities=6, clips_per_identity=2, two_person_share=0.5, height=48, num_frames=17, voice_backend="formant"
    )
    synthesize(config, folder)
    return folder
