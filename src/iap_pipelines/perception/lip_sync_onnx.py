"""SyncNet as two ONNX files that the user names, run by onnxruntime.

SyncNet (Chung and Zisserman, "Out of time", 2016) has one network per sense. Exported, they look like this:

    sound:  float32 ``[B, 1, 13, 20]``, 20 vectors of 13 MFCCs (200 ms)       ->  ``[B, D]``
    face:   float32 ``[B, 3, 5, 224, 224]``, 5 pictures, BGR, 0 to 255        ->  ``[B, D]``

Scores are negative distances, so the best mean over time is minus LSE-D, and `Sync.confidence` is LSE-C.
"""

import os

import cv2
import numpy as np

from iap_pipelines.perception.interfaces import FaceClip, SyncScores
from iap_pipelines.perception.mfcc import NUM_COEFFICIENTS, mfcc
from iap_pipelines.perception.mfcc import RATE as MFCC_RATE
from iap_pipelines.perception.mouth import RATE, STEP_SECONDS
from iap_pipelines.perception.packages import SAMPLING_RATE, file_revision, model_file, onnx_session
from iap_pipelines.types import AudioSamples


_PICTURES, _VECTORS, _SIDE = 5, 20, 224
_VECTORS_PER_STEP = MFCC_RATE // RATE
_MAX_DELAY_STEPS = 15
_BATCH = 16


class SyncNet:
    """Distances between the embeddings of 200 ms of a face and 200 ms of sound.

    Args:
        sound_path: ONNX file of the network that hears.
        face_path: ONNX file of the network that sees.
        num_threads: of each.
    """

    name = "syncnet"

    def __init__(
        self, sound_path: str | os.PathLike[str], face_path: str | os.PathLike[str], num_threads: int = 1
    ) -> None:
        sound_path, face_path = model_file("sound_path", sound_path), model_file("face_path", face_path)
        self.revision = f"{file_revision(sound_path)}+{file_revision(face_path)}"
        self._hear, self._see = onnx_session(sound_path, num_threads), onnx_session(face_path, num_threads)

    def compare(self, face: FaceClip, audio: AudioSamples, audio_start: float = 0.0) -> SyncScores:
        """Compare a face with a sound; sound beyond both ends of the face by 0.6 s allows all delays."""
        pictures = _pictures(face)
        num_steps = len(pictures) - _PICTURES + 1
        delays = np.arange(-_MAX_DELAY_STEPS, _MAX_DELAY_STEPS + 1) * STEP_SECONDS
        times = face.times[0] + STEP_SECONDS * np.arange(max(num_steps, 0))
        if num_steps < 1:
            return SyncScores(times, delays, np.full((len(delays), 0), np.nan, np.float32))
        seen = _embed(self._see, [pictures[i : i + _PICTURES].transpose(3, 0, 1, 2) for i in range(num_steps)])
        vectors = mfcc(audio.to_mono().resample(SAMPLING_RATE).samples[0].numpy())
        first = round((face.times[0] - audio_start + delays[0]) * MFCC_RATE)
        starts = first + _VECTORS_PER_STEP * np.arange(num_steps + 2 * _MAX_DELAY_STEPS)
        inside = [i for i, start in enumerate(starts) if 0 <= start <= len(vectors) - _VECTORS]
        heard = np.full((len(starts), seen.shape[1]), np.nan, np.float32)
        if inside:
            heard[inside] = _embed(
                self._hear, [vectors[starts[i] : starts[i] + _VECTORS].T[:NUM_COEFFICIENTS][None] for i in inside]
            )
        shifted = np.lib.stride_tricks.sliding_window_view(heard, num_steps, axis=0)  # [L, D, T]
        return SyncScores(times, delays, -np.linalg.norm(shifted - seen.T[None], axis=1).astype(np.float32))


def _pictures(face: FaceClip) -> np.ndarray:
    """The picture on screen at every step, BGR float32 ``[T, 224, 224, 3]``."""
    count = int((face.times[-1] - face.times[0]) / STEP_SECONDS + 1e-6) + 1
    shown = np.searchsorted(face.times, face.times[0] + STEP_SECONDS * np.arange(count) + 1e-6, side="right") - 1
    resized = [cv2.resize(crop, (_SIDE, _SIDE))[..., ::-1].astype(np.float32) for crop in face.crops]
    return np.stack([resized[index] for index in shown])


def _embed(session: "onnxruntime.InferenceSession", inputs: list[np.ndarray]) -> np.ndarray:  # noqa: F821
    name = session.get_inputs()[0].name
    batches = [np.stack(inputs[i : i + _BATCH]).astype(np.float32) for i in range(0, len(inputs), _BATCH)]
    return np.concatenate([session.run(None, {name: batch})[0] for batch in batches])
