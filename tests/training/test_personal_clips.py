"""From a folder of clips of one person to an adapter that the pipeline takes, through the command line."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from iap_pipelines import IAPPipeline, Subject, export_to_av
from iap_pipelines.cli import main
from iap_pipelines.data.clip_folder import read_clips, read_identities
from iap_pipelines.pipelines.fingerprint import LEARNED_ON, model_fingerprint
from iap_pipelines.training.config import load_training_config
from iap_pipelines.training.identity import identity_config
from iap_pipelines.training.personal_clips import PersonalClips, find_clips, fit_frames, prepare_personal_clips
from tests.pipelines.tiny_components import tiny_pipeline
from tests.pipelines.tiny_people import face, generate


CAPTION = 'Scene: room. <S1>: center, woman. <S1> says: "hi".'


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    tiny_pipeline(num_layers=2).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Five clips as a phone might make them, one of them cut off, one with two people in its caption."""
    folder = tmp_path_factory.mktemp("clips")
    generator = np.random.default_rng(0)
    (folder / "faces").mkdir()
    (folder / "voices").mkdir()
    for index in range(5):
        frames = generator.random((20, 48, 80, 3), dtype=np.float32)
        sound = torch.from_numpy(generator.uniform(-0.5, 0.5, (1, 16_000)).astype(np.float32))
        export_to_av(frames, sound, folder / f"{index}.mp4", frame_rate=25, sampling_rate=16_000)
        (folder / f"{index}.txt").write_text(CAPTION + "\n")
    (folder / "3.mp4").write_bytes((folder / "3.mp4").read_bytes()[:300])
    (folder / "4.txt").write_text("Scene: room. <S1>: left, woman. <S2>: right, man.")
    for index in range(2):
        face(index).save(folder / "faces" / f"{index}.png")
    (folder / "voices" / "a.mp3").write_bytes(b"no sound")
    export_to_av(frames, sound, folder / "voice.mp4", frame_rate=25, sampling_rate=16_000)
    (folder / "voice.mp4").rename(folder / "voices" / "b.m4a")
    return folder


def test_clips_become_a_folder_to_train_on(base, clips, tmp_path):
    report = prepare_personal_clips(find_clips(clips), base, "ada", tmp_path)
    assert (report.num_clips, report.num_held_out, report.num_faces) == (3, 0, 2)
    assert sorted(path.name for path, _ in report.rejected) == ["3.mp4", "4.mp4", "a.mp3"]
    rejected = [json.loads(line) for line in (tmp_path / "data" / "rejected.jsonl").read_text().splitlines()]
    assert all(line["reason"] for line in rejected) and len(rejected) == 3
    for clip in read_clips(tmp_path / "data"):
        assert (clip.height, clip.width, clip.num_frames, clip.frame_rate) == (32, 64, 5, 12.5)
        assert clip.path.exists()


