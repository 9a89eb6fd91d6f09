"""The loopback Hub behaves as the real one where the client notices."""

import pytest
from huggingface_hub import create_repo, hf_hub_download, snapshot_download, upload_folder, whoami


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    (folder / "sub" / "a.safetensors").write_bytes(bytes(range(256)) * 40)
    return folder


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_there_and_back(hub, folder, kind):
    assert whoami()["name"] == "ada"
    create_repo("org/it", repo_type=kind, private=True)
    upload_folder(repo_id="org/it", repo_type=kind, folder_path=folder)
    repository = hub.repositories[f"{kind}s", "org/it"]
    assert repository.is_private and repository.files()["sub/a.safetensors"].is_large
    back = snapshot_download("org/it", repo_type=kind)
    for file in ("README.md", "sub/a.safetensors"):
        assert open(f"{back}/{file}", "rb").read() == (folder / file).read_bytes()


def test_a_download_continues_where_the_connection_dropped(hub, folder, impatient):
    create_repo("org/it")
    upload_folder(repo_id="org/it", folder_path=folder)
    hub.fail("GET", r"resolve/.*a\.safetensors", drop_after_bytes=1000)
    path = hf_hub_download("org/it", "sub/a.safetensors")
    assert open(path, "rb").read() == (folder / "sub" / "a.safetensors").read_bytes()
    assert hub.count("GET", r"resolve/.*a\.safetensors") == 2
