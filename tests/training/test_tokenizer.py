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
