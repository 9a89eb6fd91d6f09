"""A toy world and models that see and hear it exactly: people are coloured squares with a mouth, voices are tones."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from iap_pipelines.evaluation.models import EvaluationModels
from iap_pipelines.media import write_video
from iap_pipelines.perception.interfaces import FaceClip, FaceDetection, SyncScores, TimedWord, TimeSpan
from iap_pipelines.types import AudioSamples


FRAME_RATE, RATE, SIDE = 25.0, 16_000, 96
_FACE = slice(20, 80)


@dataclass(frozen=True)
class ToyPerson:
    """A colour to be seen, a tone (hertz) to be heard."""

    colour: tuple[int, int, int]
    pitch: float


ADA, BEN, CAT = ToyPerson((200, 60, 60), 220), ToyPerson((60, 90, 210), 450), ToyPerson((60, 190, 80), 900)


def picture(person: ToyPerson, opening: float = 0.0) -> np.ndarray:
    """A square of the person's colour on grey, with a black mouth; uint8 ``[96, 96, 3]``."""
    image = np.full((SIDE, SIDE, 3), 128, np.uint8)
    image[_FACE, _FACE] = person.colour
    height = round(14 * opening)
    image[60 : 60 + height, 38:62] = 0
    return image


def syllables(seconds: float, seed: int) -> np.ndarray:
    """A random loudness that rises and falls a few times a second, in [0, 1], one value per frame."""
    values = np.random.default_rng(seed).random(int(seconds * FRAME_RATE / 3) + 2)
    times = np.arange(round(seconds * FRAME_RATE)) / 3
    return np.interp(times, np.arange(len(values)), values)


def write_clip(
    path: Path,
    people: list[ToyPerson],
    turns: list[tuple[float, float, int]],
    *,
    voices: list[ToyPerson] | None = None,
    delay: float = 0.0,
    seed: int = 0,
) -> Path:
    """People side by side who speak in turns.

    Args:
        path: mp4 to write.
        people: from left to right.
        turns: start and end in seconds, and who speaks.
        voices: whose voice each of ``people`` has; their own if not given.
        delay: seconds by which the sound is late.
        seed: of the syllables.
    """
    num_frames = round(max(end for _, end, _ in turns) * FRAME_RATE)
    openings = np.zeros((num_frames, len(people)))
    samples = np.zeros(round(num_frames / FRAME_RATE * RATE), np.float32)
    for number, (start, end, who) in enumerate(turns):
        loudness = syllables(end - start, seed * 100 + number)
        first = round(start * FRAME_RATE)
        openings[first : first + len(loudness), who] = loudness
        times = np.arange(round((end - start) * RATE)) / RATE
        level = np.interp(times, np.arange(len(loudness)) / FRAME_RATE, loudness)
        tone = np.sin(2 * np.pi * (voices or people)[who].pitch * times) * (0.05 + 0.4 * level)
        at = round((start + delay) * RATE)
        kept = samples[at : at + len(tone)]
        kept += tone[: len(kept)].astype(np.float32)
    frames = [np.concatenate([picture(p, o) for p, o in zip(people, row, strict=True)], axis=1) for row in openings]
    return write_video(torch.from_numpy(np.stack(frames)), samples, path, frame_rate=FRAME_RATE, sampling_rate=RATE)


def write_references(folder: Path, name: str, person: ToyPerson) -> tuple[Path, Path]:
    """A picture and a recording (an mp4 whose sound counts)."""
    face = folder / f"{name}.png"
    Image.fromarray(picture(person)).save(face)
    return face, write_clip(folder / f"{name}_voice.mp4", [person], [(0, 2.0, 0)], seed=7)


class ToyFaceDetector:
    name, revision = "toy", "1"

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        """Coloured columns are faces."""
        spread = np.ptp(image.astype(int), axis=2).max(axis=0)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], (spread > 60).astype(int), [0]])))
        faces = []
        for left, right in edges.reshape(-1, 2).tolist():
            if right - left > 30:
                x, width = left, right - left
                points = [
                    (x + f * width, 20 + g * 60)
                    for f, g in ((0.3, 0.3), (0.7, 0.3), (0.5, 0.5), (0.35, 0.8), (0.65, 0.8))
                ]
                faces.append(FaceDetection((left, 20, right, 80), np.float32(points), 1.0))
        return faces


class ToyFaceLandmarker:
    name, revision = "toy", "1"

    def locate(self, image: np.ndarray, face: FaceDetection) -> np.ndarray:
        return np.tile(face.points.mean(axis=0), (68, 1)).astype(np.float32)


