from pathlib import Path

import pytest
import torch

from benchmarks.reference_swap import SIGMAS, compare
from iap_pipelines.data.clip_folder import ClipEntry, IdentityEntry
from iap_pipelines.data.conditions import ConditionDropout
from iap_pipelines.data.latent_store import LatentShardWriter, LatentStore
from iap_pipelines.data.training_dataset import IdentityClipDataset, SampleSettings
from tests.pipelines.tiny_components import tiny_tokenizer


@pytest.fixture
def dataset(tmp_path):
    people = {
        name: IdentityEntry(name, "validation", (Path("f.png"),), (None,), (Path("v.wav"),), (None,))
        for name in ("ada", "ben")
    }
    tensors = {}
    for number, name in enumerate(people):
        tensors[f"{name}/faces"] = torch.full((1, 4, 2, 2), float(number))
        tensors[f"{name}/voice_0"] = torch.full((6, 6), float(number))
    clips = []
    for index in range(10):
        caption = 'Scene: room. <S1>: left, woman. <S2>: right, man. <S1> says: "red". <S2> says: "blue".'
        clips.append(ClipEntry(f"c{index}", Path("c.mp4"), "validation", 32, 48, 5, 12.5, ("ada", "ben"), caption))
        tensors[f"c{index}/video"] = torch.randn(4, 2, 2, 3)
        tensors[f"c{index}/audio"] = torch.randn(12, 6)
    LatentShardWriter(tmp_path, {}).write("all", tensors)
    settings = SampleSettings("clips", 1, (1, 1), (2, 6), ConditionDropout(), ordered_slots=1.0, exchanges=True)
    return IdentityClipDataset(clips, people, LatentStore(tmp_path), settings)


class Reader:
    """Predicts well where the first reference is Ada's (zeros), who is the first subject, and badly elsewhere."""

    def __init__(self, kind):
        self.kind = kind

    def predict(self, batch, video, audio, video_sigma, audio_sigma):
        assert (video_sigma == audio_sigma).all()
        assert (getattr(batch.identity, f"{self.kind}_subjects")[:, 0] == 0).all()
        first = getattr(batch.identity, f"{self.kind}_latents")[:, 0]
        error = 10.0 * (first.flatten(1).mean(dim=1) != 0)
        return video * 0 + error.view(-1, 1, 1, 1, 1), audio * 0 + error.view(-1, 1, 1)


@pytest.mark.parametrize("kind", ["face", "voice"])
def test_who_reads_references_is_better_with_the_true_ones(dataset, kind):
    table = compare(Reader(kind), tiny_tokenizer(), dataset, seed=1)
    assert set(table) == {(name, sigma) for name in ("face", "voice") for sigma in SIGMAS}
    for errors in table.values():
        assert len(errors.true) == 10
        assert (errors.true < errors.swapped).all()


def test_who_ignores_them_is_as_good_with_either(dataset):
    class Blind(Reader):
        def predict(self, batch, video, audio, *sigmas):
            return video * 0, audio * 0

    for errors in compare(Blind("face"), tiny_tokenizer(), dataset, seed=1).values():
        assert torch.equal(errors.true, errors.swapped)
