import json

import numpy as np
import pytest
from PIL import Image

from iap_pipelines.data.clip_folder import read_clips, read_identities
from iap_pipelines.data.stills import StillsConfig, render_stills
from iap_pipelines.types import StructuredCaption


pytest.importorskip("skia", reason="needs the extra [synthetic]")
CONFIG = StillsConfig(num_people=4, num_stills=1, num_views=1, num_pairs=3, num_validation=2, size=36)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stills")
    render_stills(folder, CONFIG)
    return folder


def test_pairs_show_two_people_of_one_split_side_by_side(folder):
    identities = read_identities(folder)
    pairs = [clip for clip in read_clips(folder) if len(clip.identities) == 2]
    assert [clip.split for clip in pairs] == ["train", "validation", "validation"]
    for clip in pairs:
        assert len(set(clip.identities)) == 2
        assert {identities[identity].split for identity in clip.identities} == {clip.split}
        assert [subject.position for subject in StructuredCaption.parse(clip.caption).subjects] == ["left", "right"]
        assert Image.open(clip.path).size == (clip.width, clip.height) == (48, 36)


def test_the_same_seed_gives_the_same_stills(folder, tmp_path):
    render_stills(tmp_path, CONFIG)
    for name in ("clips.jsonl", "identities.jsonl"):
        assert (tmp_path / name).read_text() == (folder / name).read_text()
    for line in (tmp_path / "clips.jsonl").read_text().splitlines():
        name = json.loads(line)["file"]
        assert np.array_equal(np.asarray(Image.open(tmp_path / name)), np.asarray(Image.open(folder / name)))
