"""Writing a finished codec."""

import copy
from pathlib import Path

import torch
from diffusers import ModelMixin


def save_both_precisions(model: ModelMixin, folder: Path) -> None:
    """
    Write a model in float32 and, as the variant `fp16`, in float16.

    Args:
        model: left as it is.
        folder: for `save_pretrained`; files of the same names are replaced.
    """
    model.save_pretrained(folder)
    copy.deepcopy(model).to(torch.float16).save_pretrained(folder, variant="fp16")
