"""Latents of stills by a tiny codec: what is there already is kept, and only if it is what would be made."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from iap_pipelines.data.encoding import PrecomputeSettings, precompute_latents
from iap_pipelines.data.latent_store import STORE_FILE, LatentStore
from tests.pipelines.tiny_components import tiny_components


def write_stills(folder, count):
    """`count` people with one picture each, which is a clip and a face."""
    folder.mkdir(exist_ok=True)
    clips, people = [], []
    for index in range(count):
        name, file = f"id-{index}", f"{index}.png"
        pixels = np.random.default_rng(index).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / file)
        clip = {"clip_id": f"clip-{index}", "file": file, "split": "train", "caption": "", "num_frames": 1}
        clips.append(clip | {"height": 32, "width": 32, "frame_rate": 1.0, "subjects": [{"identity": name}]})
        people.append({"identity": name, "split": "train", "faces": [file], "voices": []})
    for name, lines in (("clips", clips), ("identities", people)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def precompute(tmp_path):
    vae = tiny_components()["vae"]
    vae.save_pretrained(tmp_path / "codecs" / "vae")
    settings = PrecomputeSettings(codecs=str(tmp_path / "codecs"), shard_size=2, with_audio=False)

    def run():
        precompute_latents(tmp_path / "stills", tmp_path / "latents", settings)
        return LatentStore(tmp_path / "latents")

    run.vae = vae
    return run


def test_a_folder_may_grow(precompute, tmp_path):
    write_stills(tmp_path / "stills", 3)
    precompute()
    full = tmp_path / "latents" / "clips_video_00000.safetensors"
    written = full.stat().st_mtime_ns
    write_stills(tmp_path / "stills", 4)
    assert set(precompute()) == {key for i in range(4) for key in (f"clip-{i}/frames", f"id-{i}/faces")}
    assert full.stat().st_mtime_ns == written


def test_a_person_may_get_another_picture(precompute, tmp_path):
    """Whose latents have the same name as before."""
    write_stills(tmp_path / "stills", 2)
    precompute()
    path = tmp_path / "stills" / "identities.jsonl"
    path.write_text(path.read_text().replace('["0.png"]', '["1.png", "0.png"]'))
    assert precompute().read("id-0/faces").shape[0] == 2


def test_codecs_that_were_trained_again_are_refused(precompute, tmp_path):
    write_stills(tmp_path / "stills", 1)
    precompute()
    with torch.no_grad():
        next(precompute.vae.parameters()).add_(1)
    precompute.vae.save_pretrained(tmp_path / "codecs" / "vae")
    with pytest.raises(ValueError, match=r"`folder` .* codecs with other weights \(vae\)"):
        precompute()


def test_a_folder_without_digests_gets_them(precompute, tmp_path):
    write_stills(tmp_path / "stills", 1)
    precompute()
    path = tmp_path / "latents" / STORE_FILE
    told = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in told.items() if key != "digests"}))
    precompute()
    assert json.loads(path.read_text()) == told
    assert told["digests"].keys() == {"vae"}
