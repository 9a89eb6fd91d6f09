"""What the README shows works: Python and commands run, section by section, and the files it links to exist.

A block is left out when an HTML comment says why, right before it: ``<!-- not executed: needs a GPU -->``. Commands
run as they stand there, where the files that they name lie ready; some are told to be brief (`BRIEF`).
"""

import re
import shutil
import subprocess
import sys
import wave
from importlib import metadata
from pathlib import Path

import pytest
import torch

from iap_pipelines.assets import EMBEDDED_CHECKPOINT, example_subjects
from iap_pipelines.cli import build_parser, main
from iap_pipelines.media import read_audio, read_video
from iap_pipelines.pipelines.pipeline_iap import IAPPipeline
from tests.hub.conftest import hub  # noqa: F401  (a fixture)
from tests.provenance.credentials import issue
from tests.readme_blocks import README, Block, collect_blocks, readme_blocks, run_python


pytestmark = pytest.mark.skipif(not README.is_file(), reason="there is no README.md")

BRIEF = {
    "generate": ["--steps", "2", "--quiet"],
    "train-identity": ["--steps", "2"],
    "evaluate --benchmark": ["--steps", "2"],
}
"""Added to commands that begin so."""
ELSEWHERE = {
    "Make, share and reuse a person": "tests/hub/test_readme.py",
    "A page to try it": "tests/app/test_browser.py (`iap demo`)",
}
"""Sections whose commands another test runs."""
NO_COMMANDS = ("make", "pip", "hf")
"""Programs that change this environment or ask the network; that their targets and extras exist is tested."""


@pytest.fixture
def ready(tmp_path, monkeypatch):
    """An empty working folder with the pictures and recordings that the README names."""
    for subject in example_subjects():
        shutil.copyfile(subject.face, tmp_path / f"{subject.name.lower()}.png")
        write_wav(read_audio(subject.voice), tmp_path / f"{subject.name.lower()}.wav")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_wav(voice, path: Path) -> None:
    samples = (voice.to_mono().samples[0] * 32767).round().to(torch.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, voice.sampling_rate, len(samples), "NONE", ""))
        file.writeframes(samples.numpy().tobytes())


def write_world(folder: Path, *options: str) -> Path:
    """A few drawn people with voices that need nothing."""
    arguments = ["--voices", "formant", "--identities", "4", "--clips-per-identity", "6", *options]
    assert main(["synthesize", str(folder), *arguments]) == 0
    return folder


def run_commands(section: str, repository: Path, monkeypatch) -> None:
    """Run the commands of a section, each of which must succeed."""
    ran = 0
    for block in readme_blocks("bash"):
        for program, *words in block.commands if block.section == section else ():
            ran += program not in NO_COMMANDS
            if program == "iap":
                brief = [option for kind in BRIEF if " ".join(words).startswith(kind) for option in BRIEF[kind]]
                assert main([*words, *brief]) == 0, words
            elif program == "python":
                subprocess.run([sys.executable, str(repository / words[0]), *words[1:]], check=True)
            elif program == "export":
                for setting in words:
                    monkeypatch.setenv(*setting.split("=", maxsplit=1))
            else:
                assert program in NO_COMMANDS, program
    assert ran


def test_python_blocks_run(ready):
    """All but those on data, one after the other."""
    write_adapter(Path("runs/ada/lora"))
    run_python([block for block in readme_blocks("python") if block.section != "The dataset"], {"__name__": "readme"})


def write_adapter(folder: Path) -> None:
    """What `iap train-identity` leaves, before it has learned anything."""
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    transformer = IAPPipeline.from_pretrained(EMBEDDED_CHECKPOINT).transformer
    config = LoraConfig(r=1, target_modules=["attn1.to_k", "attn1.to_v"], auto_mapping={"binding": "references"})
    transformer.add_adapter(config, "ada")
    IAPPipeline.save_lora_weights(
        folder,
        get_peft_model_state_dict(transformer, adapter_name="ada"),
        transformer_lora_adapter_metadata=transformer.peft_config["ada"].to_dict(),
    )


def test_generate(ready, repository, monkeypatch):
    run_commands("Generate", repository, monkeypatch)
    assert read_video("clip.mp4")[0].num_frames == 25


def test_who_made_this_clip(ready, repository, monkeypatch, capsys):
    issue(ready)  # chain.pem and key.pem
    brief = BRIEF["generate"]
    assert main(["generate", "--demo", *brief]) == 0
    run_commands("Who made this clip", repository, monkeypatch)
    capsys.readouterr()
    # From now on clips are signed as the owner of that key.
    assert main(["generate", "--demo", *brief]) == 0 and main(["inspect", "clip.mp4"]) == 0
    assert "Example Studio" in capsys.readouterr().out


