"""Clips of a toy world, whose truth is known, to scores: each change lowers its own metric and nothing else."""

import numpy as np
import pytest

from iap_pipelines.evaluation.observer import ClipObserver
from iap_pipelines.evaluation.reference_embeddings import ReferenceEmbeddings
from iap_pipelines.evaluation.references import ClipReference, SubjectReference
from iap_pipelines.evaluation.scoring import ClipScorer
from iap_pipelines.evaluation.settings import BindingThresholds
from iap_pipelines.media import read_video, write_video
from tests.evaluation.toys import ADA, BEN, CAT, toy_models, write_clip, write_references


THRESHOLDS = BindingThresholds(face_similarity=0.5, voice_similarity={1.0: 0.5}, lip_agreement=0.0)
TURNS = [(0.0, 2.0, 0), (2.4, 4.4, 1)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toys")
    references = {}
    for name, person in (("ada", ADA), ("ben", BEN), ("cat", CAT)):
        references[name] = write_references(folder, name, person)
    return folder, references


def _subject(world, name, *, face=True, voice=True, text=None):
    picture, recording = world[1][name]
    return SubjectReference(
        name, faces=(picture,) * face, other_faces=(picture,) * face, voices=(recording,) * voice, text=text
    )


def _score(video, subjects, models=None, prompt=None, thresholds=THRESHOLDS):
    models = models or toy_models()
    clip = ClipReference("clip", video, tuple(subjects), prompt)
    scorer = ClipScorer(clip, ClipObserver(*read_video(video), models), ReferenceEmbeddings(models), thresholds)
    scores = {(score.metric, score.subject): score for score in scorer.scores()}
    return scores, scorer.details()


@pytest.fixture(scope="module")
def dialogue(world):
    video = write_clip(world[0] / "dialogue.mp4", [ADA, BEN], TURNS)
    return _score(video, [_subject(world, "ada", text="low"), _subject(world, "ben", text="middle")])


def _values(scores):
    return {key: score.value for key, score in scores.items()}


def test_a_right_clip_gets_the_best_scores(dialogue):
    values = _values(dialogue[0])
    for name in ("ada", "ben"):
        assert values["face_similarity", name] > 0.99
        assert values["face_share", name] == 1
        assert values["voice_similarity", name] > 0.95
        assert abs(values["identity_drift", name]) < 0.01
        assert abs(values["copy_paste", name]) < 0.02
    assert values["binding", None] > 0.95
    assert values["lip_sync_offset", None] <= 40
    assert values["speaker_word_error_rate", None] == 0


def test_details_say_who_spoke_when(dialogue):
    turns = [turn for turn in dialogue[1]["turns"] if turn["end"] - turn["start"] > 0.3]
    assert [(turn["voice"], turn["face"]) for turn in turns] == [("ada", "ada"), ("ben", "ben")]
    confusion = np.array(dialogue[1]["binding_confusion_seconds"])
    assert confusion.shape == (3, 3)
    assert confusion[0, 0] == pytest.approx(2, abs=0.2)


def test_swapped_voices_lower_binding_alone(world, dialogue):
    """The second person's lines come in the first one's voice and the other way round; everything else is the same."""
    video = write_clip(world[0] / "swapped.mp4", [ADA, BEN], TURNS, voices=[BEN, ADA])
    scores, details = _score(video, [_subject(world, "ada"), _subject(world, "ben")])
    right, wrong = _values(dialogue[0]), _values(scores)
    assert wrong["binding", None] < 0.05
    for metric in ("face_similarity", "face_share", "voice_similarity"):
        for name in ("ada", "ben"):
            assert wrong[metric, name] == pytest.approx(right[metric, name], abs=0.02)
    assert wrong["lip_sync_offset", None] <= 40
    assert details["binding_confusion_seconds"][0][1] == pytest.approx(2, abs=0.2)


def test_late_sound_changes_the_offset_and_not_who_speaks(world):
    video = write_clip(world[0] / "late.mp4", [ADA, BEN], [(0, 2, 0), (2.4, 4.4, 1), (4.4, 5, 1)], delay=0.32)
    scores, details = _score(video, [_subject(world, "ada"), _subject(world, "ben")])
    assert details["signed_lip_sync_offset_ms"] == pytest.approx(320, abs=40)
    assert scores["lip_sync_offset", None].value == pytest.approx(320, abs=40)
    assert scores["binding", None].value > 0.8


def test_lse_is_read_off_the_distances(world):
    """The same mouth without sound of its own: a larger distance and less confidence."""
    subjects = [_subject(world, "ada")]
    own = write_clip(world[0] / "own.mp4", [ADA], [(0, 3, 0)])
    other = write_clip(world[0] / "other.mp4", [ADA], [(0, 3, 0)], seed=9)
    observer = ClipObserver(*read_video(own), toy_models())
    strange = observer.with_sound(ClipObserver(*read_video(other), toy_models()).sound)
    scores = []
    for seen in (observer, strange):
        clip = ClipReference("clip", own, tuple(subjects))
        references = ReferenceEmbeddings(toy_models())
        scorer = ClipScorer(clip, seen, references, THRESHOLDS)
        scores.append({score.metric: score.value for score in scorer.scores(("lse_c", "lse_d"))})
    assert 4 < scores[0]["lse_d"] < scores[1]["lse_d"] < 5.5
    assert scores[0]["lse_c"] > scores[1]["lse_c"] > 0


def test_another_persons_face_lowers_the_face_and_binding(world):
    video = write_clip(world[0] / "stranger.mp4", [CAT], [(0, 3, 0)], voices=[ADA])
    values = _values(_score(video, [_subject(world, "ada")])[0])
    assert values["face_similarity", "ada"] < 0.5
    assert values["voice_similarity", "ada"] > 0.95
    assert values["binding", None] == 0


def test_another_persons_voice_lowers_the_voice_and_binding(world):
    video = write_clip(world[0] / "dubbed.mp4", [ADA], [(0, 3, 0)], voices=[CAT])
    values = _values(_score(video, [_subject(world, "ada")])[0])
    assert values["voice_similarity", "ada"] < 0.5
    assert values["face_similarity", "ada"] > 0.99
    assert values["binding", None] == 0


def test_a_voice_over_a_mouth_that_stands_still_is_not_bound(world):
    """Face and voice are the right ones, but nobody is seen to speak."""
    video = write_clip(world[0] / "still.mp4", [ADA], [(0, 2, 0)])
    frames, audio = read_video(video)
    write_video(
        frames.frames[:1].expand_as(frames.frames),
        audio.samples,
        video,
        frame_rate=25,
        sampling_rate=audio.sampling_rate,
    )
    values = _values(_score(video, [_subject(world, "ada")])[0])
    assert values["face_similarity", "ada"] > 0.99
    assert values["voice_similarity", "ada"] > 0.95
    assert values["binding", None] == 0


def test_a_voice_whose_face_is_gone_is_not_bound(world):
    """The right face is seen in the first second, the right voice is heard from the third on."""
    video = write_clip(world[0] / "gone.mp4", [ADA], [(2, 3.5, 0)])
    frames, audio = read_video(video)
    pictures = frames.frames.clone()
    pictures[25:] = 128
    write_video(pictures, audio.samples, video, frame_rate=25, sampling_rate=audio.sampling_rate)
    scores, details = _score(video, [_subject(world, "ada")])
    assert (scores["binding", None].value, scores["binding", None].weight) == (0, pytest.approx(1.5, abs=0.2))
    assert scores["lip_sync_offset", None].reason == "no mouth is seen while somebody speaks"
    assert {(turn["voice"], turn["face"]) for turn in details["turns"]} == {("ada", None)}
    for role in ("face_embedder", "lip_sync"):
        scores, _ = _score(video, [_subject(world, "ada")], toy_models(**{role: "no weights here"}))
        assert scores["binding", None].reason == f"{role}: no weights here"


@pytest.mark.parametrize(("seconds", "bound"), [(2.0, True), (3.5, False)])
def test_all_speech_of_a_voice_is_compared_as_a_whole_too(world, seconds, bound):
    """Stretches of up to 3 s may pass for a voice of which the whole is too far away."""
    video = write_clip(world[0] / "long.mp4", [ADA], [(0, seconds, 0)])
    thresholds = THRESHOLDS._replace(voice_similarity={3.0: 0.5, 3.1: 1.01})
    values = _values(_score(video, [_subject(world, "ada")], thresholds=thresholds)[0])
    assert (values["binding", None] > 0.95) is bound
    assert bound or values["binding", None] == 0


def test_people_who_speak_by_turns_without_a_pause_are_told_apart(world):
    """Turns of half a second, one right after the other; they are cut where it is quiet, which is near the change."""
    spoken = [(0.5 * number, 0.5 * (number + 1), number % 2) for number in range(6)]
    subjects = [_subject(world, "ada"), _subject(world, "ben")]
    right = _values(_score(write_clip(world[0] / "quick.mp4", [ADA, BEN], spoken), subjects)[0])
    video = write_clip(world[0] / "quick_swapped.mp4", [ADA, BEN], spoken, voices=[BEN, ADA])
    assert right["binding", None] > 0.75
    assert _values(_score(video, subjects)[0])["binding", None] < 0.2


def test_the_order_of_the_references_does_not_matter(world, dialogue):
    video = world[0] / "dialogue.mp4"
    subjects = [_subject(world, "ben", text="middle"), _subject(world, "ada", text="low")]
    other = _values(_score(video, subjects)[0])
    assert dict(other.items()) == pytest.approx(_values(dialogue[0]))


def test_what_is_not_asked_for_is_not_measured(world):
    video = world[0] / "dialogue.mp4"
    scores, _ = _score(video, [_subject(world, "ada", voice=False), _subject(world, "ben", face=False)])
    assert scores["face_similarity", "ada"].value > 0.99
    assert scores["voice_similarity", "ada"].value is None
    assert scores["face_share", "ben"].reason == "no reference face"
    assert "of every person" in scores["binding", None].reason
    assert "text" in scores["word_error_rate", None].reason


def test_the_order_of_lines_comes_from_the_caption(world):
    video = world[0] / "dialogue.mp4"
    subjects = [_subject(world, "ben", text="middle"), _subject(world, "ada", text="low")]
    prompt = 'Scene: grey. <S1>: right, man. <S2>: left, woman. <S2> says: "low". <S1> says: "middle".'
    assert _score(video, subjects, prompt=prompt)[0]["word_error_rate", None].value == 0
    assert "order" in _score(video, subjects)[0]["word_error_rate", None].reason


def test_texts_and_captions_without_words_are_not_measured(world, dialogue):
    video = world[0] / "dialogue.mp4"
    scores, _ = _score(video, [_subject(world, "ada", text="..."), _subject(world, "ben", text="-")])
    for metric in ("word_error_rate", "speaker_word_error_rate"):
        assert "`text`" in scores[metric, None].reason
    subjects = [_subject(world, "ada", text="low"), _subject(world, "ben", text="middle")]
    scores, _ = _score(video, subjects, prompt="Scene: grey. <S1>: left, woman. <S2>: right, man.")
    assert "`prompt`" in scores["word_error_rate", None].reason
    assert scores["speaker_word_error_rate", None].value == 0


def test_missing_models_leave_their_metrics_empty(world):
    models = toy_models(voice_embedder="no weights here", lip_sync="none either")
    scores, details = _score(world[0] / "dialogue.mp4", [_subject(world, "ada"), _subject(world, "ben")], models)
    assert scores["voice_similarity", "ada"] == scores["voice_similarity", "ada"]
    assert scores["voice_similarity", "ada"].value is None
    assert scores["voice_similarity", "ada"].reason == "voice_embedder: no weights here"
    assert scores["lip_sync_offset", None].reason == "lip_sync: none either"
    assert scores["face_similarity", "ada"].value > 0.99
    assert details["turns"] is None


def test_a_silent_clip_and_an_empty_picture(world, tmp_path):
    import torch

    video = write_video(torch.full((25, 96, 96, 3), 128, dtype=torch.uint8), None, tmp_path / "x.mp4", frame_rate=25)
    scores, _ = _score(video, [_subject(world, "ada")])
    assert scores["face_similarity", "ada"].reason == "no face was found in the clip"
    assert scores["face_share", "ada"].value == 0
    assert scores["voice_similarity", "ada"].reason == "the clip has no sound"


def test_an_unreadable_reference_is_the_reason(world, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    subject = SubjectReference("ada", faces=(broken,), voices=world[1]["ada"][1:])
    scores, _ = _score(world[0] / "dialogue.mp4", [subject])
    assert "broken.png" in scores["face_similarity", "ada"].reason
    assert scores["voice_similarity", "ada"].value is not None
