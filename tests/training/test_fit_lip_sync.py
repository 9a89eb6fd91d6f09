"""The door that fits the lip-sync model, on a second of two shared clips."""

import subprocess
import sys

import pytest
from safetensors.numpy import load_file

from iap_pipelines.perception.lip_sync_linear import LinearLipSync, LinearWeights


@pytest.mark.slow
def test_a_table_of_clips_becomes_weights(tmp_path, repository, shared):
    media = shared / "media" / "video"
    if not media.is_dir():
        pytest.skip("needs ../shared/media, not part of the repository")
    table = tmp_path / "clips.csv"
    table.write_text(f"file,person\n{media / 'e.mp4'},e\n{media / 'f.mp4'},f\n{media / 'no_person_cat.mp4'},cat\n")
    output = tmp_path / "weights.safetensors"
    command = [
        sys.executable,
        repository / "training/fit_lip_sync.py",
        table,
        "--output",
        output,
        "--max-seconds",
        "2",
    ]
    printed = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    assert "2 clips, 2 people" in printed
    assert "no_person_cat.mp4: no face" in printed
    fitted = LinearWeights(**load_file(output))
    assert (fitted.weights.shape, fitted.components.shape) == ((234, 9), (6, 192))
    assert LinearLipSync(fitted).revision != LinearLipSync().revision
