import string

import pytest

from iap_pipelines.training.tokenizer import build_tokenizer


CAPTIONS = ['Scene: green room. <S1>: left, woman with red hair. <S1> says: "red apple".', "Scene: beach. <S1>: man."]


@pytest.fixture
def tokenizer():
    return build_tokenizer(CAPTIONS, num_anchors=4, max_length=32)


def test_known_words_and_anchors_are_one_token_each(tokenizer):
    tokens = tokenizer.tokenize('Scene: green room. <S4>: left, woman. <S1> says: "apple".')
    assert tokens == [
        *"scene : green room .".split(),
        "<S4>",
        *": left , woman .".split(),
        "<S1>",
        *'says : " apple " .'.split(),
    ]


def test_unknown_words_are_spelled(tokenizer):
    assert tokenizer.tokenize("zebra") == ["z", "##e", "##b", "##r", "##a"]
    assert tokenizer.unk_token not in tokenizer.tokenize("Café? 12 & 3!")[:3]


def test_words_with_accents_and_in_other_scripts_are_known():
    tokenizer = build_tokenizer(["Scene: café. <S1>: left, мой 안녕.", "„Café…“"])
    for word in ("café", "CAFE", "мой", "안녕"):
        assert len(tokenizer.tokenize(word)) == 1
    for text in ("омй", "녕안", "„cafés…“"):
        assert tokenizer.unk_token not in tokenizer.tokenize(text)


def test_captions_in_ascii_add_words_alone(tokenizer):
    characters = sorted(string.ascii_lowercase + string.digits + string.punctuation)
    words = "apple beach green hair left man red room says scene with woman".split()
    expected = ["<pad>", "</s>", "<unk>", "<S1>", "<S2>", "<S3>", "<S4>", *characters]
    expected += [*(f"##{character}" for character in characters), *words]
    assert tokenizer.get_vocab() == {entry: index for index, entry in enumerate(expected)}


def test_every_caption_ends_once(tokenizer):
    ids = tokenizer(CAPTIONS[0]).input_ids
    assert ids[-1] == tokenizer.eos_token_id
    assert ids.count(tokenizer.eos_token_id) == 1
    assert tokenizer("").input_ids == [tokenizer.eos_token_id]


def test_order_of_captions_does_not_matter(tokenizer):
    assert build_tokenizer(CAPTIONS[::-1], 4, 32).get_vocab() == tokenizer.get_vocab()


def test_it_survives_saving(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = type(tokenizer).from_pretrained(tmp_path)
    assert again(CAPTIONS[0]).input_ids == tokenizer(CAPTIONS[0]).input_ids
    assert again.tokenize("<S2>") == ["<S2>"]
