"""The models that come in packages, on real faces and voices."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from iap_pipelines.media import read_audio, read_image, read_video
from iap_pipelines.perception import backends
from iap_pipelines.perception.asr_faster_whisper import _remember_last
from iap_pipelines.perception.interfaces import FaceDetection
from iap_pipelines.types import AudioSamples


@pytest.fixture(scope="module")
def two_men(media):
    return np.array(read_image(media / "image/gh_two_men.jpg"))


def test_faces_are_found_where_they_are(two_men):
    left, right = sorted(backends.load_face_detector().detect(two_men), key=lambda face: face.box[0])
    middle = two_men.shape[1] / 2
    assert left.box[2] < middle < right.box[0]
    for face in (left, right):
        eyes, mouth = face.points[:2], face.points[3:]
        assert eyes[0, 0] < eyes[1, 0]
        assert eyes[:, 1].max() < mouth[:, 1].min()
        assert 0.6 <= face.score <= 1


def test_detection_does_not_depend_on_the_size_of_the_picture(two_men):
    detector = backends.load_face_detector()
    double = np.kron(two_men, np.ones((2, 2, 1), np.uint8))
    for face, larger in zip(detector.detect(two_men), detector.detect(double), strict=True):
        np.testing.assert_allclose(2 * np.array(face.box), larger.box, atol=12)


def test_no_face_no_detection():
    assert backends.load_face_detector().detect(np.full((90, 160, 3), 128, np.uint8)) == []
    assert backends.load_face_detector().detect(np.zeros((1, 1, 3), np.uint8)) == []


def test_the_detector_finds_what_its_package_finds(two_men):
    yuface = pytest.importorskip("yuface")
    for picture in (two_men, two_men[:, ::-1], two_men[::2, ::2]):
        small = np.ascontiguousarray(picture[..., ::-1][:416, :416])
        scores, boxes, points = yuface.detect(small, 0.6)
        found = backends.load_face_detector().detect(small[..., ::-1])
        assert sorted(round(100 * face.score) for face in found) == sorted(scores.tolist())
        corners = sorted((x, y, x + width, y + height) for x, y, width, height in boxes.tolist())
        assert sorted(face.box for face in found) == corners
        assert sorted(face.points[0, 0] for face in found) == sorted(points[:, 0].tolist())


def test_detection_keeps_no_memory(two_men):
    """Its package's own function loses 36 kB a call, which fills a machine in some hours of video."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    detector, small = backends.load_face_detector(), np.ascontiguousarray(two_men[::6, ::6])
    for _ in range(50):
        detector.detect(small)
    before = _resident_bytes()
    for _ in range(500):
        detector.detect(small)
    assert _resident_bytes() - before < 5_000_000


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_landmarks_agree_with_the_detector(two_men):
    for face in backends.load_face_detector().detect(two_men):
        points = backends.load_face_landmarker().locate(two_men, face)
        assert points.shape == (68, 2)
        corners = points[[48, 54]]
        assert np.abs(corners - face.points[3:]).max() < 0.15 * face.size


def test_one_person_is_near_and_strangers_are_far(media, two_men):
    detector, embedder = backends.load_face_detector(), backends.load_face_embedder()

    def embed(image):
        return [embedder.embed(image, face) for face in sorted(detector.detect(image), key=lambda face: face.box[0])]

    (a_ref,) = embed(np.array(read_image(media / "image/a_ref.jpg")))
    (a_calm,) = embed(read_video(media / "video/a_calm.mp4", max_seconds=0.2)[0].frames[0].numpy())
    g, h = embed(two_men)
    assert np.linalg.norm(a_ref) == pytest.approx(1, abs=1e-5)
    assert a_ref @ a_calm > 0.6
    assert max(a_ref @ g, a_ref @ h) < 0.4
    assert g @ h < 0.65


def test_an_embedding_survives_a_strided_picture(two_men):
    embedder = backends.load_face_embedder()
    face = backends.load_face_detector().detect(two_men)[0]
    strided = np.ascontiguousarray(two_men[:, ::-1])[:, ::-1]
    np.testing.assert_array_equal(embedder.embed(strided, face), embedder.embed(two_men, face))


def test_a_face_beyond_the_border_does_not_crash(two_men):
    face = FaceDetection((-40, -40, 40, 40), np.float32([[-20, -10], [10, -10], [-5, 5], [-15, 20], [8, 20]]), 1.0)
    assert np.isfinite(backends.load_face_embedder().embed(two_men, face)).all()


def test_speech_is_found_between_silences(media):
    speech = read_audio(media / "voice/libri_367-130732-0001.flac")
    silence = torch.zeros(1, speech.sampling_rate)
    padded = AudioSamples(torch.cat([silence, speech.samples, silence], dim=1), speech.sampling_rate)
    spans = backends.load_voice_activity_detector().find_speech(padded)
    assert spans[0].start == pytest.approx(1.2, abs=0.4)
    assert spans[-1].end == pytest.approx(1 + speech.duration_seconds, abs=0.6)
    assert all(first.end < second.start for first, second in zip(spans, spans[1:], strict=False))


def test_silence_and_a_cat_are_no_speech(media):
    detector = backends.load_voice_activity_detector()
    assert detector.find_speech(AudioSamples(torch.zeros(2, 44_100), 44_100)) == []
    assert detector.find_speech(read_audio(media / "video/no_person_cat.mp4")) == []


def test_importing_silero_does_not_change_the_number_of_threads():
    before = torch.get_num_threads()
    backends.load_voice_activity_detector({"type": "silero", "threshold": 0.6})
    assert torch.get_num_threads() == before


def test_voices(media):
    embedder = backends.load_voice_embedder()
    names = ["367-130732-0001", "367-130732-0004", "1998-15444-0001", "1998-15444-0006", "3080-5032-0000"]
    voices = np.stack([embedder.embed(read_audio(media / f"voice/libri_{name}.flac")) for name in names])
    similarity = voices @ voices.T
    np.testing.assert_allclose(similarity.diagonal(), 1, atol=1e-5)
    assert min(similarity[0, 1], similarity[2, 3]) > 0.62
    assert max(similarity[0, 2], similarity[0, 4], similarity[2, 4]) < 0.5


def test_a_moment_of_sound_has_a_voice():
    assert np.isfinite(backends.load_voice_embedder().embed(AudioSamples(torch.zeros(1, 10), 16_000))).all()


def test_words_and_their_times(media, manifest):
    name = "voice/tts_bm_george_1.flac"
    audio = read_audio(media / name)
    words = backends.load_transcriber().transcribe(audio)
    text = " ".join(word.text for word in words).lower().strip(".")
    assert text == manifest[name]["transcript"].lower().strip(".")
    times = [time for word in words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= audio.duration_seconds + 0.1
    assert all(0 < word.probability <= 1 for word in words)


def test_every_model_says_what_it_is():
    models = [
        backends.load_face_detector(),
        backends.load_face_landmarker(),
        backends.load_face_embedder(),
        backends.load_voice_activity_detector(),
        backends.load_voice_embedder(),
        backends.load_transcriber(),
    ]
    assert all(model.name and model.revision for model in models)


def test_what_was_encoded_is_not_encoded_again():
    encoded = []
    encode = _remember_last(lambda features: encoded.append(features.sum()) or len(encoded))
    one, other = np.ones((2, 3)), np.zeros((2, 3))
    assert [encode(one), encode(one.copy()), encode(other), encode(one)] == [1, 1, 2, 3]
    one += 1
    assert encode(one) == 4, "an array that changed is another"
