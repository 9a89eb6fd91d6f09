"""Every file of the shared media as a face and as a voice, through the command line and the embedded checkpoint."""

import csv
from pathlib import Path

import pytest

from iap_pipelines.cli import main
from iap_pipelines.media import MediaError, read_audio, read_image, read_video


SHARED = Path(__file__).resolve().parents[2] / "shared" / "media"
FILES = sorted(SHARED.glob("*/*")) if SHARED.is_dir() else []
# Recordings that can be read and still hold no voice.
NO_VOICE = {"silent.mp4", "short_2frames.mp4"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FILES, reason="needs ../shared/media, which is not part of the repository"),
]


def is_readable(path: Path, kind: str) -> bool:
    try:
        read_image(path) if kind == "face" else read_audio(path)
    except MediaError:
        return False
    return kind == "face" or path.name not in NO_VOICE


@pytest.mark.parametrize("kind", ["face", "voice"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_clip_or_one_line(path, kind, tmp_path, capsys):
    output = tmp_path / "clip.mp4"
    arguments = ["--prompt", '<S1> says: "red".', "--subject", f"{kind}={path}", "--output", str(output)]
    status = main(["generate", *arguments, "--steps", "1", "--quiet"])
    captured = capsys.readouterr()
    if is_readable(path, kind):
        assert status == 0
        video, audio = read_video(output)
        assert video.num_frames == 25 and audio is not None
    else:
        assert status == 2
        lines = [line for line in captured.err.splitlines() if line.startswith("iap generate:")]
        assert len(lines) == 1 and path.name in lines[0]
        assert list(tmp_path.iterdir()) == []


def test_references_meant_to_work_do():
    with open(SHARED / "manifest.csv") as file:
        wanted = [row for row in csv.DictReader(file) if row["kind"] in ("image", "voice")]
    for row in wanted:
        assert is_readable(SHARED / row["file"], "face" if row["kind"] == "image" else "voice"), row["file"]
