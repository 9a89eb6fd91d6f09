"""Speech to turns, with voices that are directions and sound that is loud or not."""

import numpy as np
import pytest
import torch

from iap_pipelines.evaluation.functional.binding import NOBODY
from iap_pipelines.evaluation.people import CELL_SECONDS, speech_cells, turns
from iap_pipelines.evaluation.voice_stretches import (
    MAX_STRETCH_SECONDS,
    MIN_PIECE_SECONDS,
    Stretch,
    cut_speech,
    label_voices,
    stretches_of,
)
from iap_pipelines.perception.interfaces import TimeSpan
from iap_pipelines.types import AudioSamples


RATE = 16_000
ADA, BEN, CAT = np.eye(4)[:3]
REFERENCES = np.stack([ADA, BEN])


def _sound(seconds, quiet=()):
    """Noise that is nearly silent for 40 ms around some moments."""
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * RATE)).astype(np.float32)
    for moment in quiet:
        samples[round((moment - 0.02) * RATE) : round((moment + 0.02) * RATE)] *= 0.01
    return AudioSamples(torch.from_numpy(samples)[None], RATE)


def test_speech_is_cut_where_it_is_quietest():
    pieces = cut_speech(_sound(1.2, quiet=(0.36, 0.8)), [TimeSpan(0.0, 1.2)])
    assert {0.36, 0.8} <= {round(piece.start, 3) for piece in pieces}


@pytest.mark.parametrize("spans", [[(0.0, 0.39)], [(0.12, 0.55), (0.9, 4.1)], [(0.013, 7.777)]])
def test_pieces_are_the_speech_and_as_short_as_a_word(spans):
    speech = [TimeSpan(*span) for span in spans]
    pieces = cut_speech(_sound(8.0), speech)
    assert sum(piece.duration for piece in pieces) == pytest.approx(sum(span.duration for span in speech))
    assert all(MIN_PIECE_SECONDS - 1e-6 <= piece.duration < 0.4 + CELL_SECONDS for piece in pieces)
    assert pieces == cut_speech(_sound(8.0), speech)


def test_stretches_do_not_cross_pauses_and_are_not_too_long():
    pieces = [TimeSpan(0, 1), TimeSpan(1, 2), TimeSpan(2.5, 4), TimeSpan(4, 6)]
    spans = [(stretch.first, stretch.stop) for stretch in stretches_of(pieces)]
    assert spans == [(0, 1), (0, 2), (1, 2), (2, 3), (3, 4)], "the last two together last longer than 3 s"
    assert MAX_STRETCH_SECONDS == 3.0


def _voices(pieces, speakers):
    """Embeddings of all stretches: the mean direction of who speaks in them, by seconds."""
    stretches = stretches_of(pieces)
    rows = []
    for first, stop, _ in stretches:
        mixed = sum(pieces[k].duration * speakers[k] for k in range(first, stop))
        rows.append(mixed / np.linalg.norm(mixed))
    return stretches, np.stack(rows)


def _label(pieces, speakers, min_similarity=0.5, **options):
    stretches, voices = _voices(pieces, speakers)
    needed = np.full(len(stretches), min_similarity)
    return label_voices(stretches, voices @ REFERENCES.T, needed, pieces[-1].end, **options)


def _row(count, seconds=0.32):
    return [TimeSpan(k * seconds, (k + 1) * seconds) for k in range(count)]


def test_a_change_of_voice_without_a_pause_is_found_in_time():
    pieces = _row(5)
    labels = _label(pieces, [ADA, ADA, BEN, BEN, BEN])
    first, second = turns(labels, speech_cells(pieces, pieces[-1].end))
    assert (first.voice, second.voice) == (0, 1)
    assert first.span.end == pytest.approx(0.64)


def test_a_word_in_between_is_found():
    labels = _label(_row(5), [ADA, ADA, BEN, ADA, ADA])
    assert [labels[round((k + 0.5) * 8)] for k in range(5)] == [0, 0, 1, 0, 0]


def test_a_strangers_words_are_nobodys_or_the_nearest_ones():
    stranger = (2 * CAT + BEN) / np.sqrt(5)
    speakers = [ADA, stranger, stranger]
    assert [_label(_row(3), speakers)[k] for k in (3, 11, 19)] == [0, NOBODY, NOBODY]
    assert [_label(_row(3), speakers, anybody=True)[k] for k in (3, 11, 19)] == [0, 1, 1]


def test_short_speech_of_a_person_is_known_by_what_surrounds_it():
    """A piece that alone would be nobody's belongs to the stretch around it."""
    mumbled = (ADA + 1.5 * CAT) / np.sqrt(1 + 1.5**2)
    assert mumbled @ ADA < 0.6
    pieces = _row(3)
    labels = _label(pieces, [ADA, mumbled, ADA], min_similarity=0.6)
    assert (labels == 0).all()
    assert (_label(pieces[:1], [mumbled], min_similarity=0.6) == NOBODY).all()


def test_the_division_that_earns_most_is_taken_by_hand():
    """Two pieces of 1 s. Apart they earn 0.2 + 0.1 above 0.5, together 2 x 0.25."""
    pieces = [TimeSpan(0, 1), TimeSpan(1, 2)]
    stretches = stretches_of(pieces)
    assert [stretch[:2] for stretch in stretches] == [(0, 1), (0, 2), (1, 2)]
    similarities = np.array([[0.7, 0.1], [0.75, 0.3], [0.2, 0.6]])
    apart = label_voices(stretches, similarities - [[0, 0], [0.15, 0], [0, 0]], np.full(3, 0.5), 2.0)
    assert apart.tolist() == [0] * 25 + [1] * 25
    together = label_voices(stretches, similarities, np.full(3, 0.5), 2.0)
    assert together.tolist() == [0] * 50
    longer_needs_more = label_voices(stretches, similarities, np.array([0.5, 0.65, 0.5]), 2.0)
    assert longer_needs_more.tolist() == [0] * 25 + [1] * 25


def test_where_nobody_speaks_is_nobody():
    labels = label_voices([Stretch(0, 1, TimeSpan(0.4, 0.8))], np.array([[0.9]]), np.array([0.5]), 1.2)
    assert labels.tolist() == [NOBODY] * 10 + [0] * 10 + [NOBODY] * 10
