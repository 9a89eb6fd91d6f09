"""From a folder of clips to losses: latents of tiny codecs, two steps of a tiny model."""

import json
from pathlib import Path

from iap_pipelines.data.encoding import PrecomputeSettings, precompute_latents
from iap_pipelines.training.config import TrainingConfig
from iap_pipelines.training.trainer import Trainer
from tests.pipelines.tiny_components import tiny_components
from tests.training.conftest import TRANSFORMER


def train_on(folder: Path, work: Path) -> list[dict]:
    """Precompute and train. Returns the lines of the metrics, one per step."""
    parts = tiny_components()
    for name in ("vae", "audio_vae"):
        parts[name].save_pretrained(work / "codecs" / name)
    settings = PrecomputeSettings(codecs=str(work / "codecs"), frames_per_clip=2)
    precompute_latents(folder, work / "latents", settings)
    values = {
        "output": str(work / "run"),
        "seed": 3,
        "model": {
            "type": "new",
            "transformer": TRANSFORMER,
            "text_encoder": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2},
        },
        "stage": {"target": "clips", "trainable": ["video", "audio", "identity", "text_encoder"]},
        "data": {
            "folder": str(folder),
            "latents": str(work / "latents"),
            "num_views": [1, 2],
            "voice_latents": [2, 6],
            "caption_length": 40,
        },
        "flow": {"sigmas": {"type": "logit_normal", "shift": 2.0}, "num_draws": 1},
        "optimization": {"steps": 2, "batch_size": 2, "warmup_steps": 1},
        "run": {"log_every": 1, "checkpoint_every": 2},
    }
    Trainer(TrainingConfig.model_validate(values)).run()
    return [json.loads(line) for line in (work / "run" / "metrics.jsonl").read_text().splitlines()]
