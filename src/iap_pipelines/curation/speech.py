"""Who speaks when, from sound alone: speech to windows, windows to voices, voices to turns. Letters: W windows, D
channels.

Give the whole source, not a clip: a voice is told from others better the longer it is heard, and under 20 s no blind
count of voices is safe. What faces know is added in `matching`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from iap_pipelines.perception.interfaces import TimeSpan, VoiceEmbedder
from iap_pipelines.types import AudioSamples


SAME_VOICE_SIMILARITY = 0.45
"""
Mean cosine of the windows of two voices above which they are one (CAM++, windows of 1.5 s; 19.6 % diarisation error on
nine meetings and calls, the lowest of 0.40, 0.45, 0.50).
"""
WINDOW_SECONDS, HOP_SECONDS = 1.5, 0.75
_FINE_HOP_SECONDS = 0.25
_MIN_SPAN_SECONDS = 0.4
_MIN_WINDOWS = 2
"""A voice that is heard in fewer windows is taken for another one under a cough or a laugh."""
_MAX_CLUSTERED = 5000
"""Windows that are compared with each other: an hour of speech, and 200 MB. Of longer speech, every n-th window is."""
_PAUSE_SEARCH_SECONDS = 0.3
_ENERGY_SECONDS = 0.02


@dataclass(frozen=True)
class Turn:
    """One voice speaks, from ``start`` to ``end`` in seconds on the clock of the source.

    Args:
        speaker: number of the voice within its source, from 0 in the order of first words.
    """

    start: float
    end: float
    speaker: int

    @property
    def duration(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, eq=False)
class Voice:
    """One voice of a source.

    Args:
        embedding: unit vector ``[D]``, mean of its windows.
        seconds: how long it speaks.
        purity: mean cosine of its windows to the mean, in [-1, 1].
    """

    embedding: np.ndarray
    seconds: float
    purity: float


@dataclass(frozen=True, eq=False)
class Diarization:
    """The turns of a source in order, and its voices; turn t is spoken by ``voices[t.speaker]``."""

    turns: tuple[Turn, ...]
    voices: tuple[Voice, ...]


def diarize(
    audio: AudioSamples,
    speech: Sequence[TimeSpan],
    embedder: VoiceEmbedder,
    min_similarity: float = SAME_VOICE_SIMILARITY,
) -> Diarization:
    """Find the voices of a source and when each of them speaks.

    Windows of speech are embedded and joined as long as their mean similarity allows (average linkage). Where the
    voice changes, finer windows and then the quietest moment say when.

    Args:
        audio: the sound of the source, from time 0 on its clock.
        speech: where somebody speaks, in order.
        embedder: tells voices apart; ``min_similarity`` belongs to it.
        min_similarity: cosine from which two groups of windows are one voice.
    """
    mono = audio.to_mono().resample(16_000)
    spans = [span for span in speech if span.duration >= _MIN_SPAN_SECONDS]
    windows = [window for span in spans for window in _windows(span, HOP_SECONDS)]
    if not windows:
        return Diarization((), ())
    embeddings = np.stack([embedder.embed(_cut(mono, window)) for window in windows])
    labels = _cluster(embeddings, min_similarity)
    centroids = np.stack([_unit(embeddings[labels == label].mean(axis=0)) for label in range(labels.max() + 1)])
    pieces: list[Turn] = []
    for span in spans:
        pieces += _label_span(mono, span, windows, labels, centroids, embedder)
    order = {speaker: number for number, speaker in enumerate(dict.fromkeys(turn.speaker for turn in pieces))}
    turns = tuple(Turn(turn.start, turn.end, order[turn.speaker]) for turn in pieces)
    voices = []
    for speaker in order:
        own = embeddings[labels == speaker]
        seconds = sum(turn.duration for turn in pieces if turn.speaker == speaker)
        voices.append(Voice(centroids[speaker], seconds, float((own @ centroids[speaker]).mean())))
    return Diarization(turns, tuple(voices))


def loudness_decibels(audio: AudioSamples, spans: Sequence[TimeSpan]) -> float | None:
    """Root mean square of the speech in decibels of full scale; ``None`` without speech or for digital silence."""
    mono = audio.to_mono()
    pieces = [_cut(mono, span).samples[0].numpy() for span in spans if span.start < mono.duration_seconds]
    power = float(np.mean(np.concatenate(pieces) ** 2)) if pieces else 0.0
    return 10 * float(np.log10(power)) if power > 0 else None


def _windows(span: TimeSpan, hop: float) -> list[TimeSpan]:
    """Evenly spaced windows that cover a span; one shorter window for a short span."""
    if span.duration <= WINDOW_SECONDS:
        return [span]
    count = 1 + int(np.ceil((span.duration - WINDOW_SECONDS) / hop - 1e-6))
    starts = np.linspace(span.start, span.end - WINDOW_SECONDS, count)
    return [TimeSpan(float(start), float(start) + WINDOW_SECONDS) for start in starts]


def _cut(audio: AudioSamples, span: TimeSpan) -> AudioSamples:
    first = max(0, round(span.start * audio.sampling_rate))
    last = max(first + 1, round(span.end * audio.sampling_rate))
    return AudioSamples(audio.samples[:, first:last], audio.sampling_rate)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def _cluster(embeddings: np.ndarray, min_similarity: float) -> np.ndarray:
    """Number of the voice of each window, from 0, ``[W]``."""
    if len(embeddings) == 1:
        return np.zeros(1, int)
    step = -(-len(embeddings) // _MAX_CLUSTERED)
    sample = embeddings[::step]
    tree = linkage(sample, method="average", metric="cosine")
    labels = fcluster(tree, 1 - min_similarity, criterion="distance")
    sizes = np.bincount(labels)
    large = [label for label in np.unique(labels) if sizes[label] >= _MIN_WINDOWS] or [int(sizes.argmax())]
    centroids = np.stack([_unit(sample[labels == label].mean(axis=0)) for label in large])
    voices = (embeddings @ centroids.T).argmax(axis=1)
    for voice, label in enumerate(large):
        voices[::step][labels == label] = voice
    return voices


def _label_span(
    audio: AudioSamples,
    span: TimeSpan,
    windows: list[TimeSpan],
    labels: np.ndarray,
    centroids: np.ndarray,
    embedder: VoiceEmbedder,
) -> list[Turn]:
    """Turns of one span of speech."""
    inside = [index for index, window in enumerate(windows) if span.start <= window.start and window.end <= span.end]
    turns, start = [], span.start
    for before, after in zip(inside, inside[1:], strict=False):
        if labels[before] != labels[after]:
            pair = centroids[[labels[before], labels[after]]]
            end = _change_time(audio, windows[before], windows[after], pair, embedder)
            turns.append(Turn(start, end, int(labels[before])))
            start = end
    return [*turns, Turn(start, span.end, int(labels[inside[-1]]))]


def _change_time(
    audio: AudioSamples, before: TimeSpan, after: TimeSpan, centroids: np.ndarray, embedder: VoiceEmbedder
) -> float:
    """When one voice gives way to another between two windows: finer windows, then the quietest moment."""
    starts = np.arange(before.start, after.start + 1e-6, _FINE_HOP_SECONDS)
    fine = [TimeSpan(float(start), float(start) + WINDOW_SECONDS) for start in starts]
    first, second = (np.stack([embedder.embed(_cut(audio, window)) for window in fine]) @ centroids.T).T
    # The best place to change: what lies before it is like the first voice, what lies behind like the second.
    lead = np.concatenate([[0.0], np.cumsum(first - second)])
    place = int(lead[1:-1].argmax()) + 1 if len(fine) > 1 else 1
    return _quietest(audio, float(starts[min(place, len(fine) - 1)]) - _FINE_HOP_SECONDS / 2 + WINDOW_SECONDS / 2)


def smooth_path(scores: np.ndarray, change: float = 0.3) -> np.ndarray:
    """Best sequence of columns through ``[T, K]`` where every change of column costs ``change`` (Viterbi)."""
    total, back = scores[0].copy(), []
    for row in scores[1:]:
        best = int(total.argmax())
        stays = total >= total[best] - change
        back.append(np.where(stays, np.arange(len(total)), best))
        total = np.where(stays, total, total[best] - change) + row
    path = [int(total.argmax())]
    for came_from in reversed(back):
        path.append(int(came_from[path[-1]]))
    return np.array(path[::-1])


def _quietest(audio: AudioSamples, time: float) -> float:
    """The middle of the quietest moment near a time."""
    step = round(_ENERGY_SECONDS * audio.sampling_rate)
    first = max(0, round((time - _PAUSE_SEARCH_SECONDS) * audio.sampling_rate))
    near = audio.samples[0, first : round((time + _PAUSE_SEARCH_SECONDS) * audio.sampling_rate)].numpy()
    power = (near[: len(near) // step * step].reshape(-1, step) ** 2).mean(axis=1)
    if not len(power):
        return time
    smooth = np.convolve(power, np.ones(5) / 5, mode="same")
    return (first + (int(smooth.argmin()) + 0.5) * step) / audio.sampling_rate
