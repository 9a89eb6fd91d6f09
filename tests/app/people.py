"""Two people in files, for a pipeline that has never seen anybody."""

import wave
from pathlib import Path

import numpy as np
from PIL import Image

from iap_pipelines.app.form import GenerationForm, PersonForm


def write_face(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(path)
    return path


def write_voice(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).integers(-16_000, 16_000, 8_000, dtype=np.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, len(samples), "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


def two_people(folder: Path, **options: object) -> GenerationForm:
    """Both were uploaded under the same file name, as recordings of a browser are."""
    ada, ben = folder / "1", folder / "2"
    return GenerationForm(
        people=(
            PersonForm(
                "woman",
                "left",
                (str(write_face(ada / "front.png", 1)), str(write_face(ada / "side.png", 2))),
                str(write_voice(ada / "audio.wav", 1)),
                face_scale=1.5,
            ),
            PersonForm("man with 'quotes'", "", (), str(write_voice(ben / "audio.wav", 2))),
        ),
        scene="room.",
        lines=((1, "red"), (2, ""), (2, 'it is "blue"'.replace('"', "“"))),
        sounds="quiet",
        seed=3,
        options={"num_inference_steps": 2, "num_frames": 5, "face_guidance_scale": 1.0, "negative_prompt": ""}
        | options,
    )
