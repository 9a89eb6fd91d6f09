import numpy as np
import pytest

from iap_pipelines.evaluation.functional import (
    copy_paste,
    face_similarity,
    identity_drift,
    prompt_adherence,
    template,
    voice_similarity,
)


def _faces(seed, count=5, channels=8):
    return np.random.default_rng(seed).standard_normal((count, channels))


def test_similarity_agrees_with_torch():
    torch = pytest.importorskip("torch")
    frames, reference = _faces(0), _faces(1, 1)
    expected = torch.nn.functional.cosine_similarity(torch.from_numpy(frames), torch.from_numpy(reference)).mean()
    assert face_similarity(frames, reference).similarity == pytest.approx(expected.item())


def test_only_directions_count():
    frames, references = _faces(0), _faces(1)
    scaled = frames * np.array([[0.1], [2], [3], [4], [50]])
    assert face_similarity(scaled, 7 * references) == pytest.approx(face_similarity(frames, references))


def test_frames_without_the_face_lower_only_the_share():
    frames = _faces(0, 4)
    with_gaps = np.insert(frames, [1, 3], np.nan, axis=0)
    found, gaps = face_similarity(frames, _faces(1)), face_similarity(with_gaps, _faces(1))
    assert gaps.similarity == found.similarity
    assert (found.share_with_face, gaps.share_with_face) == (1.0, pytest.approx(4 / 6))


def test_no_face_at_all_is_no_similarity():
    assert face_similarity(np.full((3, 8), np.nan), _faces(1)) == (None, 0.0)
    assert face_similarity(np.empty((0, 8)), _faces(1)) == (None, 0.0)
    assert copy_paste(np.full((3, 8), np.nan), _faces(1)[0], _faces(2)) is None


def test_a_copied_picture_is_told_from_a_shown_person():
    """Pictures of one person are the person plus something else; a copy repeats the something else."""
    person, generator = _faces(0, 1, 64), np.random.default_rng(3)
    pictures = person + 0.6 * generator.standard_normal((6, 64))
    copied = copy_paste(pictures[:1], pictures[0], pictures[1:])
    shown = copy_paste(person + 0.6 * generator.standard_normal((20, 64)), pictures[0], pictures[1:])
    assert copied > 0.2
    assert abs(shown) < 0.1


def test_drift_is_the_slope_that_was_put_in():
    times = np.linspace(0, 4, 9)
    cosines = 0.9 - 0.15 * times
    frames = np.stack([cosines, np.sqrt(1 - cosines**2)], axis=1)
    assert identity_drift(frames, np.array([[1.0, 0.0]]), times) == pytest.approx(0.15)
    frames[3] = np.nan
    assert identity_drift(frames, np.array([[1.0, 0.0]]), times) == pytest.approx(0.15)
    assert identity_drift(frames[::-1], np.array([[1.0, 0.0]]), times) == pytest.approx(-0.15)


def test_drift_needs_two_times():
    assert identity_drift(_faces(0, 1), _faces(1), np.array([0.0])) is None


def test_voice_and_prompt_by_hand():
    assert voice_similarity(np.array([0.0, 3.0]), np.array([[1.0, 1.0]])) == pytest.approx(2**-0.5)
    assert prompt_adherence(np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([1.0, 0.0])) == pytest.approx(
        (1 + 2**-0.5) / 2
    )


@pytest.mark.parametrize("references", [np.empty((0, 8)), np.zeros((1, 8)), np.full((2, 8), np.inf)])
def test_a_template_needs_directions(references):
    with pytest.raises(ValueError, match="embedding"):
        template(references)


def test_another_models_embeddings_are_refused():
    with pytest.raises(ValueError, match="same model"):
        face_similarity(_faces(0, 2, 8), _faces(1, 2, 16))
