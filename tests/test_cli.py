"""The command line, in this process: a tiny checkpoint of the true classes, real files, hostile files."""

import hashlib
import json
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iap_pipelines.cli import main, parse_subject
from iap_pipelines.media import read_video
from tests.pipelines.tiny_components import tiny_pipeline
from tests.provenance.credentials import issue


PROMPT = 'Scene: room. <S1>: left, woman. <S1> says: "red".'


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def face(tmp_path):
    path = tmp_path / "face, with comma.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def voice(tmp_path):
    path = tmp_path / "voice.wav"
    samples = np.random.default_rng(0).integers(-16_000, 16_000, 16_000, dtype=np.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, len(samples), "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


def generate(checkpoint: Path, subject: str, output: Path, *options: str) -> int:
    return main(
        ["generate", "--model", str(checkpoint), "--subject", subject, "--prompt", PROMPT]
        + ["--output", str(output), "--quiet", *options]
    )


def test_parse_subject_keeps_commas_and_collects_views():
    subject = parse_subject("face=a,b.png,face=c.png,voice=v.wav,name=Ada,face_scale=1.5")
    assert (subject.face, subject.voice, subject.name, subject.face_scale) == (
        ("a,b.png", "c.png"),
        "v.wav",
        "Ada",
        1.5,
    )


@pytest.mark.parametrize("text", ["fase=a.png", "voice=a.wav,voice=b.wav", "face_scale=much", "face=", "a.png"])
def test_parse_subject_refuses(text, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["generate", "--prompt", PROMPT, "--subject", text])
    assert stop.value.code == 2
    assert text.partition("=")[0] in capsys.readouterr().err


def test_generate_writes_a_clip_and_prints_its_path(checkpoint, face, voice, tmp_path, capsys):
    output = tmp_path / "clip.mp4"
    assert generate(checkpoint, f"face={face},voice={voice}", output) == 0
    assert capsys.readouterr().out.strip() == str(output)
    video, audio = read_video(output)
    assert (video.num_frames, video.height, video.width, video.frame_rate) == (5, 32, 64, 12.5)
    assert audio is not None


def test_same_seed_same_bytes(checkpoint, face, voice, tmp_path):
    clips = [tmp_path / f"{name}.mp4" for name in "abc"]
    for clip, seed in zip(clips, (1, 1, 2), strict=True):
        generate(checkpoint, f"face={face},voice={voice}", clip, "--seed", str(seed), "--no-provenance")
    first, same, other = (clip.read_bytes() for clip in clips)
    assert first == same != other


def test_frame_rate_of_the_call_is_the_frame_rate_of_the_file(checkpoint, face, tmp_path):
    output = tmp_path / "clip.mp4"
    assert generate(checkpoint, f"face={face}", output, "--frame-rate", "25") == 0
    assert read_video(output)[0].frame_rate == 25


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--height", "33"], "`height` must be a positive multiple of 32"),
        (["--num-frames", "6"], "`num_frames` must be one more than a multiple of 4"),
        (["--output", "clip.avi"], ".mp4"),
        (["--output", "no/such/folder/clip.mp4"], "`--output` must name a file in a folder that exists"),
        (["--model", "does/not/exist"], "does/not/exist"),
    ],
)
def test_wrong_options_give_one_line_and_no_file(checkpoint, face, tmp_path, capsys, options, reason):
    output = tmp_path / "clip.mp4"
    assert generate(checkpoint, f"face={face}", output, *options) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert reason in error
    assert not output.exists()


def test_bad_files_are_named_in_one_line(checkpoint, tmp_path, capsys):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture")
    output = tmp_path / "clip.mp4"
    for subject in (f"face={broken}", f"voice={broken}", "face=missing.png"):
        assert generate(checkpoint, subject, output) == 2
        error = capsys.readouterr().err.strip().splitlines()
        assert len([line for line in error if line.startswith("iap generate:")]) == 1
        assert subject.partition("=")[2] in error[-1]
    assert list(tmp_path.glob("*.mp4*")) == []


