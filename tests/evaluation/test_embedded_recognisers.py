"""The recognisers that come with the package know people, mouths, voices and words that they were not trained on."""

import numpy as np
import pytest
import torch
import yaml

from iap_pipelines.assets import EMBEDDED_RECOGNISERS, find_benchmark
from iap_pipelines.evaluation.backends.drawn_world import (
    DrawnWorldFaceDetector,
    FaceIdentityEmbedder,
    VoiceIdentityEmbedder,
    WordCtcTranscriber,
)
from iap_pipelines.evaluation.drawn_world.measuring import DrawnWorldRecognisers
from iap_pipelines.media import read_audio
from iap_pipelines.synthetic import World, WorldConfig, fill_bank
from iap_pipelines.synthetic.people import draw_people
from iap_pipelines.synthetic.rendering import snapshot
from iap_pipelines.types import StructuredCaption


@pytest.fixture(scope="module")
def items():
    """In-pair items of the benchmark: a recording of a test identity, and the words in it."""
    folder = find_benchmark("drawn-world")
    items = yaml.safe_load((folder / "benchmark.yaml").read_text())["items"]
    return folder, [item for item in items if item["pairing"] == "in_pair"]


def test_faces_find_themselves_among_others():
    detector, embedder = DrawnWorldFaceDetector(), FaceIdentityEmbedder()
    generator = np.random.default_rng(0)

    def look(person):
        picture = snapshot([person], generator, height=96, width=96)
        return embedder.embed(picture, detector.detect(picture)[0])

    people = draw_people(16, seed=123_456)
    first, second = (np.stack([look(person) for person in people]) for _ in range(2))
    found = (first @ second.T).argmax(axis=1)
    assert (found == np.arange(16)).mean() >= 0.8  # chance: 0.06


def test_mouths_are_seen_to_open(tmp_path):
    config = WorldConfig(num_identities=3, clips_per_identity=1, held_out_share=0, seed=4321, voice_backend="formant")
    clip = World(config, fill_bank(tmp_path, 3, config.seed, voice_backend="formant")).render_clip(0)
    recognisers = DrawnWorldRecognisers.from_pretrained(EMBEDDED_RECOGNISERS)
    num_people = clip.mouth_opening.shape[1]
    seen = recognisers.measure(clip.frames, clip.samples, num_people=num_people, frame_rate=config.frame_rate).openings
    speaking = clip.mouth_opening.std(axis=0).argmax()
    assert np.corrcoef(seen[:, speaking], clip.mouth_opening[:, speaking])[0, 1] > 0.8


def test_words_are_heard(items):
    folder, items = items
    transcriber = WordCtcTranscriber()
    said = heard = 0
    for item in items:
        words = StructuredCaption.parse(item["prompt"]).lines[0].text.split()
        audio = read_audio(folder / item["subjects"][0]["voices"][0])
        found = [word.text for word in transcriber.transcribe(audio)]
        said, heard = said + len(words), heard + sum(word in found for word in words)
    assert said >= 10 and heard / said >= 0.7  # chance: about 0.05 per word said


def test_voices_find_themselves_among_others(items):
    folder, items = items
    embedder = VoiceIdentityEmbedder()
    pairs = []
    for item in items:
        reference = folder / "references" / item["subjects"][0]["identity"] / "voice_0.wav"
        if reference.exists():
            recording = folder / item["subjects"][0]["voices"][0]
            pairs.append([embedder.embed(read_audio(path)) for path in (recording, reference)])
    likeness = torch.from_numpy(np.array(pairs))
    likeness = likeness[:, 0] @ likeness[:, 1].T
    assert len(pairs) >= 4
    assert float(likeness.diag().mean()) > float(likeness.mean()) + 0.3
