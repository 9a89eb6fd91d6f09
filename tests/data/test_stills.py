import json
from dataclasses import replace

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


@pytest.mark.parametrize("changes", [{"num_pairs": 4}, {"num_people": 5}, {"size": 40}, {"seed": 1}])
def test_pictures_of_other_settings_are_not_taken_for_these(folder, changes):
    before = (folder / "clips.jsonl").read_text()
    with pytest.raises(ValueError, match=rf"`folder` .*stills.json.*\({next(iter(changes))}\)"):
        render_stills(folder, replace(CONFIG, **changes))
    assert (folder / "clips.jsonl").read_text() == before


def test_pictures_of_unknown_settings_are_refused(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "pair-00000.png").write_bytes(b"somebody")
    with pytest.raises(ValueError, match="stills.json is missing"):
        render_stills(tmp_path, CONFIG)


def test_an_interrupted_folder_is_completed_with_whole_pictures(folder, tmp_path, monkeypatch):
    def killed(image, path, **options):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Image.Image, "save", killed)
        render_stills(tmp_path, CONFIG)
    render_stills(tmp_path, CONFIG)
    for picture in folder.glob("pictures/*.png"):
        assert (tmp_path / "pictures" / picture.name).read_bytes() == picture.read_bytes()


def test_somebody_is_left_to_learn_from():
    with pytest.raises(ValueError, match="`num_validation` must be .*`num_people`=2, but got 2"):
        StillsConfig(num_people=2, num_validation=2)
    with pytest.raises(ValueError, match="`num_pairs`=1 needs two people on either side"):
        StillsConfig(num_people=3, num_validation=1, num_pairs=1)
