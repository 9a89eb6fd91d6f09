"""What writes a clip's caption. Words and times, and who speaks, are given to it; it describes what is seen and heard.

The default says only what was measured. Larger models come behind the same interface: any model of the Hub that sees,
hears or does both, and any server that speaks OpenAI's protocol. Only a model that hears is asked for sounds. Whatever
wrote a caption, `check_caption` compares it with what was measured.
"""

import base64
import inspect
import io
import json
import os
import re
import urllib.error
import urllib.request
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from PIL import Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

from iap_pipelines.types import AudioSamples, SpokenLine, StructuredCaption, SubjectDescription


@dataclass(frozen=True)
class SeenSubject:
    """What was measured of a person.

    Args:
        position: `left`, `center` or `right`; ``None`` when alone.
        face_share: height of the face over the height of the picture.
        yaw_degrees: turn of the head in the best view; positive to the right of the picture.
        is_speaking: whether a turn was matched to the face.
    """

    position: str | None
    face_share: float
    yaw_degrees: float
    is_speaking: bool


@dataclass(frozen=True, eq=False)
class CaptionTask:
    """Everything a captioner is given.

    Args:
        subjects: the k-th is `<Sk>`, from left to right.
        lines: what is said, in order, by whom.
        luma: mean brightness, 0 to 255.
        motion: mean change of the picture, in grey levels.
        has_offscreen_speech: somebody speaks who is not seen.
        pictures: RGB uint8 ``[H, W, 3]`` each, in order; the subjects are marked with their numbers.
        sound: of the clip, mono at `SAMPLING_RATE`; ``None`` for captioners that do not hear, and without sound.
    """

    subjects: tuple[SeenSubject, ...]
    lines: tuple[SpokenLine, ...]
    luma: float
    motion: float
    has_offscreen_speech: bool
    pictures: tuple[np.ndarray, ...]
    sound: AudioSamples | None = None


SAMPLING_RATE = 16_000
"""Hertz; what models hear."""


class CaptionError(ValueError):
    """No caption that passes the checks; the text says which check failed."""


class Captioner(Protocol):
    name: str
    revision: str
    num_pictures: int
    """How many pictures of a clip it looks at."""
    hears: bool
    """Whether it listens to the clip."""

    def describe(self, task: CaptionTask) -> StructuredCaption:
        """Write a caption.

        Raises:
            CaptionError: when what came is no caption of this clip.
        """
        ...


class StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MeasuredCaptions(StrictModel):
    """Says what was measured, and nothing else; needs no model."""

    type: Literal["measured"] = "measured"


class TransformersCaptions(StrictModel):
    """A multimodal model of the Hub: ``Qwen/Qwen2.5-VL-7B-Instruct`` sees, ``Qwen/Qwen2.5-Omni-7B`` hears as well."""

    type: Literal["transformers"]
    model: str
    """Hub id or folder."""
    revision: str | None = None
    device: str = "cpu"
    num_pictures: NonNegativeInt = 6
    hears: bool = False
    """Give it the sound as well; for models that take audio."""
    max_new_tokens: PositiveInt = 512


