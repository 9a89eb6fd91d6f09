import numpy as np
import pytest

from iap_pipelines.curation.tracking import (
    TimedFaces,
    link_faces,
    mean_embedding,
    sample_times,
    split_track,
)
from iap_pipelines.perception.interfaces import FaceDetection


def face(x, y=100.0, side=60.0, score=0.9):
    points = np.float32([[x - 12, y - 10], [x + 12, y - 10], [x, y], [x - 10, y + 14], [x + 10, y + 14]])
    half = side / 2
    return FaceDetection((x - half, y - half, x + half, y + half), points, score)


def walk(positions, rate=5.0):
    """Pictures at ``rate`` per second; each entry lists where faces are."""
    return [TimedFaces(i / rate, tuple(face(x) for x in places)) for i, places in enumerate(positions)]


def test_two_people_are_two_tracks():
    left, right = link_faces(walk([(100 + i, 300 - i) for i in range(10)]))
    assert sorted([left.center[0], right.center[0]]) == pytest.approx([104.5, 295.5])
    assert (left.start, left.end) == (0.0, 1.8)


def test_no_detection_is_used_twice_and_order_does_not_matter():
    generator = np.random.default_rng(0)
    frames, shuffled = [], []
    for i in range(20):
        places = [face(100 + 3 * i), face(250 - 3 * i), face(400 + float(generator.normal(0, 4)))]
        frames.append(TimedFaces(i / 5, tuple(places)))
        generator.shuffle(places)
        shuffled.append(TimedFaces(i / 5, tuple(places)))
    tracks, again = link_faces(frames), link_faces(shuffled)
    boxes = [
        tuple(row) + (time,) for track in tracks for time, row in zip(track.times, track.boxes.tolist(), strict=True)
    ]
    assert len(boxes) == len(set(boxes)) == 60
    for first, second in zip(tracks, again, strict=True):
        np.testing.assert_array_equal(first.boxes, second.boxes)


def test_the_best_pairing_of_all_wins_over_the_nearest_first():
    """The left face has moved onto the place between; taking the largest overlap first would lose the right one."""
    frames = [TimedFaces(i / 5, (face(100), face(130))) for i in range(4)]
    frames += [TimedFaces((4 + i) / 5, (face(118), face(150))) for i in range(4)]
    first, second = sorted(link_faces(frames), key=lambda track: track.boxes[0, 0])
    assert first.boxes[-1, 0] < second.boxes[-1, 0]
    assert len(first.times) == len(second.times) == 8


def test_a_long_gap_ends_a_track_and_a_short_one_does_not():
    frames = walk([(100,)] * 6 + [()] + [(100,)] * 6)
    assert len(link_faces(frames)) == 1
    assert len(link_faces(walk([(100,)] * 6 + [()] * 5 + [(100,)] * 6))) == 2


def test_a_flash_of_a_face_is_dropped():
    assert link_faces(walk([(), (100,), (100,), (), ()])) == []


def test_a_face_between_two_detections():
    (track,) = link_faces(walk([(100,), (110,), (120,)]))
    between = track.at(0.1)
    assert between.box == pytest.approx(face(105).box)
    np.testing.assert_allclose(between.points, face(105).points, rtol=1e-5)
    assert track.at(0.2).box == pytest.approx(face(110).box)
    assert track.at(0.5).box == pytest.approx(face(120).box)
    assert track.at(2.0) is None


def test_times_to_embed_are_spread_over_the_track():
    (track,) = link_faces(walk([(100,)] * 30))
    times = sample_times(track, 4)
    assert len(times) == 4
    assert set(times) <= set(track.times)
    assert np.diff(times).min() > 1.0
    assert len(sample_times(track, 100)) == 30


def _people(*counts, noise=0.1, seed=0):
    generator = np.random.default_rng(seed)
    rows = []
    for number, count in enumerate(counts):
        rows += [np.eye(16)[number] + generator.normal(0, noise, 16) for _ in range(count)]
    rows = np.array(rows)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_track_is_split_where_the_face_changes():
    (track,) = link_faces(walk([(100,)] * 40))
    times = sample_times(track, 9)
    parts = split_track(track, times, _people(4, 5))
    assert [len(embeddings) for _, embeddings in parts] == [4, 5]
    first, second = parts[0][0], parts[1][0]
    assert times[3] <= first.end < second.start <= times[4]
    assert len(first.times) + len(second.times) == 40


def test_one_person_and_one_bad_picture_are_not_split():
    (track,) = link_faces(walk([(100,)] * 40))
    times = sample_times(track, 8)
    embeddings = _people(8)
    assert len(split_track(track, times, embeddings)) == 1
    embeddings[7] = np.eye(16)[5]
    assert len(split_track(track, times, embeddings)) == 1


def test_three_people_in_one_place():
    (track,) = link_faces(walk([(100,)] * 40))
    assert len(split_track(track, sample_times(track, 12), _people(4, 4, 4))) == 3


def test_mean_embedding():
    mean, coherence = mean_embedding(np.eye(4)[:2])
    np.testing.assert_allclose(mean, [0.5**0.5, 0.5**0.5, 0, 0])
    assert coherence == pytest.approx(0.5**0.5)
