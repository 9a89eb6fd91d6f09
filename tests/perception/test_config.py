import pytest
from pydantic import ValidationError

from iap_pipelines.perception import backends
from iap_pipelines.perception.config import PerceptionSettings, ScrfdSettings, YuFaceSettings


def test_defaults_are_embedded_models():
    settings = PerceptionSettings()
    assert settings.face_detector == YuFaceSettings(longest_side=416)
    assert (settings.voice_embedder.type, settings.transcriber.model) == ("campplus", None)


def test_a_hub_id_is_short_for_transformers():
    settings = PerceptionSettings(transcriber="openai/whisper-large-v3-turbo", face_detector="yuface")
    assert settings.transcriber.model_dump() == {
        "type": "transformers",
        "model": "openai/whisper-large-v3-turbo",
        "revision": None,
        "language": None,
    }


def test_settings_go_there_and_back():
    settings = PerceptionSettings(face_detector={"type": "scrfd", "path": "det.onnx"}, voice_activity="a/b")
    assert isinstance(settings.face_detector, ScrfdSettings)
    assert PerceptionSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"face_detector": "retinaface"},
        {"face_detector": {"type": "yuface", "side": 320}},
        {"face_embedder": {"type": "arcface"}},
        {"voice_activity": {"type": "silero", "threshold": 2}},
        {"captions": "none"},
    ],
)
def test_what_does_not_exist_fails(wrong):
    with pytest.raises(ValidationError):
        PerceptionSettings(**wrong)


def test_a_model_is_loaded_once():
    assert backends.load_face_detector("yuface") is backends.load_face_detector(YuFaceSettings())
    assert backends.load_face_detector({"type": "yuface", "longest_side": 320}).longest_side == 320


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match="`path`.*nowhere.onnx"):
        backends.load_face_embedder({"type": "arcface", "path": "nowhere.onnx"})


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yuface", None)
    with pytest.raises(ImportError, match=r"iap-pipelines\[curation\]"):
        backends.load_face_detector({"type": "yuface", "longest_side": 111})
