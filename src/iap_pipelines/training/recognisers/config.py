"""Settings of the recognisers' training. Unknown keys fail; `training/configs/recognisers.yaml` says the same."""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from iap_pipelines.training.config import Probability, StrictModel


class MaterialSettings(StrictModel):
    """What is drawn and spoken once, before training. Nobody of the validation or test split is in it."""

    num_people: PositiveInt
    """People drawn anew who live in no world."""
    pictures_per_person: Annotated[int, Field(ge=2)] = 4
    """Pictures of each, alone or in company."""
    num_clips: PositiveInt
    """Clips of a world of as many other people."""
    num_utterances: PositiveInt
    """Utterances of the voices of the world's training split."""
    coded_share: Probability = 0.4
    """Share of the pictures and utterances that have gone through the generator's codecs; of clips, all do too."""
    latent_noise: Annotated[float, Field(ge=0)] = 0.3
    """Most noise added to the codecs' latents, in units of their deviation: generated latents are not perfect."""


class OptimizationSettings(StrictModel):
    """How one recogniser learns (AdamW, warm-up over a tenth, then half a cosine)."""

    steps: PositiveInt
    """Optimizer steps."""
    batch_size: PositiveInt
    """Samples per step; of identities, two samples each."""
    learning_rate: PositiveFloat = 2e-3
    """Highest."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """On everything."""


class RecogniserConfig(StrictModel):
    """The four recognisers."""

    world: str
    """Folder written by `iap synthesize`, of which the voices of the training split are used."""
    voices: str | None = None
    """The world's voice bank; `voices` in its folder if not given."""
    codecs: str
    """Folder with `vae`, `audio_vae` and `vocoder`."""
    output: str
    """Folder of the material, the four models and their losses."""
    seed: NonNegativeInt = 0
    """Of material, weights and batches."""
    material: MaterialSettings
    """What is learned from."""
    face: OptimizationSettings
    """Faces to identities."""
    mouth: OptimizationSettings
    """Faces to the opening of the mouth."""
    voice: OptimizationSettings
    """Voices to identities."""
    words: OptimizationSettings
    """Sound to words."""


def load_recogniser_config(path: Path) -> RecogniserConfig:
    """Read a YAML file; fails for an unknown key or a value out of range."""
    return RecogniserConfig.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