class ToyFaceEmbedder:
    name, revision = "toy", "1"

    def embed(self, image: np.ndarray, face: FaceDetection) -> np.ndarray:
        """Colour of the forehead, without grey."""
        left, top, right, _ = (round(value) for value in face.box)
        colour = image[top + 5 : top + 25, left + 5 : right - 5].reshape(-1, 3).mean(axis=0)
        return (colour - colour.mean()) / np.linalg.norm(colour - colour.mean())


class ToyVoiceActivity:
    name, revision = "toy", "1"

    def find_speech(self, audio: AudioSamples) -> list[TimeSpan]:
        """Where 20 ms are loud; pauses under 0.1 s are speech."""
        samples = audio.to_mono().samples[0].numpy()
        hop = audio.sampling_rate // 50
        loud = np.abs(samples[: len(samples) // hop * hop].reshape(-1, hop)).max(axis=1) > 0.02
        edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(int), [0]]))).reshape(-1, 2) / 50
        spans: list[TimeSpan] = []
        for start, end in edges.tolist():
            if spans and start - spans[-1].end < 0.1:
                start = spans.pop().start
            spans.append(TimeSpan(start, end))
        return [span for span in spans if span.duration > 0.1]


class ToyVoiceEmbedder:
    name, revision = "toy", "1"

    def embed(self, audio: AudioSamples) -> np.ndarray:
        """Energy in 24 bands."""
        samples = audio.to_mono().resample(RATE).samples[0].numpy()
        power = np.abs(np.fft.rfft(samples)) ** 2
        frequencies = np.fft.rfftfreq(len(samples), 1 / RATE)
        edges = np.geomspace(100, 2000, 25)
        bands = np.array(
            [
                power[(frequencies >= low) & (frequencies < high)].sum()
                for low, high in zip(edges, edges[1:], strict=False)
            ]
        )
        return bands / max(np.linalg.norm(bands), 1e-12)


class ToyTranscriber:
    name, revision = "toy", "1"

    def transcribe(self, audio: AudioSamples) -> list[TimedWord]:
        """Each run of speech is one word, named after the pitch."""
        words = []
        for span in ToyVoiceActivity().find_speech(audio):
            first, last = int(span.start * audio.sampling_rate), int(span.end * audio.sampling_rate)
            part = audio.to_mono().samples[0, first:last].numpy()
            pitch = np.fft.rfftfreq(len(part), 1 / audio.sampling_rate)[np.abs(np.fft.rfft(part)).argmax()]
            words.append(
                TimedWord("low" if pitch < 300 else "middle" if pitch < 700 else "high", span.start, span.end)
            )
        return words


class ToyLipSync:
    name, revision = "toy", "1"

    def compare(self, face: FaceClip, audio: AudioSamples, audio_start: float = 0.0) -> SyncScores:
        """Product of the mouth's darkness and the loudness, each without its mean."""
        mouth = (face.crops[:, 110:170, 70:122].max(axis=3) < 40).mean(axis=(1, 2))
        mouth = (mouth - mouth.mean()) / max(mouth.std(), 1e-6)
        samples = np.abs(audio.to_mono().samples[0].numpy())
        times = np.arange(len(samples)) / audio.sampling_rate + audio_start
        delays = np.arange(-12, 13) / FRAME_RATE
        width = audio.sampling_rate // 25
        smooth = np.convolve(samples, np.ones(width) / width, mode="same")
        loudness = np.stack([np.interp(face.times + delay, times, smooth, left=0, right=0) for delay in delays])
        loudness = (loudness - loudness.mean()) / max(float(loudness.std()), 1e-6)
        return SyncScores(face.times, delays, (mouth[None] * loudness).astype(np.float32))


class ToySyncNet(ToyLipSync):
    """Minus a distance, as SyncNet."""

    def compare(self, face: FaceClip, audio: AudioSamples, audio_start: float = 0.0) -> SyncScores:
        scores = super().compare(face, audio, audio_start)
        return SyncScores(scores.times, scores.delays, scores.scores - 5)


def toy_models(**missing: str) -> EvaluationModels:
    """Every role, or all but the ones named, with their reason."""
    loaded = {
        "face_detector": ToyFaceDetector(),
        "face_landmarker": ToyFaceLandmarker(),
        "face_embedder": ToyFaceEmbedder(),
        "voice_activity": ToyVoiceActivity(),
        "voice_embedder": ToyVoiceEmbedder(),
        "transcriber": ToyTranscriber(),
        "lip_sync": ToyLipSync(),
        "syncnet": ToySyncNet(),
    }
    return EvaluationModels({role: model for role, model in loaded.items() if role not in missing}, missing)