class ServedCaptions(StrictModel):
    """A server with OpenAI's chat protocol: vLLM, SGLang, or hosted."""

    type: Literal["server"]
    url: str
    """Up to and including ``/v1``."""
    model: str
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; without it none is sent."""
    num_pictures: NonNegativeInt = 6
    hears: bool = False
    """Give it the sound as well; for models that take ``input_audio``."""
    timeout_seconds: PositiveFloat = 300.0
    num_tries: PositiveInt = 2
    """An answer that does not pass is shown to the model with what is wrong, so many times in all."""


def _written_short(value: Any) -> Any:
    if isinstance(value, str):
        return {"type": "transformers", "model": value} if "/" in value else {"type": value}
    return value


CaptionerSettings = Annotated[
    Annotated[MeasuredCaptions | TransformersCaptions | ServedCaptions, Field(discriminator="type")],
    BeforeValidator(_written_short),
]


def load_captioner(settings: MeasuredCaptions | TransformersCaptions | ServedCaptions) -> Captioner:
    """Load what the settings name; errors of transformers for a Hub model."""
    match settings:
        case MeasuredCaptions():
            return MeasuredCaptioner()
        case TransformersCaptions():
            return TransformersCaptioner(settings)
        case ServedCaptions():
            return ServedCaptioner(settings)


_FRAMINGS = ((0.45, "close-up"), (0.25, "medium close-up"), (0.12, "medium shot"), (0.0, "wide shot"))
"""Height of the largest face over that of the picture, from which a shot is called so."""
_LIGHTS = ((170, "bright picture"), (85, "evenly lit picture"), (0, "dark picture"))
_MOTIONS = ((9.0, "lively motion"), (2.0, "little motion"), (0.0, "nearly still"))
_NUMBERS = {1: "one person", 2: "two people", 3: "three people", 4: "four people"}
_PROFILE_DEGREES = 25.0


class MeasuredCaptioner:
    """A caption from measurements alone: no looks, no place, no mood, for nothing here measures them."""

    name = "measured"
    revision = "1"
    num_pictures = 0
    hears = False

    def describe(self, task: CaptionTask) -> StructuredCaption:
        largest = max((subject.face_share for subject in task.subjects), default=0.0)
        people = _NUMBERS.get(len(task.subjects), f"{len(task.subjects)} people")
        scene = [
            f"{_step(_FRAMINGS, largest)} of {people}",
            _step(_LIGHTS, task.luma),
            _step(_MOTIONS, task.motion),
        ]
        subjects = tuple(
            SubjectDescription(f"person {_facing(subject)}, {_doing(subject)}", subject.position)
            for subject in task.subjects
        )
        return StructuredCaption(", ".join(scene), subjects, task.lines, _measured_sounds(task))


def _measured_sounds(task: CaptionTask) -> str | None:
    return "another voice that is not seen" if task.has_offscreen_speech else None


def _step(steps: Sequence[tuple[float, str]], value: float) -> str:
    return next(name for limit, name in steps if value >= limit)


def _facing(subject: SeenSubject) -> str:
    if abs(subject.yaw_degrees) < _PROFILE_DEGREES:
        return "facing the camera"
    return f"turned to the {'right' if subject.yaw_degrees > 0 else 'left'}"


def _doing(subject: SeenSubject) -> str:
    return "speaking" if subject.is_speaking else "listening"


_INSTRUCTIONS = """\
{given} one video clip. The people in it are marked with the numbers {numbers}.
Answer with JSON only: {{"scene": "place, light, camera, what happens", "subjects": [{{"appearance": "looks, clothes, \
action, mood; no name"}}, ...]{sounds}}}
`subjects` has exactly {count} entries, in the order of the numbers. Do not quote or invent speech: these words were \
heard and are added by the program: {lines}"""
_GIVEN = {
    (True, False): "These are pictures, in order, of",
    (True, True): "These are pictures, in order, and the sound of",
    (False, True): "This is the sound of",
    (False, False): "You neither see nor hear",
}
"""By whether there are pictures, and sound."""
_ASK_FOR_SOUNDS = ', "sounds": "sounds other than speech, or null"'


def instructions(task: CaptionTask) -> str:
    """What a language model is asked."""
    numbers = ", ".join(str(number) for number in range(1, len(task.subjects) + 1)) or "(nobody)"
    lines = json.dumps([{"person": line.subject, "words": line.text} for line in task.lines], ensure_ascii=False)
    is_heard = task.sound is not None
    return _INSTRUCTIONS.format(
        given=_GIVEN[bool(task.pictures), is_heard],
        sounds=_ASK_FOR_SOUNDS if is_heard else "",
        numbers=numbers,
        count=len(task.subjects),
        lines=lines,
    )


def caption_from_answer(answer: str, task: CaptionTask) -> StructuredCaption:
    """Read a model's JSON, and put it together with the words that were heard. Sounds count only when it heard them.

    Raises:
        CaptionError: for an answer that is no such JSON, describes another number of people, or invents speech.
    """
    found = re.search(r"\{.*\}", answer, re.DOTALL)
    try:
        parts = json.loads(found[0]) if found else None
    except json.JSONDecodeError as error:
        raise CaptionError(f"the answer is not JSON: {error}") from error
    if not isinstance(parts, dict):
        raise CaptionError("the answer has no JSON object")
    try:
        looks = [_one_line(entry["appearance"]) for entry in parts["subjects"]]
        scene = _one_line(parts["scene"])
        heard = parts.get("sounds") if task.sound is not None else None
        sounds = _one_line(heard) if heard else _measured_sounds(task)
    except (KeyError, TypeError) as error:
        raise CaptionError(f"the answer lacks {error}") from error
    if len(looks) != len(task.subjects):
        raise CaptionError(f"the answer describes {len(looks)} people, but {len(task.subjects)} are tracked")
    try:
        subjects = tuple(
            SubjectDescription(text, subject.position) for text, subject in zip(looks, task.subjects, strict=True)
        )
        return StructuredCaption(scene, subjects, task.lines, sounds)
    except ValueError as error:
        raise CaptionError(str(error)) from error


def _one_line(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"text where {text!r} stands")
    return " ".join(text.split()).rstrip(".")


_MAX_WORDS = 250
"""With anchors and lines this stays within the 512 tokens that the text encoder reads."""
_EMPTY_PHRASES = re.compile(
    r"\b(in (this|the) (video|clip|image|picture)s?( provided| shown)?|as an ai|i can(no|')t)\b", re.I
)


def check_caption(caption: StructuredCaption, task: CaptionTask) -> None:
    """Compare a caption with what was measured, whoever wrote it.

    Raises:
        CaptionError: when people, words or speakers differ from what was measured, when it quotes speech of its own,
            repeats itself, talks about the clip as a clip, or is too long.
    """
    if len(caption.subjects) != len(task.subjects):
        raise CaptionError(f"it describes {len(caption.subjects)} people, but {len(task.subjects)} are tracked")
    if caption.lines != task.lines:
        raise CaptionError("its lines are not the ones that were heard")
    described = [caption.scene, *(subject.appearance for subject in caption.subjects), caption.sounds or ""]
    for text in described:
        if re.search(r"[\"“”„«»]", text):
            raise CaptionError(f"it quotes speech outside of the lines: {text!r}")
        if _EMPTY_PHRASES.search(text):
            raise CaptionError(f"it talks about the clip: {text!r}")
    num_words = sum(len(text.split()) for text in (*described, *(line.text for line in caption.lines)))
    if num_words > _MAX_WORDS:
        raise CaptionError(f"it has {num_words} words, more than {_MAX_WORDS}")
    if any(map(_repeats_itself, described)):
        raise CaptionError("it repeats itself")


def _repeats_itself(text: str) -> bool:
    words = text.lower().split()
    fours = [tuple(words[index : index + 4]) for index in range(len(words) - 3)]
    return len(fours) > 8 and len(set(fours)) < 0.6 * len(fours)


class TransformersCaptioner:
    """A multimodal language model; loaded with ``from_pretrained``."""

    def __init__(self, settings: TransformersCaptions) -> None:
        from transformers import AutoModelForMultimodalLM, AutoProcessor

        self.name = settings.model
        self.num_pictures, self.hears = settings.num_pictures, settings.hears
        self._processor = AutoProcessor.from_pretrained(settings.model, revision=settings.revision)
        model = AutoModelForMultimodalLM.from_pretrained(settings.model, revision=settings.revision)
        self._model = model.to(settings.device).eval()
        self.revision = getattr(model.config, "_commit_hash", None) or settings.revision or "local"
        self._options = {"max_new_tokens": settings.max_new_tokens, "do_sample": False}
        if "return_audio" in inspect.signature(model.generate).parameters:  # models that could also speak
            self._options["return_audio"] = False

    def describe(self, task: CaptionTask) -> StructuredCaption:
        return caption_from_answer(self.answer(task), task)

    def answer(self, task: CaptionTask) -> str:
        """What the model writes, greedily."""
        import torch

        inputs = self.prepare(task).to(self._model.device)
        with torch.no_grad():
            tokens = self._model.generate(**inputs, **self._options)
        written = tokens[:, inputs["input_ids"].shape[1] :]
        return self._processor.batch_decode(written, skip_special_tokens=True)[0]

    def prepare(self, task: CaptionTask) -> "BatchFeature":  # noqa: F821
        """The pictures, the sound and the question as the model reads them."""
        content = [{"type": "image", "image": Image.fromarray(picture)} for picture in task.pictures]
        if task.sound is not None:
            content.append({"type": "audio", "audio": task.sound.samples[0].numpy()})
        content.append({"type": "text", "text": instructions(task)})
        return self._processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )


class ServedCaptioner:
    """A chat server. Pictures travel as JPEG inside of the request, sound as WAV; temperature is 0."""

    def __init__(self, settings: ServedCaptions) -> None:
        self.name, self.revision = settings.model, settings.url
        self.num_pictures, self.hears = settings.num_pictures, settings.hears
        self._settings = settings

    def describe(self, task: CaptionTask) -> StructuredCaption:
        content = [_as_url(picture) for picture in task.pictures]
        if task.sound is not None:
            content.append(_as_wave(task.sound))
        messages = [{"role": "user", "content": [*content, {"type": "text", "text": instructions(task)}]}]
        for number in range(1, self._settings.num_tries + 1):
            answer = self._ask(messages)
            try:
                caption = caption_from_answer(answer, task)
                check_caption(caption, task)
                return caption
            except CaptionError as error:
                if number == self._settings.num_tries:
                    raise
                messages += [
                    {"role": "assistant", "content": answer},
                    {"role": "user", "content": f"That does not fit: {error}. Answer again with JSON only."},
                ]
        raise AssertionError("`num_tries` is positive")

    def _ask(self, messages: list[dict[str, Any]]) -> str:
        body = json.dumps({"model": self._settings.model, "messages": messages, "temperature": 0}).encode()
        request = urllib.request.Request(
            f"{self._settings.url.rstrip('/')}/chat/completions",
            data=body,
            headers={"Content-Type": "application/json", **self._authorisation()},
        )
        try:
            with urllib.request.urlopen(request, timeout=self._settings.timeout_seconds) as response:
                return json.load(response)["choices"][0]["message"]["content"]
        except (urllib.error.URLError, TimeoutError) as error:
            raise ConnectionError(f"The captioner at {self._settings.url} does not answer: {error}.") from error
        except (json.JSONDecodeError, LookupError, TypeError) as error:
            raise ConnectionError(f"The captioner at {self._settings.url} answers in another protocol.") from error

    def _authorisation(self) -> dict[str, str]:
        key = os.environ.get(self._settings.key_variable)
        return {"Authorization": f"Bearer {key}"} if key else {}


def _as_url(picture: np.ndarray) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="JPEG", quality=90)
    data = base64.b64encode(file.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}


def _as_wave(sound: AudioSamples) -> dict[str, Any]:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(sound.sampling_rate)
        written.writeframes((sound.samples[0].numpy() * 32767).round().astype("<i2").tobytes())
    data = base64.b64encode(file.getvalue()).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
