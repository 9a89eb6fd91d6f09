"""The words that people of the synthetic world say, with their sounds."""

import numpy as np


SPOKEN_WORDS: dict[str, str] = {
    # Adjectives, then nouns; General American, in the alphabet of the Kokoro speech model.
    "red": "ɹˈɛd",
    "blue": "blˈu",
    "yellow": "jˈɛlO",
    "happy": "hˈæpi",
    "golden": "ɡˈOldən",
    "seven": "sˈɛvən",
    "small": "smˈɔl",
    "tiny": "tˈIni",
    "apple": "ˈæpəl",
    "bird": "bˈɜɹd",
    "moon": "mˈun",
    "tiger": "tˈIɡəɹ",
    "window": "wˈɪndO",
    "fish": "fˈɪʃ",
    "water": "wˈɔɾəɹ",
    "house": "hˈWs",
    "coffee": "kˈɔfi",
    "music": "mjˈuzɪk",
    "boat": "bˈOt",
    "cheese": "ʧˈiz",
}

ADJECTIVES = tuple(SPOKEN_WORDS)[:8]
NOUNS = tuple(SPOKEN_WORDS)[8:]


def draw_words(count: int, generator: np.random.Generator) -> tuple[str, ...]:
    """Make up something to say: ``"boat"``, ``"red apple"``, ``"happy red apple"``."""
    adjectives = [str(word) for word in generator.choice(ADJECTIVES, count - 1, replace=False)]
    return *adjectives, str(generator.choice(NOUNS))
