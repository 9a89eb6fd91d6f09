"""What TensorBoard and trackio get besides the metrics."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.tracking import GeneralTracker, TensorBoardTracker
from PIL import Image


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float | bool]:
    """
    Nested settings by dotted key, in types that trackers take.

    >>> flat_settings({"seed": 1, "data": {"split": "train", "num_views": [1, 2]}})
    {'seed': 1, 'data.split': 'train', 'data.num_views': '[1, 2]'}
    """
    flat = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flat_settings(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str | int | float | bool) else str(value)
    return flat


def show_pictures(trackers: Sequence[GeneralTracker], folder: Path, step: int) -> None:
    """Show the pictures of a validation in TensorBoard; accelerate sends trackio none."""
    for tracker in trackers:
        if isinstance(tracker, TensorBoardTracker):
            for path in sorted(folder.glob("*.png")):
                picture = np.array(Image.open(path).convert("RGB"))[None]
                tracker.log_images({f"validation/{path.stem}": picture}, step=step, dataformats="NHWC")