def test_convert_names_the_file_it_cannot_read(tmp_path, capsys):
    components = ("transformer", "vae", "text-encoder", "tokenizer", "audio-vae", "vocoder")
    sources = [argument for name in components for argument in (f"--{name}", str(tmp_path / f"no-{name}"))]
    assert main(["convert", *sources, "--output", str(tmp_path / "out"), "--dry-run"]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and "no-transformer" in error[0]
    assert not (tmp_path / "out").exists()


def test_synthesize_writes_a_world(tmp_path, capsys):
    arguments = ["--identities", "2", "--clips-per-identity", "1", "--voices", "formant", "--height", "48"]
    assert main(["synthesize", str(tmp_path / "world"), *arguments]) == 0
    clips = Path(capsys.readouterr().out.strip())
    assert clips == tmp_path / "world" / "clips.jsonl"
    assert len(clips.read_text().splitlines()) == 2


def test_synthesize_asks_for_kokoros_voices(tmp_path, capsys):
    assert main(["synthesize", str(tmp_path / "world"), "--identities", "2", "--clips-per-identity", "1"]) == 2
    assert "kokoro" in capsys.readouterr().err.splitlines()[-1]


def test_a_clip_says_who_made_it(checkpoint, face, voice, tmp_path, capsys):
    output = tmp_path / "clip.mp4"
    generate(checkpoint, f"face={face},voice={voice},name=Ada", output)
    assert main(["inspect", str(output), "--json"]) == 0
    report = json.loads(capsys.readouterr().out.split("\n", 1)[1])
    assert (report["state"], report["is_ai_generated"]) == ("intact", True)
    kinds = [(entry["subject"], entry["kind"]) for entry in report["provenance"]["references"]]
    assert kinds == [(1, "face"), (1, "voice")]
    assert report["provenance"]["references"][0]["sha256"] == hashlib.sha256(face.read_bytes()).hexdigest()


def test_inspect_finds_edits_and_missing_manifests(checkpoint, face, tmp_path, capsys):
    signed, plain = tmp_path / "signed.mp4", tmp_path / "plain.mp4"
    generate(checkpoint, f"face={face}", signed)
    generate(checkpoint, f"face={face}", plain, "--no-provenance")
    signed.write_bytes(signed.read_bytes()[:-1] + b"?")
    capsys.readouterr()
    for clip, words in ((signed, "EDITED"), (plain, "never signed")):
        assert main(["inspect", str(clip)]) == 1
        assert words in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "none.mp4")]) == 2
    assert "none.mp4" in capsys.readouterr().err


def test_clips_are_signed_with_the_key_that_is_given(checkpoint, face, tmp_path, capsys):
    files = issue(tmp_path / "keys")
    output = tmp_path / "clip.mp4"
    key = ("--signing-certificates", str(files.certificates), "--signing-key", str(files.private_key))
    assert generate(checkpoint, f"face={face}", output, *key) == 0
    assert main(["inspect", str(output), "--trust-anchors", str(files.root)]) == 0
    assert "Example Studio (trusted)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--signing-key", "key.pem"], "--signing-certificates"),
        (["--signing-key", "key.pem", "--signing-certificates", "no.pem"], "no.pem"),
        (["--signing-key", "k", "--signing-certificates", "c", "--no-provenance"], "have no effect"),
        (["--signing-certificates", "c", "--no-provenance"], "have no effect"),
    ],
)
def test_keys_are_looked_at_before_anything_is_computed(face, tmp_path, capsys, options, reason):
    assert generate(tmp_path / "no checkpoint", f"face={face}", tmp_path / "clip.mp4", *options) == 2
    assert reason in capsys.readouterr().err


def test_the_demo_brings_its_own_people(face, capsys):
    assert main(["generate", "--demo", "--subject", f"face={face}"]) == 2
    assert "--subject" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["generate", "--demo", "--prompt", PROMPT])


def test_the_page_names_its_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    for module in ("iap_pipelines.app.page", "iap_pipelines.app.layout"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    assert main(["demo", "--max-steps", "0"]) == 2
    assert "pip install 'iap-pipelines[app]'" in capsys.readouterr().err
