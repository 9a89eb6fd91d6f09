"""Models that see and hear the drawn world, where people stand at known places: 96 pixels are too few for real ones.

The recognisers are trained apart from every generator (`training/train_recognisers.py`); without another `model`, a
Hub id or folder, they are those that come with the package. Letters: F frames.
"""

from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from iap_pipelines.evaluation.backends.features import pin_revision
from iap_pipelines.perception.interfaces import FaceClip, FaceDetection, SyncScores, TimedWord, TimeSpan
from iap_pipelines.synthetic.scenes import face_region
from iap_pipelines.synthetic.sound import SAMPLING_RATE
from iap_pipelines.synthetic.speech import mouth_movement
from iap_pipelines.training.recognisers.material import REGION_SIZE
from iap_pipelines.types import AudioSamples


MAX_DELAY_SECONDS = 0.48
_LOUDNESS_RATE = 25.0
"""Per second, of the grid on which speech is found."""
_MIN_PAUSE_SECONDS, _MIN_SPEECH_SECONDS = 0.2, 0.12
_FIVE_POINTS = np.float32([[0.35, 0.45], [0.65, 0.45], [0.5, 0.6], [0.38, 0.75], [0.62, 0.75]])
"""Eyes, nose and corners of the mouth in a head region, as shares of its width and height."""


class DrawnWorldFaceDetector:
    """Finds heads where the drawn world puts them; the shape of the picture says how many there are."""

    name = "drawn_world"
    revision = "known places"

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        """Head regions from left to right in an RGB uint8 picture ``[H, W, 3]``."""
        height, width = image.shape[:2]
        num_people = min(max(round(3 * width / height) - 2, 1), 3)
        return [_detection(face_region(place, num_people, height, width)) for place in range(num_people)]


class DrawnWorldLandmarker:
    """Passes the corners of the head region on to [`DrawnWorldLipSync`] in place of the 68 points."""

    name = "drawn_world"
    revision = "known places"

    def locate(self, image: np.ndarray, face: FaceDetection) -> np.ndarray:
        """Float32 ``[68, 2]``: left top in even rows, right bottom in odd rows."""
        return np.tile(np.float32(face.box).reshape(2, 2), (34, 1))


class FaceIdentityEmbedder:
    """`FaceIdentityEncoder` on a head region."""

    name = "face_identity"

    def __init__(self, model: str | None = None) -> None:
        from iap_pipelines.models.modeling_face_identity import FaceIdentityEncoder

        model = model or _embedded("face")
        self.revision = pin_revision(model, None)
        self._model = FaceIdentityEncoder.from_pretrained(model, dtype=torch.float32).eval()

    @torch.inference_mode()
    def embed(self, image: np.ndarray, face: FaceDetection) -> np.ndarray:
        """Unit vector ``[D]``."""
        return self._model(_heads([image], [face.box], self._model.config.image_size)).embeddings[0].numpy()


class DrawnWorldLipSync:
    """How far a drawn mouth is open against how far the loudness asks for it."""

    name = "drawn_mouth"

    def __init__(self, model: str | None = None) -> None:
        from transformers import AutoModelForImageClassification

        model = model or _embedded("mouth")
        self.revision = pin_revision(model, None)
        self._model = AutoModelForImageClassification.from_pretrained(model, dtype=torch.float32).eval()

    @torch.inference_mode()
    def compare(self, face: FaceClip, audio: AudioSamples, audio_start: float = 0.0) -> SyncScores:
        """Product of opening and loudness, each without its mean, on the frames of the clip."""
        boxes = [points[:2].reshape(-1).tolist() for points in face.points]
        openings = self._open(_heads(face.crops, boxes, REGION_SIZE))[:, 0].numpy()
        step = float(np.median(np.diff(face.times)))
        count = int(MAX_DELAY_SECONDS / step + 1e-6)
        delays = np.arange(-count, count + 1) * step
        loudness, times = _loudness(audio, 1 / step)
        heard = np.stack(
            [
                np.interp(face.times + delay - audio_start, times, loudness, left=np.nan, right=np.nan)
                for delay in delays
            ]
        )
        scores = (openings - openings.mean()) * (heard - loudness.mean())
        return SyncScores(face.times, delays, scores.astype(np.float32))

    def _open(self, heads: Tensor) -> Tensor:
        """How far each mouth is open, ``[F, 1]``, about 0 to 1."""
        return self._model(heads).logits


class DrawnWorldVoiceActivity:
    """Speech is where the sound would open a mouth."""

    name = "drawn_world"
    revision = "loudness"

    def find_speech(self, audio: AudioSamples) -> list[TimeSpan]:
        """In seconds from the first sample; pauses under 0.2 s are part of the speech."""
        loudness, _ = _loudness(audio, _LOUDNESS_RATE)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], (loudness > 0).astype(np.int8), [0]])))
        spans: list[TimeSpan] = []
        for start, end in (edges.reshape(-1, 2) / _LOUDNESS_RATE).tolist():
            if spans and start - spans[-1].end < _MIN_PAUSE_SECONDS:
                start = spans.pop().start
            spans.append(TimeSpan(start, end))
        return [span for span in spans if span.duration >= _MIN_SPEECH_SECONDS]


