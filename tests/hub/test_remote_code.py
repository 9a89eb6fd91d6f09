"""The second form of a repository: plain diffusers loads it with the trust flag, and nothing of ours is installed."""

import ast
import json
import os
import re
import subprocess

import pytest

from iap_pipelines.hub.publishing import folder_files, publish_folder
from iap_pipelines.hub.remote_code import REMOTE_CODE_REVISION, code_files, remote_code_files
from tests.hub.clean_python import python_without_us
from tests.hub.model_folder import save_with_card
from tests.pipelines.tiny_components import tiny_pipeline
from tests.pipelines.tiny_people import face, generate


LOAD_WITHOUT_THE_PACKAGE = """
import importlib.metadata, importlib.util, sys

assert importlib.util.find_spec("iap_pipelines") is None
assert not [found for found in importlib.metadata.distributions() if found.name == "iap-pipelines"]
import torch
from diffusers import DiffusionPipeline
from PIL import Image

source, revision, face, output = sys.argv[1:]
try:
    DiffusionPipeline.from_pretrained(source, revision=revision)
except ValueError as error:
    assert "trust_remote_code=True" in str(error), error
else:
    raise AssertionError("code of a repository ran without being trusted")
pipe = DiffusionPipeline.from_pretrained(source, revision=revision, trust_remote_code=True)
pipe.set_progress_bar_config(disable=True)
video, audio = pipe(
    "a. <S1> hi", [pipe.Subject(face=Image.open(face))], num_inference_steps=1, output_type="latent",
    generator=torch.Generator().manual_seed(0), return_dict=False,
)
try:
    pipe.Subject.from_pretrained("org/ada")
except ImportError as error:
    assert "pip install iap-pipelines" in str(error)
else:
    raise AssertionError("identity cards need the package")
assert not [name for name in sys.modules if name.split(".")[0] == "iap_pipelines"]
torch.save({"video": video, "audio": audio}, output)
"""


def test_the_code_is_whole_and_asks_for_nothing_of_ours():
    files = code_files()
    assert {"pipeline.py", "iap_types.py", "transformer/transformer_iap.py"} <= set(files)
    for name, text in files.items():
        for node in ast.walk(ast.parse(text)):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                if node.level == 1:
                    assert f"{node.module.replace('.', '/')}.py" in files, (name, node.module)
                modules = [node.module] if node.level == 0 else []
            assert not [module for module in modules if module.split(".")[0] == "iap_pipelines"], name
    # diffusers copies only what pipeline.py itself imports, and must not follow imports any further.
    for name in files.keys() - {"pipeline.py"}:
        assert f"from .{name.removesuffix('.py').replace('/', '.')} import" in files["pipeline.py"]
        assert not re.search(r"^\s*from\s+\.(\S+)\s+import", files[name], re.MULTILINE)


def test_weights_go_along_as_they_are(tmp_path):
    folder = save_with_card(tiny_pipeline(), tmp_path / "iap")
    plain = folder_files(folder)
    files = remote_code_files(plain)
    index = json.loads(files["model_index.json"])
    assert index["_class_name"] == ["pipeline", "IAPPipeline"]
    assert index["transformer"] == ["transformer_iap", "IAPTransformer3DModel"]
    assert b"diffusers" in files["requirements.txt"] and b"gradio" not in files["requirements.txt"]
    unchanged = plain.keys() - {"model_index.json"}
    assert all(files[name] == plain[name] for name in unchanged)


def test_other_pipelines_are_refused(tmp_path):
    (tmp_path / "model_index.json").write_text(
        '{"_class_name": "WanPipeline", "vae": ["diffusers", "AutoencoderKLWan"]}'
    )
    with pytest.raises(ValueError, match="`remote_code` is for an `IAPPipeline` as it was saved"):
        remote_code_files(folder_files(tmp_path))


def test_plain_diffusers_makes_the_same_clip(hub, tmp_path):
    """From the Hub, in an environment in which the package is not installed."""
    import torch

    pipe = tiny_pipeline()
    publish_folder(save_with_card(pipe, tmp_path / "iap"), "org/iap", remote_code=True)
    assert not hub.model("org/iap").files() and "pipeline.py" in hub.model("org/iap").files(REMOTE_CODE_REVISION)
    face(1).save(tmp_path / "face.png")
    arguments = ["org/iap", REMOTE_CODE_REVISION, str(tmp_path / "face.png"), str(tmp_path / "clip.pt")]
    environment = os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    process = subprocess.run(
        [python_without_us(tmp_path / "venv"), "-I", "-c", LOAD_WITHOUT_THE_PACKAGE, *arguments],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    theirs = torch.load(tmp_path / "clip.pt", weights_only=True)
    from iap_pipelines import Subject

    ours = generate(pipe, "a. <S1> hi", [Subject(face=tmp_path / "face.png")])
    assert torch.equal(ours.video, theirs["video"]) and torch.equal(ours.audio, theirs["audio"])