def test_origins_are_kept_and_references_that_cannot_be_read_are_left_out(base, clips, tmp_path):
    world, output = tmp_path / "world", tmp_path / "output"
    world.mkdir()
    (world / "broken.png").write_bytes(b"no picture")
    size = {"height": 48, "width": 80, "num_frames": 20, "frame_rate": 25.0}
    lines = [
        {"clip_id": name, "file": str(clips / f"{name}.mp4"), "split": "train", "cut_from": f"film-{name}"}
        | {"subjects": [{"identity": "ada"}], "caption": CAPTION}
        | size
        for name in "0123"
    ]
    person = {
        "identity": "ada",
        "split": "train",
        "faces": ["broken.png", *(str(clips / "faces" / f"{index}.png") for index in range(2))],
        "face_clips": ["film-9", "film-0", "film-1"],
        "voices": [str(clips / "voices" / name) for name in ("a.mp3", "b.m4a")],
        "voice_clips": ["film-9", "film-2"],
    }
    (world / "clips.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (world / "identities.jsonl").write_text(json.dumps(person) + "\n")
    prepare_personal_clips(find_clips(world), base, "ada", output)
    assert [clip.cut_from for clip in read_clips(output / "data")] == ["film-0", "film-1", "film-2"]
    ada = read_identities(output / "data")["ada"]
    assert ([path.name for path in ada.faces], ada.face_clips) == (["0.png", "1.png"], ("film-0", "film-1"))
    assert ([path.name for path in ada.voices], ada.voice_clips) == (["b.m4a"], ("film-2",))


def test_an_adapter_from_the_command_line(base, clips, tmp_path, capsys, caplog):
    caplog.set_level("INFO", logger="iap_pipelines")
    output = tmp_path / "ada"
    arguments = ["train-identity", "--clips", str(clips), "--base", base, "--name", "ada", "--output", str(output)]
    assert main([*arguments, "--steps", "3", "--set", "lora.rank=2", "--set", "optimization.warmup_steps=0"]) == 0
    assert Path(capsys.readouterr().out.splitlines()[-1]) == output / "lora"
    assert re.search(r"memory per process: [\d.,]+ MB and activations: weights", caplog.text)
    assert re.search(r"most memory held: [\d.,]+ MB", caplog.text)
    steps = [json.loads(line)["step"] for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert main([*arguments, "--steps", "3", "--set", "lora.rank=2"]) == 0  # it is through, and stays as it is
    assert steps == [json.loads(line)["step"] for line in (output / "metrics.jsonl").read_text().splitlines()]
    pipe = IAPPipeline.from_pretrained(base)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_lora_weights(output / "lora", adapter_name="ada")
    assert pipe.transformer.peft_config["ada"].r == 2
    assert pipe.transformer.peft_config["ada"].auto_mapping[LEARNED_ON] == model_fingerprint(pipe.transformer)
    ada = Subject(face=Image.open(clips / "faces" / "0.png"))
    plain, adapted = (generate(pipe, subjects=[Subject(ada.face, adapter=adapter)]) for adapter in (None, "ada"))
    assert not torch.equal(plain.video, adapted.video)


def test_the_config_of_the_repository_says_the_same(repository):
    written = load_training_config(repository / "training" / "configs" / "lora.yaml")
    clips = PersonalClips(
        num_clips=6,
        num_held_out=1,
        num_faces=2,
        max_voice_latents=62,
        caption_length=80,
        voice_guidance_scale=2.5,
        rejected=(),
    )
    chosen = identity_config(clips, written.model.folder, "ada", Path("runs/ada"), {"validation.num_samples": 2})
    assert chosen == written
    # Guidance multiplies what an adapter of references adds, and only that.
    for changes, weight in (({"lora.binding": "everything"}, 1.0), ({"lora.audio_weight": 0.7}, 0.7)):
        assert identity_config(clips, "base", "ada", Path("ada"), changes).lora.audio_weight == weight
    unguided = replace(clips, voice_guidance_scale=1.0)
    assert identity_config(unguided, "base", "ada", Path("ada")).lora.audio_weight == 1.0


def test_a_person_of_a_world(clip_folder):
    found = find_clips(clip_folder, "id-1")
    assert len(found.clips) == 2 and len(found.faces) == len(found.voices) == 1
    with pytest.raises(ValueError, match="`identity` must say whose clips"):
        find_clips(clip_folder)
    with pytest.raises(ValueError, match="'nobody' has no clips alone"):
        find_clips(clip_folder, "nobody")


def test_what_is_missing_is_said(clips, tmp_path, base):
    with pytest.raises(ValueError, match=r"has 0 \*.mp4.* 0 faces and 0 voices"):
        find_clips(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match="1 of them without a caption"):
        find_clips(tmp_path)
    with pytest.raises(ValueError, match="no identities.jsonl and so one person"):
        find_clips(clips, "ada")
    (tmp_path / "a.txt").write_text(CAPTION)
    for name in ("faces", "voices"):
        (tmp_path / name).symlink_to(clips / name)
    with pytest.raises(ValueError, match="nothing to learn from: 0 clips are usable"):
        prepare_personal_clips(find_clips(tmp_path), base, "ada", tmp_path / "out")


@pytest.mark.parametrize("size", [(32, 64), (48, 80), (20, 100), (31, 63)])
def test_frames_cover_what_is_asked_for(size):
    frames = torch.full((2, *size, 3), 7, dtype=torch.uint8)
    fitted = fit_frames(frames, 32, 64)
    assert fitted.shape == (2, 32, 64, 3) and (fitted == 7).all()
