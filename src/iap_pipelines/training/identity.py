"""From clips of one person to an adapter: the run behind `iap train-identity`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iap_pipelines.training.config import TrainingConfig, with_overrides
from iap_pipelines.training.personal_clips import PersonalClips


def identity_config(
    clips: PersonalClips, base: str, name: str, output: Path, overrides: Mapping[str, Any] | None = None
) -> TrainingConfig:
    """
    The run that learns an adapter from what [`prepare_personal_clips`] has written.

    Args:
        clips: what was written.
        base: `from_pretrained` folder or Hub name, the same that the clips were encoded with.
        name: of the person and of the adapter.
        output: folder of the clips and of the run.
        overrides: values by dotted key that replace those chosen here.

    Raises:
        ValueError: for an unknown key or a value out of range.
    """
    overrides = overrides or {}
    # Guidance compares with a prediction without references. An adapter of references is missing there, so what it
    # adds is multiplied; one that acts on everything cancels out.
    is_guided = overrides.get("lora.binding", "references") == "references"
    values = {
        "output": str(output),
        "model": {"type": "pretrained", "folder": base},
        "stage": {"target": "clips", "trainable": ["lora"]},
        "lora": {"name": name, "audio_weight": 1 / max(1.0, clips.voice_guidance_scale) if is_guided else 1.0},
        "data": {
            "folder": str(output / "data"),
            "latents": str(output / "latents"),
            "num_views": [1, min(clips.num_faces, 4)],
            "voice_latents": [max(1, clips.max_voice_latents // 2), clips.max_voice_latents],
            "caption_length": clips.caption_length,
            # The adapter acts on references, so a sample without any teaches it nothing.
            "dropout": {"caption": 0.1, "identity": 0.0, "face": 0.1, "voice": 0.1, "appearance": 0.5},
        },
        "flow": {"sigmas": {"type": "logit_normal", "shift": 2.0}, "independent_times": 0.2, "num_draws": 2},
        "optimization": {
            "steps": 150,
            "batch_size": min(clips.num_clips, 4),
            "learning_rate": 1e-3,
            "schedule": "cosine",
            "warmup_steps": 10,
            "ema_decay": 0.98,
        },
        "run": {"log_every": 10, "checkpoint_every": 25, "keep_checkpoints": 1},
        "validation": {"every": 50, "num_samples": min(clips.num_held_out, 4)} if clips.num_held_out else None,
    }
    return TrainingConfig.model_validate(with_overrides(values, overrides))
