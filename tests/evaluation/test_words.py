from itertools import permutations

import numpy as np
import pytest

from iap_pipelines.evaluation.functional import normalize_text, speaker_word_errors, word_errors


def _distance(reference, heard):
    """Levenshtein distance of words, written out."""
    reference, heard = reference.split(), heard.split()
    row = list(range(len(heard) + 1))
    for i, word in enumerate(reference, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


def _sentences(seed, count):
    generator = np.random.default_rng(seed)
    words = ["red", "blue", "moon", "tiger", "boat"]
    return [" ".join(generator.choice(words, generator.integers(1, 6))) for _ in range(count)]


def test_errors_are_the_edit_distance():
    for reference, heard in zip(_sentences(0, 30), _sentences(1, 30), strict=True):
        assert word_errors(reference, heard) == (_distance(reference, heard), len(reference.split()))


def test_by_hand():
    assert word_errors("the red apple", "the apple").rate == pytest.approx(1 / 3)
    assert word_errors("red", "").rate == 1
    assert word_errors("red", "red blue moon").rate == 2


def test_the_best_assignment_is_found():
    for seed in range(10):
        references, heard = _sentences(seed, 3), _sentences(seed + 100, 3)
        best = min(
            sum(_distance(r, h) for r, h in zip(references, order, strict=True)) for order in permutations(heard)
        )
        assert speaker_word_errors(references, heard).errors == best


def test_the_order_of_heard_speakers_does_not_matter():
    references, heard = _sentences(5, 3), _sentences(6, 3)
    one, other = speaker_word_errors(references, heard), speaker_word_errors(references, heard[::-1])
    assert (one.errors, one.num_words) == (other.errors, other.num_words)


def test_words_given_to_the_wrong_speaker_are_errors():
    references = ["red apple", "blue bird"]
    assert word_errors(" ".join(references), "red apple blue bird").errors == 0
    assert speaker_word_errors(references, ["red apple blue bird"]) == (4, 4, (0, None))
    assert speaker_word_errors(references, ["red blue", "apple bird"]).errors == 2


def test_too_many_speakers_are_insertions():
    assert speaker_word_errors(["red"], ["red", "blue moon"]) == (2, 1, (0,))


def test_only_words_are_compared():
    assert normalize_text("  “Red”, APPLE... (é)") == "red apple é"
    assert word_errors("It’s 7 o'clock.", "IT'S 7 O'CLOCK").errors == 0


def test_a_rate_needs_words():
    with pytest.raises(ValueError, match="`reference`"):
        word_errors("...", "red")
    with pytest.raises(ValueError, match="`references`"):
        speaker_word_errors(["", "?"], ["red"])
