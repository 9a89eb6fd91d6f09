"""What the recognisers see and hear in one clip.

Letters: F frames, H height, W width, N samples, S people from left to right, D channels of an embedding.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from transformers import AutoFeatureExtractor, AutoModelForImageClassification

from iap_pipelines.evaluation.drawn_world.scores import MIN_BOUND_FRAMES, speaking_sides
from iap_pipelines.models.modeling_face_identity import FaceIdentityEncoder
from iap_pipelines.models.modeling_voice_identity import VoiceIdentityEncoder
from iap_pipelines.models.modeling_word_ctc import WordForCTC
from iap_pipelines.synthetic.sound import SAMPLING_RATE
from iap_pipelines.synthetic.speech import frame_edges, mouth_movement
from iap_pipelines.training.recognisers.material import cut_faces


@dataclass(frozen=True, eq=False)
class ClipMeasurement:
    """One clip in numbers, all float32."""

    faces: np.ndarray
    """unit vectors `[S, D]`, means over the frames"""
    openings: np.ndarray
    """measured mouths `[F, S]`, about 0 to 1"""
    expected: np.ndarray
    """the opening that the sound asks for `[F]` in [0, 1]"""
    voice: np.ndarray
    """unit vector `[D]` of the sound from its first to its last speech; NaN without speech"""
    side_voices: np.ndarray
    """unit vectors `[S, D]` of the sound while each mouth moves; NaN where it hardly does"""
    words: tuple[str, ...]
    """what was heard"""

    def to_json(self) -> dict[str, Any]:
        """Numbers with four digits, NaN as `null`."""
        arrays = {name: value for name, value in vars(self).items() if name != "words"}
        return {name: _to_lists(value) for name, value in arrays.items()} | {"words": list(self.words)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        arrays = {name: np.array(value, np.float32) for name, value in values.items() if name != "words"}
        return cls(**arrays, words=tuple(values["words"]))


class DrawnWorldRecognisers:
    """
    The four models that score clips of the drawn world, trained apart from every generator.

    Args:
        face: embeds heads.
        mouth: says how far a mouth is open.
        voice: embeds speech.
        words: hears words.
        feature_extractor: of `voice` and `words`.
    """

    def __init__(
        self,
        face: FaceIdentityEncoder,
        mouth: torch.nn.Module,
        voice: VoiceIdentityEncoder,
        words: WordForCTC,
        feature_extractor: torch.nn.Module,
    ) -> None:
        self.face, self.mouth, self.voice, self.words = (model.eval() for model in (face, mouth, voice, words))
        self.feature_extractor = feature_extractor

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load `face`, `mouth`, `voice` and `words` of a folder, in float32."""
        folder = Path(folder)
        return cls(
            FaceIdentityEncoder.from_pretrained(folder / "face", dtype=torch.float32),
            AutoModelForImageClassification.from_pretrained(folder / "mouth", dtype=torch.float32),
            VoiceIdentityEncoder.from_pretrained(folder / "voice", dtype=torch.float32),
            WordForCTC.from_pretrained(folder / "words", dtype=torch.float32),
            AutoFeatureExtractor.from_pretrained(folder / "voice"),
        )

    @torch.no_grad()
    def embed_faces(self, pictures: np.ndarray, num_people: int) -> np.ndarray:
        """
        Who is seen where. Faces are not detected: people of the drawn world stand at known places.

        Args:
            pictures: uint8 `[F, H, W, 3]`.
            num_people: S, from left to right.

        Returns:
            Unit vectors `[S, D]`, means over the pictures.
        """
        heads = _to_pixels(cut_faces(pictures, num_people))
        embeddings = self.face(heads.flatten(0, 1)).embeddings.unflatten(0, heads.shape[:2])
        return torch.nn.functional.normalize(embeddings.mean(dim=0), dim=-1).numpy()

    @torch.no_grad()
    def measure_mouths(self, pictures: np.ndarray, num_people: int) -> np.ndarray:
        """How far each mouth is open, `[F, S]`; see `embed_faces`."""
        heads = _to_pixels(cut_faces(pictures, num_people))
        return self.mouth(heads.flatten(0, 1)).logits[:, 0].unflatten(0, heads.shape[:2]).numpy()

    @torch.no_grad()
    def embed_voice(self, samples: np.ndarray) -> np.ndarray:
        """Unit vector `[D]` of speech `[N]`; NaN where there is too little of it."""
        if len(samples) <= self.feature_extractor.n_fft:
            return np.full(self.voice.config.embedding_size, np.nan, np.float32)
        features = self.feature_extractor(samples, sampling_rate=SAMPLING_RATE)
        return self.voice(features.input_features).embeddings[0].numpy()

    def hear_words(self, samples: np.ndarray) -> tuple[str, ...]:
        """The words said in `[N]` samples, in order."""
        features = self.feature_extractor(samples, sampling_rate=SAMPLING_RATE)
        return tuple(self.words.transcribe(features.input_features)[0])

    def measure(
        self, frames: np.ndarray, samples: np.ndarray, *, num_people: int, frame_rate: float
    ) -> ClipMeasurement:
        """
        Look at and listen to one clip.

        Args:
            frames: uint8 `[F, H, W, 3]`, people side by side.
            samples: float32 `[N]` in [-1, 1] at 16 kHz.
            num_people: S.
            frame_rate: frames per second.
        """
        expected, _ = mouth_movement(samples, len(frames), frame_rate)
        openings = self.measure_mouths(frames, num_people)
        edges = frame_edges(len(frames), frame_rate)
        sides = speaking_sides(openings, expected)
        spoken = np.flatnonzero(expected > 0)
        speech = samples[edges[spoken[0]] : edges[spoken[-1] + 1]] if len(spoken) else samples[:0]
        return ClipMeasurement(
            faces=self.embed_faces(frames, num_people),
            openings=openings,
            expected=expected.astype(np.float32),
            voice=self.embed_voice(speech),
            side_voices=np.stack(
                [self._voice_of(samples, edges, np.flatnonzero(sides == side)) for side in range(num_people)]
            ),
            words=self.hear_words(samples),
        )

    def _voice_of(self, samples: np.ndarray, edges: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """The voice that is heard during some frames."""
        enough = len(frames) >= MIN_BOUND_FRAMES
        pieces = [samples[edges[frame] : edges[frame + 1]] for frame in frames] if enough else [samples[:0]]
        return self.embed_voice(np.concatenate(pieces))


def _to_pixels(heads: np.ndarray) -> Tensor:
    """uint8 `[F, S, H, W, 3]` to `[F, S, 3, H, W]` in [-1, 1]."""
    return torch.from_numpy(heads).permute(0, 1, 4, 2, 3).float() / 127.5 - 1


def _to_lists(values: np.ndarray) -> Any:
    rounded = np.round(values.astype(np.float64), 4)
    return np.where(np.isnan(rounded), None, rounded).tolist()
