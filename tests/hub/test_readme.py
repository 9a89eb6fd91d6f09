"""What the READMEs say about sharing, run as it stands there, against a Hub."""

import argparse
import re
import shlex
import shutil

import pytest

from iap_pipelines.assets import EMBEDDED_CHECKPOINT, example_subjects
from iap_pipelines.cli import main, parse_subject
from iap_pipelines.hub.remote_code import REMOTE_CODE_REVISION
from iap_pipelines.media import read_video
from tests.readme_blocks import collect_blocks, run_python


def commands(repository):
    text = (repository / "README.md").read_text(encoding="utf-8")
    block = re.search(r"## Make, share and reuse a person\n.*?```bash\n(.*?)```", text, re.DOTALL)[1]
    return [shlex.split(line) for line in block.replace("\\\n", " ").splitlines()]


def test_four_commands(hub, repository, tmp_path, monkeypatch, capsys):
    ada = example_subjects()[0]
    shutil.copyfile(ada.face, tmp_path / "ada.png")
    shutil.copyfile(ada.voice, tmp_path / "ada.wav")
    monkeypatch.chdir(tmp_path)
    login, *ours = commands(repository)
    assert login == ["hf", "auth", "login"] and len(ours) == 3  # the token of the loopback Hub is in the environment
    for words in ours:
        assert words[0] == "iap"
        options = ["--steps", "2", "--quiet"] if words[1] == "generate" else []
        assert main([*words[1:], *options]) == 0, capsys.readouterr().err
        if words[1] == "publish":
            shutil.rmtree("ada")  # what is generated comes from the Hub
    assert hub.model("your-name/ada").is_private
    video, audio = read_video("clip.mp4")
    assert video.num_frames == 25 and audio is not None


def test_pipelines_and_blocks(hub, repository, tmp_path, monkeypatch):
    """Every fenced block of the room's README, one after the other."""
    ada = example_subjects()[0]
    shutil.copyfile(ada.face, tmp_path / "ada.png")
    shutil.copyfile(ada.voice, tmp_path / "ada.wav")
    shutil.copytree(EMBEDDED_CHECKPOINT, tmp_path / "iap")
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for block in collect_blocks((repository / "src/iap_pipelines/hub/README.md").read_text(encoding="utf-8")):
        if block.language == "python":
            run_python([block], namespace)
        else:
            assert all(main(words) == 0 for _, *words in block.commands)
    assert {"main", REMOTE_CODE_REVISION} <= set(hub.model("your-name/iap").branches)
    assert type(namespace["pipe"]).__module__.startswith("diffusers_modules.") and namespace["ada"].has_voice
    assert namespace["frames"].shape == (1, 25, 96, 96, 3)


def test_an_identity_brings_everything_but_scales(capsys):
    choice = parse_subject("identity=org/ada,face_scale=1.5")
    assert (choice.person, choice.scales) == ("org/ada", {"face_scale": 1.5})
    for text in ("identity=org/ada,face=a.png", "identity=org/ada,name=Ada", "identity=a,identity=b"):
        with pytest.raises(argparse.ArgumentTypeError, match="identity"):
            parse_subject(text)
    assert main(["generate", "--prompt", "<S1>", "--subject", "identity=./nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_the_command_line_says_what_is_missing(hub, repository, tmp_path, monkeypatch, capsys):
    shutil.copyfile(example_subjects()[0].face, tmp_path / "ada.png")
    monkeypatch.chdir(tmp_path)
    assert main(["identity", "ada", "--subject", "face=ada.png"]) == 0
    assert main(["publish", "ada", "org/ada"]) == 2
    assert "--consent" in capsys.readouterr().err
    for options, reason in (
        (["--consent-date", "2026-11-25"], "--consent and --consent-date belong together"),
        (["--consent", "I, Ada, agree to everything."], "--consent and --consent-date belong together"),
        (["--expires", "2026-11-25"], "need --consent"),
        (["--consent", "I, Ada, agree to everything.", "--consent-date", "soon"], "given_on"),
    ):
        assert main(["identity", "ada", "--subject", "face=ada.png", *options]) == 2
        assert reason in capsys.readouterr().err
