"""Captions: honest by default, checked whoever wrote them, from a server as from a model."""

import base64
import io
import json
import threading
import wave
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from iap_pipelines.curation.captioners import (
    CaptionError,
    CaptionerSettings,
    CaptionTask,
    MeasuredCaptioner,
    SeenSubject,
    ServedCaptioner,
    ServedCaptions,
    caption_from_answer,
    check_caption,
    instructions,
)
from iap_pipelines.types import AudioSamples, SpokenLine, StructuredCaption, SubjectDescription


TASK = CaptionTask(
    subjects=(
        SeenSubject(position="left", face_share=0.3, yaw_degrees=5.0, is_speaking=True),
        SeenSubject(position="right", face_share=0.28, yaw_degrees=-40.0, is_speaking=False),
    ),
    lines=(SpokenLine(1, "red apple"), SpokenLine(1, "two birds")),
    luma=120.0,
    motion=5.0,
    has_offscreen_speech=False,
    pictures=(np.full((48, 64, 3), 90, np.uint8),),
)
GOOD = {
    "scene": "a kitchen in daylight, still camera",
    "subjects": [{"appearance": "woman with red hair"}, {"appearance": "man in a green coat."}],
    "sounds": None,
}


def test_the_default_says_what_was_measured_and_nothing_else():
    caption = MeasuredCaptioner().describe(TASK)
    check_caption(caption, TASK)
    assert caption.render() == (
        "Scene: medium close-up of two people, evenly lit picture, little motion. "
        "<S1>: left, person facing the camera, speaking. <S2>: right, person turned to the left, listening. "
        '<S1> says: "red apple". <S1> says: "two birds".'
    )
    assert StructuredCaption.parse(caption.render()) == caption


@pytest.mark.parametrize("face_share", [0.0, 0.2, 0.3, 0.9])
@pytest.mark.parametrize("num_people", [0, 1, 3, 4, 7])
def test_the_default_renders_whatever_was_measured(face_share, num_people):
    people = tuple(SeenSubject("left", face_share, 0.0, False) for _ in range(num_people))
    task = replace(TASK, subjects=people, lines=(), luma=0.0, motion=0.0, has_offscreen_speech=True)
    caption = MeasuredCaptioner().describe(task)
    check_caption(caption, task)
    assert StructuredCaption.parse(caption.render()) == caption


def test_an_answer_becomes_a_caption_with_the_words_that_were_heard():
    caption = caption_from_answer(f"Here you are:\n```json\n{json.dumps(GOOD)}\n```", TASK)
    check_caption(caption, TASK)
    assert caption.lines == TASK.lines
    assert caption.subjects[1] == SubjectDescription("man in a green coat", "right")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("I cannot help with that", "no JSON"),
        ("{scene: 1}", "not JSON"),
        (json.dumps({**GOOD, "subjects": GOOD["subjects"][:1]}), "describes 1 people, but 2"),
        (json.dumps({"scene": "a room"}), "lacks"),
        (json.dumps({**GOOD, "scene": 3}), "lacks"),
        (json.dumps({**GOOD, "scene": "<S3> waves"}), "S3"),
    ],
)
def test_answers_that_do_not_fit_are_refused(answer, problem):
    with pytest.raises(CaptionError, match=problem):
        caption_from_answer(answer, TASK)


@pytest.mark.parametrize(
    ("scene", "problem"),
    [
        ("a room where he says “I never said this”", "quotes speech"),
        ("two people in this video", "talks about the clip"),
        ("word " * 400, "words"),
        ("the man looks and " * 12 + "sits", "repeats"),
    ],
)
def test_captions_that_invent_or_ramble_are_refused(scene, problem):
    caption = replace(MeasuredCaptioner().describe(TASK), scene=scene.strip())
    with pytest.raises(CaptionError, match=problem):
        check_caption(caption, TASK)


def test_captions_of_other_people_or_words_are_refused():
    caption = MeasuredCaptioner().describe(TASK)
    with pytest.raises(CaptionError, match="lines"):
        check_caption(replace(caption, lines=(*TASK.lines, SpokenLine(2, "hello"))), TASK)
    with pytest.raises(CaptionError, match="3 people"):
        check_caption(replace(caption, subjects=(*caption.subjects, SubjectDescription("dog"))), TASK)


SOUND = AudioSamples(torch.linspace(-1.0, 1.0, 8000)[None], 16_000)