@pytest.mark.slow
def test_learn_a_person(ready, repository, monkeypatch):
    world = write_world(ready / "world")
    write_clips_of_one_person(world, ready / "clips" / "ada")
    run_commands("Learn a person", repository, monkeypatch)
    assert (ready / "runs/ada/lora/README.md").is_file() and (ready / "ada/pytorch_lora_weights.safetensors").is_file()
    namespace = {}
    exec("from iap_pipelines.assets import DEMO_PROMPT, EMBEDDED_CHECKPOINT, example_subjects", namespace)
    exec("from iap_pipelines import IAPPipeline, Subject\nben = example_subjects()[1]", namespace)
    run_python([block for block in readme_blocks("python") if block.section == "Learn a person"], namespace)
    assert namespace["output"].frames.shape[1] == 25


def write_clips_of_one_person(world: Path, folder: Path) -> None:
    """The layout that `iap train-identity` documents for clips of one's own."""
    from iap_pipelines.training.personal_clips import find_clips

    found = find_clips(world, "id-0000")
    for kind, paths in (("", [path for path, _ in found.clips]), ("faces", found.faces), ("voices", found.voices)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for path in paths:
            shutil.copy(path, folder / kind)
    for path, caption in found.clips:
        (folder / path.with_suffix(".txt").name).write_text(caption, encoding="utf-8")


@pytest.mark.slow
def test_curate(ready, repository, monkeypatch):
    world = write_world(ready / "world", "--clips-per-identity", "1", "--height", "258")
    shutil.copytree(world / "clips", ready / "videos")
    run_commands("Curate", repository, monkeypatch)
    assert (ready / "curated/report.html").is_file() and list((ready / "curated/tables").glob("*.parquet"))


def test_the_dataset(hub, ready, repository, monkeypatch):  # noqa: F811
    from tests.data.curated_folder import write_curated_folder

    write_curated_folder(ready / "curated")
    monkeypatch.setenv("PYTHONPATH", str(repository / "src"))
    run_commands("The dataset", repository, monkeypatch)
    assert hub.dataset("your-name/clips").is_private and (ready / "pieces/clips.jsonl").is_file()
    namespace = {}
    run_python([block for block in readme_blocks("python") if block.section == "The dataset"], namespace)
    assert next(iter(namespace["clips"].decode(False)))["num_subjects"] > 1


@pytest.mark.slow
def test_evaluate(ready, repository, monkeypatch):
    world = write_world(ready / "my_dataset", "--identities", "10")
    (ready / "clips").mkdir()
    shutil.copy(sorted((world / "clips").glob("*"))[0], ready / "clips" / "one.mp4")
    (ready / "references.csv").write_text("video,face,voice,text\none.mp4,ada.png,ada.wav,red apple\n")
    (ready / "path/or").mkdir(parents=True)
    (ready / "path/or/repository").symlink_to(EMBEDDED_CHECKPOINT)
    run_commands("Evaluate", repository, monkeypatch)
    assert (ready / "scores/index.html").is_file() and (ready / "my_benchmark/benchmark.yaml").is_file()


def test_every_section_with_commands_is_run():
    """Nothing can be added to the README that no test runs."""
    sections = {
        block.section for block in readme_blocks("bash") if any(w[0] not in NO_COMMANDS for w in block.commands)
    }
    source = Path(__file__).read_text(encoding="utf-8")
    run_here = {section for section in sections if f'run_commands("{section}"' in source}
    assert sections - run_here == set(ELSEWHERE)


def test_commands_parse():
    commands = [words[1:] for block in readme_blocks("bash") for words in block.commands if words[0] == "iap"]
    assert commands
    for words in commands:
        build_parser().parse_args(words)


def test_make_targets_and_extras_exist(repository):
    makefile = (repository / "Makefile").read_text()
    words = [words for block in readme_blocks("bash") for words in block.commands]
    targets = [target for program, target, *_ in words if program == "make"]
    extras = re.findall(r"iap-pipelines\[(\w+)\]", " ".join(word for entry in words for word in entry))
    assert targets and extras
    assert not [target for target in targets if not re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE)]
    assert set(extras) <= set(metadata.metadata("iap-pipelines").get_all("Provides-Extra"))


def test_links_to_files_lead_somewhere(repository):
    targets = re.findall(r"\]\(([^)#\s]+)", README.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (repository / target).exists()]
    assert not missing


def test_the_collector():
    text = "\n".join(
        ["# One", "```python", "a = 1", "```", "text", "", "<!-- not executed: why -->", "", "```python", "b", "```"]
        + ["## Two", "```bash", "iap x \\", "  y # z", "```", "<!-- not executed: -->", "```python", "# c", "```"]
    )
    assert collect_blocks(text) == [
        Block("One", "python", "a = 1", 3),
        Block("Two", "bash", "iap x \\\n  y # z", 14),
        Block("Two", "python", "# c", 19),
    ]
    assert collect_blocks(text)[1].commands == [["iap", "x", "y"]]