class VoiceIdentityEmbedder:
    """`VoiceIdentityEncoder`."""

    name = "voice_identity"

    def __init__(self, model: str | None = None) -> None:
        from transformers import AutoFeatureExtractor

        from iap_pipelines.models.modeling_voice_identity import VoiceIdentityEncoder

        model = model or _embedded("voice")
        self.revision = pin_revision(model, None)
        self._extractor = AutoFeatureExtractor.from_pretrained(model)
        self._model = VoiceIdentityEncoder.from_pretrained(model, dtype=torch.float32).eval()

    @torch.inference_mode()
    def embed(self, audio: AudioSamples) -> np.ndarray:
        """Unit vector ``[D]``; what is shorter than one window of the spectrogram is repeated."""
        samples = _mono(audio)
        while len(samples) <= self._extractor.n_fft:
            samples = np.concatenate([samples, samples])
        features = self._extractor(samples, sampling_rate=SAMPLING_RATE).input_features
        return self._model(features).embeddings[0].numpy()


class WordCtcTranscriber:
    """`WordForCTC`; a word lasts as long as the frames that say it."""

    name = "word_ctc"

    def __init__(self, model: str | None = None) -> None:
        from transformers import AutoFeatureExtractor

        from iap_pipelines.models.modeling_word_ctc import WordForCTC

        model = model or _embedded("words")
        self.revision = pin_revision(model, None)
        self._extractor = AutoFeatureExtractor.from_pretrained(model)
        self._model = WordForCTC.from_pretrained(model, dtype=torch.float32).eval()

    @torch.inference_mode()
    def transcribe(self, audio: AudioSamples) -> list[TimedWord]:
        """The best label per output frame, repetitions merged, blanks left out."""
        features = self._extractor(_mono(audio), sampling_rate=SAMPLING_RATE).input_features
        labels = self._model(features).logits[0].argmax(dim=-1).numpy()
        edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
        step = audio.duration_seconds / len(labels)
        names = self._model.config.id2label
        return [
            TimedWord(names[int(labels[first])], first * step, last * step)
            for first, last in zip(edges, edges[1:], strict=False)
            if labels[first] != 0
        ]


MODELS = {
    "face_detector": DrawnWorldFaceDetector,
    "face_landmarker": DrawnWorldLandmarker,
    "face_embedder": FaceIdentityEmbedder,
    "voice_activity": DrawnWorldVoiceActivity,
    "voice_embedder": VoiceIdentityEmbedder,
    "transcriber": WordCtcTranscriber,
    "lip_sync": DrawnWorldLipSync,
}
"""By role."""


def _embedded(name: str) -> str:
    """The folder of a recogniser that comes with the package.

    Raises:
        FileNotFoundError: when this copy of the package has none.
    """
    folder = Path(str(files("iap_pipelines"))) / "assets" / "recognisers" / name
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"This copy of the package has no recogniser {name!r}: train them with training/train_recognisers.py and "
            "give each folder as `model`."
        )
    return str(folder)


def _detection(box: tuple[int, int, int, int]) -> FaceDetection:
    left, top, right, bottom = (float(edge) for edge in box)
    points = np.float32([left, top]) + _FIVE_POINTS * np.float32([right - left, bottom - top])
    return FaceDetection((left, top, right, bottom), points, 1.0)


def _heads(pictures: list[np.ndarray] | np.ndarray, boxes: list, size: tuple[int, int] | list[int]) -> Tensor:
    """Cut a region out of each picture; ``[F, 3, H, W]`` in [-1, 1]."""
    height, width = size
    heads = [
        np.asarray(
            Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR, box=_inside(picture, box))
        )
        for picture, box in zip(pictures, boxes, strict=True)
    ]
    return torch.from_numpy(np.stack(heads)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _inside(picture: np.ndarray, box: tuple[float, ...]) -> tuple[float, float, float, float]:
    height, width = picture.shape[:2]
    left, top, right, bottom = box
    return max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))


def _loudness(audio: AudioSamples, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """The opening that the sound asks for, ``rate`` times a second, and when each piece of sound starts, in seconds.

    A frame is drawn from what is heard while it is shown, so the start of a piece is the time of its frame.
    """
    samples = _mono(audio)
    count = max(1, int(len(samples) / SAMPLING_RATE * rate))
    opening, _ = mouth_movement(samples, count, rate)
    return opening, np.arange(count) / rate


def _mono(audio: AudioSamples) -> np.ndarray:
    return audio.to_mono().resample(SAMPLING_RATE).samples[0].numpy()
