"""Random batches of the material, spoiled in the ways that codecs and generators spoil pictures and sound.

Letters: B samples, H height, W width, T mel frames, M mel bands.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from iap_pipelines.models.feature_extraction_log_mel import LogMelFeatureExtractor
from iap_pipelines.synthetic.sound import SAMPLING_RATE
from iap_pipelines.training.recognisers.material import Faces, Speech


_BLUR = (0.3, 1.0)
"""Pictures are shrunk to this much of their size and back."""
_SHIFT = 0.05
"""Largest move, of height and width."""
_ZOOM = 0.06
_LIGHT = 0.12
"""Largest change of brightness and contrast."""
_GRAIN = 0.06
"""Most noise in pixels, of full scale 2."""
_GAIN_DB = 6.0
_MEL_GRAIN = 0.3
_MEL_FLOOR = -11.5129
"""Logarithm of what the spectrogram is clamped at, 1e-5."""
_SHORTEST_PIECE, _LONGEST_PIECE = 24, 110
"""Mel frames of what a voice is to be known from: 0.4 to 1.8 s."""


class FaceBatches:
    """Pairs of pictures of one person, and pictures with known mouths."""

    def __init__(self, faces: Faces) -> None:
        self.faces = faces
        self._of_person = _group(faces.identities)
        self._with_mouth = np.flatnonzero(~np.isnan(faces.openings))

    def pairs(self, num_people: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Two different pictures of each of `num_people` people, `[B, 3, H, W]` in [-1, 1] each."""
        people = generator.choice(len(self._of_person), num_people, replace=False)
        chosen = np.array([generator.choice(self._of_person[person], 2, replace=False) for person in people])
        return self._pictures(chosen[:, 0], generator), self._pictures(chosen[:, 1], generator)

    def mouths(self, count: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Pictures `[B, 3, H, W]` in [-1, 1] and openings `[B]` in [0, 1]."""
        chosen = generator.choice(self._with_mouth, count, replace=False)
        return self._pictures(chosen, generator), torch.from_numpy(self.faces.openings[chosen])

    def _pictures(self, chosen: np.ndarray, generator: np.random.Generator) -> Tensor:
        pictures = torch.from_numpy(self.faces.pictures[chosen]).permute(0, 3, 1, 2).float() / 127.5 - 1
        return spoil_pictures(pictures, generator)


class SpeechBatches:
    """Pairs of pieces of one voice, and whole utterances with their words."""

    def __init__(self, speech: Speech) -> None:
        self.speech = speech
        extractor = LogMelFeatureExtractor()
        self._hop = extractor.hop_length
        samples = torch.from_numpy(speech.samples)
        # Half precision: the whole material stays in memory.
        self._features = torch.cat(
            [
                extractor(list(part.float() / 32767), sampling_rate=SAMPLING_RATE).input_features.half()
                for part in samples.split(256)
            ]
        )
        self._of_voice = _group(speech.identities)

    def pairs(self, num_voices: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A piece each of two different utterances of each of `num_voices` voices, `[B, T, M]` each."""
        voices = generator.choice(len(self._of_voice), num_voices, replace=False)
        chosen = np.array([generator.choice(self._of_voice[voice], 2, replace=False) for voice in voices])
        lengths = generator.integers(_SHORTEST_PIECE, _LONGEST_PIECE, 2, endpoint=True)
        return tuple(self._pieces(chosen[:, side], int(lengths[side]), generator) for side in (0, 1))

    def utterances(self, count: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Whole utterances `[B, T, M]` and their words `[B, W]`."""
        chosen = generator.choice(len(self.speech.identities), count, replace=False)
        features = spoil_features(self._features[torch.from_numpy(chosen)].float(), generator)
        return features, torch.from_numpy(self.speech.words[chosen])

    def _pieces(self, chosen: np.ndarray, length: int, generator: np.random.Generator) -> Tensor:
        """Pieces that lie in speech, as far as there is enough of it."""
        pieces = []
        for index in chosen:
            first, last = self.speech.spans[index] // self._hop
            latest = max(min(last, self._features.shape[1]) - length, 0)
            start = int(generator.integers(min(first, latest), latest, endpoint=True))
            pieces.append(self._features[index, start : start + length].float())
        return spoil_features(torch.stack(pieces), generator)


def spoil_pictures(pictures: Tensor, generator: np.random.Generator) -> Tensor:
    """Shift, zoom, blur, light and grain `[B, 3, H, W]`, differently for every picture but for the blur."""
    count = len(pictures)
    uniform = generator.uniform
    theta = torch.zeros(count, 2, 3)
    zoom = torch.from_numpy(uniform(1 - _ZOOM, 1 + _ZOOM, count)).float()
    theta[:, 0, 0] = theta[:, 1, 1] = zoom
    theta[:, :, 2] = torch.from_numpy(uniform(-2 * _SHIFT, 2 * _SHIFT, (count, 2))).float()
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    pictures = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    size = pictures.shape[-2:]
    small = [max(round(side * float(uniform(*_BLUR))), 8) for side in size]
    pictures = F.interpolate(pictures, small, mode="bilinear", antialias=True, align_corners=False)
    pictures = F.interpolate(pictures, size, mode="bilinear", align_corners=False)
    contrast, brightness = (torch.from_numpy(uniform(-_LIGHT, _LIGHT, (2, count, 1, 1, 1))).float()).unbind()
    grain = torch.from_numpy(uniform(0, _GRAIN, (count, 1, 1, 1))).float()
    noise = torch.from_numpy(generator.standard_normal(pictures.shape, dtype=np.float32))
    return (pictures * (1 + contrast) + brightness + grain * noise).clamp(-1, 1)


def spoil_features(features: Tensor, generator: np.random.Generator) -> Tensor:
    """Change the level of log-mels `[B, T, M]` and add grain, differently for every recording."""
    count = len(features)
    gain = torch.from_numpy(generator.uniform(-_GAIN_DB, _GAIN_DB, (count, 1, 1))).float() * (np.log(10) / 20)
    grain = torch.from_numpy(generator.uniform(0, _MEL_GRAIN, (count, 1, 1))).float()
    noise = torch.from_numpy(generator.standard_normal(features.shape, dtype=np.float32))
    return (features + gain + grain * noise).clamp(min=_MEL_FLOOR)


def _group(labels: np.ndarray) -> list[np.ndarray]:
    """Places of every label that occurs at least twice."""
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return [group for group in groups if len(group) > 1]
