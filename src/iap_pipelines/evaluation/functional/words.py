"""What was said against what should have been said, for everybody together and for each speaker."""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import jiwer
import numpy as np
from scipy.optimize import linear_sum_assignment


class WordErrors(NamedTuple):
    """Result of `word_errors`."""

    errors: int
    """Substitutions, deletions and insertions of the best alignment."""
    num_words: int
    """Words that should have been said."""

    @property
    def rate(self) -> float:
        """WER: errors per word; 0 is best, above 1 when more was inserted than should have been said."""
        return self.errors / self.num_words


class SpeakerErrors(NamedTuple):
    """Result of `speaker_word_errors`."""

    errors: int
    """Errors of all speakers after the best assignment; words that nobody should have said are insertions."""
    num_words: int
    """Words that should have been said, by all speakers."""
    assignment: tuple[int | None, ...]
    """For each reference speaker, the index of the heard speaker; ``None``: nobody was heard for them."""

    @property
    def rate(self) -> float:
        """cpWER: errors per word; 0 is best."""
        return self.errors / self.num_words


def normalize_text(text: str) -> str:
    """What is compared: NFKC, case folded, every character but letters, digits and apostrophes inside words a space.

    >>> normalize_text("Don't -- STOP, it's “7 o'clock”!")
    "don't stop it's 7 o'clock"
    """
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    kept = "".join(
        character if unicodedata.category(character)[0] in "LMN" or character == "'" else " " for character in text
    )
    return " ".join(word for word in (part.strip("'") for part in kept.split()) if word)


def word_errors(reference: str, heard: str) -> WordErrors:
    """Count the word errors of a transcript, after `normalize_text` of both.

    Args:
        reference: what should have been said; at least one word.
        heard: what a recogniser heard; may be empty.

    Raises:
        ValueError: for a reference without words: an error rate has no meaning there.

    >>> word_errors("Red apple, please.", "red maple").rate
    0.6666666666666666
    """
    reference, heard = normalize_text(reference), normalize_text(heard)
    if not reference:
        raise ValueError("`reference` must contain a word, but it is empty: a word error rate has no meaning there.")
    return WordErrors(_count_errors(reference, heard), len(reference.split()))


def speaker_word_errors(references: Sequence[str], heard: Sequence[str]) -> SpeakerErrors:
    """Concatenated minimum-permutation word errors (cpWER): each speaker's words after the best assignment.

    Args:
        references: all words of each speaker, in order.
        heard: all words of each heard speaker, in order; their number may differ.

    Raises:
        ValueError: when no reference contains a word.

    >>> speaker_word_errors(["red apple", "blue bird"], ["blue bird", "red maple", "oh"])
    SpeakerErrors(errors=2, num_words=4, assignment=(1, 0))
    """
    references, heard = [normalize_text(text) for text in references], [normalize_text(text) for text in heard]
    num_words = sum(len(text.split()) for text in references)
    if num_words == 0:
        raise ValueError("`references` must contain a word, but all are empty: an error rate has no meaning there.")
    size = max(len(references), len(heard))
    rows = [*references, *[""] * (size - len(references))]
    columns = [*heard, *[""] * (size - len(heard))]
    costs = np.array([[_count_errors(row, column) for column in columns] for row in rows])
    chosen_rows, chosen_columns = linear_sum_assignment(costs)
    partner = dict(zip(chosen_rows.tolist(), chosen_columns.tolist(), strict=True))
    assignment = tuple(partner[row] if partner[row] < len(heard) else None for row in range(len(references)))
    return SpeakerErrors(int(costs[chosen_rows, chosen_columns].sum()), num_words, assignment)


def _count_errors(reference: str, heard: str) -> int:
    if not reference:
        return len(heard.split())
    if not heard:
        return len(reference.split())
    measures = jiwer.process_words(reference, heard)
    return measures.substitutions + measures.deletions + measures.insertions
