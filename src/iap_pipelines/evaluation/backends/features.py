"""Pictures, clips, sound and captions to vectors, with models of the Hub through transformers.

`model` is a Hub id or a folder, `revision` a commit, tag or branch. Letters: F frames, D channels.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from iap_pipelines.types import AudioSamples, VideoFrames


NUM_PICTURES = 8
"""Frames per clip, evenly spread, that are compared with the caption or count for FID."""


class ClipPictureText:
    """CLIP (`openai/clip-vit-base-patch32` for instance): frames and captions in one space."""

    name = "clip"

    def __init__(self, model: str, revision: str | None = None) -> None:
        from transformers import AutoProcessor, CLIPModel

        self.revision = pin_revision(model, revision)
        self._processor = AutoProcessor.from_pretrained(model, revision=revision)
        self._model = CLIPModel.from_pretrained(model, revision=revision).eval()

    @torch.inference_mode()
    def embed_frames(self, video: VideoFrames) -> np.ndarray:
        """Embeddings ``[F, D]`` of `NUM_PICTURES` frames."""
        inputs = self._processor(images=list(spread_frames(video, NUM_PICTURES)), return_tensors="pt")
        return _vector(self._model.get_image_features(**inputs))

    @torch.inference_mode()
    def embed_text(self, text: str) -> np.ndarray:
        """Embedding ``[D]``; what is longer than the model reads is cut."""
        inputs = self._processor(text=[text], return_tensors="pt", truncation=True, padding=True)
        return _vector(self._model.get_text_features(**inputs))[0]


class ClapSoundText:
    """CLAP (`laion/clap-htsat-unfused` for instance): sound and captions in one space, and features for FAD."""

    name = "clap"

    def __init__(self, model: str, revision: str | None = None) -> None:
        from transformers import AutoProcessor, ClapModel

        self.revision = pin_revision(model, revision)
        self._processor = AutoProcessor.from_pretrained(model, revision=revision)
        self._model = ClapModel.from_pretrained(model, revision=revision).eval()

    @torch.inference_mode()
    def embed_sound(self, audio: AudioSamples) -> np.ndarray:
        """Embeddings ``[1, D]`` of the whole sound."""
        rate = self._processor.feature_extractor.sampling_rate
        samples = audio.to_mono().resample(rate).samples[0].numpy()
        inputs = self._processor(audio=samples, sampling_rate=rate, return_tensors="pt")
        return _vector(self._model.get_audio_features(**inputs))

    @torch.inference_mode()
    def embed_text(self, text: str) -> np.ndarray:
        """Embedding ``[D]``."""
        inputs = self._processor(text=[text], return_tensors="pt", truncation=True, padding=True)
        return _vector(self._model.get_text_features(**inputs))[0]


class PictureFeatures:
    """Any image model (`facebook/dinov2-base` for instance); features for FID."""

    name = "image"

    def __init__(self, model: str, revision: str | None = None) -> None:
        from transformers import AutoImageProcessor, AutoModel

        self.revision = pin_revision(model, revision)
        self._processor = AutoImageProcessor.from_pretrained(model, revision=revision)
        self._model = AutoModel.from_pretrained(model, revision=revision).eval()

    @torch.inference_mode()
    def extract(self, video: VideoFrames) -> np.ndarray:
        """Features ``[F, D]`` of `NUM_PICTURES` frames: the mean over the last layer's tokens."""
        inputs = self._processor(images=list(spread_frames(video, NUM_PICTURES)), return_tensors="pt")
        return _pooled(self._model(**inputs).last_hidden_state)


class VideoFeatures:
    """A video model (`MCG-NJU/videomae-base` for instance); features for FVD, less biased to content than I3D's."""

    name = "video"

    def __init__(self, model: str, revision: str | None = None) -> None:
        from transformers import AutoImageProcessor, AutoModel

        self.revision = pin_revision(model, revision)
        self._processor = AutoImageProcessor.from_pretrained(model, revision=revision)
        self._model = AutoModel.from_pretrained(model, revision=revision).eval()

    @torch.inference_mode()
    def extract(self, video: VideoFrames) -> np.ndarray:
        """Features ``[1, D]``: the mean over the last layer's tokens of evenly spread frames."""
        frames = spread_frames(video, self._model.config.num_frames)
        inputs = self._processor(list(frames), return_tensors="pt")
        return _pooled(self._model(**inputs).last_hidden_state)


@cache
def pin_revision(model: str, revision: str | None) -> str:
    """What identifies weights: `owner/name@commit`, or `folder@` and the first 12 digits of their SHA-256."""
    folder = Path(model)
    if not folder.is_dir():
        from huggingface_hub import model_info

        return f"{model}@{model_info(model, revision=revision).sha}"
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"{folder.name}@{digest.hexdigest()[:12]}"


def spread_frames(video: VideoFrames, count: int) -> np.ndarray:
    """Evenly spread frames, uint8 ``[count, H, W, 3]``; a shorter clip repeats some."""
    chosen = ((np.arange(count) + 0.5) / count * video.num_frames).astype(int)
    return video.frames.numpy()[chosen]


def _pooled(hidden_states: Tensor) -> np.ndarray:
    """``[F, L, D]`` (tokens) or ``[F, D, h, w]`` (maps) to ``[F, D]``."""
    return (hidden_states.mean(dim=1) if hidden_states.ndim == 3 else hidden_states.mean(dim=(2, 3))).numpy()


def _vector(output: Any) -> np.ndarray:
    """transformers 5 returns an output object here, earlier ones the tensor."""
    return (output if isinstance(output, Tensor) else output.pooler_output).numpy()