def test_what_a_model_is_asked_has_the_words_and_the_number_of_people():
    text = instructions(TASK)
    assert "red apple" in text and "exactly 2 entries" in text
    assert "pictures" in text and "sound" not in text, "it hears nothing"
    text = instructions(replace(TASK, sound=SOUND))
    assert "pictures, in order, and the sound of" in text and '"sounds"' in text


def test_sounds_are_believed_of_those_only_who_hear():
    answer = json.dumps({**GOOD, "sounds": "rain on a roof."})
    assert caption_from_answer(answer, TASK).sounds is None
    assert caption_from_answer(answer, replace(TASK, sound=SOUND)).sounds == "rain on a roof"
    offscreen = replace(TASK, has_offscreen_speech=True)
    assert caption_from_answer(answer, offscreen).sounds == "another voice that is not seen", "which was measured"


class _Server(HTTPServer):
    """Answers with the given texts in turn, and keeps what it was asked."""

    def __init__(self, *answers):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.requests = list(answers), []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, self.headers.get("Authorization"), body))
        answer = self.server.answers.pop(0)
        text = json.dumps({"choices": [{"message": {"content": answer}}]}) if answer is not None else "?"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(*answers):
        server = _Server(*answers)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_server_is_asked_with_pictures_and_its_answer_is_used(serve, monkeypatch):
    monkeypatch.setenv("CAPTION_KEY", "secret")
    server = serve(json.dumps(GOOD))
    captioner = ServedCaptioner(ServedCaptions(type="server", url=server.url, model="m", key_variable="CAPTION_KEY"))
    caption = captioner.describe(TASK)
    assert caption.scene == GOOD["scene"] and caption.lines == TASK.lines
    ((path, key, body),) = server.requests
    assert (path, key, body["model"], body["temperature"]) == ("/v1/chat/completions", "Bearer secret", "m", 0)
    kinds = [part["type"] for part in body["messages"][0]["content"]]
    assert kinds == ["image_url", "text"]


def test_a_server_that_hears_is_sent_the_sound(serve):
    server = serve(json.dumps({**GOOD, "sounds": "rain"}))
    captioner = ServedCaptioner(ServedCaptions(type="server", url=server.url, model="m", hears=True))
    assert captioner.hears
    assert captioner.describe(replace(TASK, sound=SOUND)).sounds == "rain"
    ((_, _, body),) = server.requests
    *_, part, _ = body["messages"][0]["content"]
    assert (part["type"], part["input_audio"]["format"]) == ("input_audio", "wav")
    with wave.open(io.BytesIO(base64.b64decode(part["input_audio"]["data"]))) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (1, 16_000, 8000)
        samples = np.frombuffer(file.readframes(8000), "<i2") / 32767
    np.testing.assert_allclose(samples, SOUND.samples[0].numpy(), atol=1e-4)


def test_a_server_that_errs_is_told_and_asked_again(serve, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server = serve("no", json.dumps(GOOD))
    ServedCaptioner(ServedCaptions(type="server", url=server.url, model="m")).describe(TASK)
    (_, key, _), (_, _, second) = server.requests
    assert key is None
    assert "no JSON" in second["messages"][-1]["content"]


def test_a_server_that_keeps_erring_gives_no_caption(serve):
    wrong = json.dumps({**GOOD, "subjects": []})
    server = serve(wrong, wrong)
    with pytest.raises(CaptionError, match="describes 0 people"):
        ServedCaptioner(ServedCaptions(type="server", url=server.url, model="m")).describe(TASK)
    assert len(server.requests) == 2


def test_a_server_that_is_none_is_an_error(serve):
    server = serve(None)
    settings = ServedCaptions(type="server", url=server.url, model="m")
    with pytest.raises(ConnectionError, match="another protocol"):
        ServedCaptioner(settings).describe(TASK)
    with pytest.raises(ConnectionError, match="does not answer"):
        ServedCaptioner(settings.model_copy(update={"url": "http://127.0.0.1:9/v1"})).describe(TASK)


def test_settings_are_a_name_a_hub_id_or_a_mapping():
    read = TypeAdapter(CaptionerSettings).validate_python
    assert read("measured").type == "measured"
    assert read("Qwen/Qwen2.5-VL-7B-Instruct").model == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert read({"type": "server", "url": "http://x/v1", "model": "m"}).num_tries == 2
    with pytest.raises(ValidationError):
        read({"type": "measured", "temperature": 1})
