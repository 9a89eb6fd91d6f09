"""A word tokenizer for a small vocabulary, with the subject anchors as real tokens."""

import re
import string
from collections.abc import Iterable

from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from transformers import PreTrainedTokenizerFast


PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
_ANCHOR = re.compile(r"<S\d+>")
_WORD = re.compile(r"[^\W_]+")


def build_tokenizer(captions: Iterable[str], num_anchors: int = 4, max_length: int = 64) -> PreTrainedTokenizerFast:
    """
    Make a tokenizer from captions: whole words where they are known, single characters elsewhere.

    Case and accents are ignored. Characters that occur in the captions are known besides those of ASCII. Every caption
    ends with `</s>`. The same captions in any order give the same tokenizer.

    Args:
        captions: texts whose words become tokens.
        num_anchors: `<S1>` to `<S{num_anchors}>` become tokens.
        max_length: tokens that the text encoder was trained with.
    """
    anchors = [f"<S{number}>" for number in range(1, num_anchors + 1)]
    normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()])
    texts = [normalizer.normalize_str(_ANCHOR.sub(" ", caption)) for caption in captions]
    characters = sorted(set(string.ascii_lowercase + string.digits + string.punctuation))
    characters += sorted(
        {character for text in texts for character in text if not character.isspace()} - set(characters)
    )
    words = {word for text in texts for word in _WORD.findall(text)}
    entries = [PAD, END, UNKNOWN, *anchors, *characters, *(f"##{character}" for character in characters)]
    entries += sorted(words - set(entries))

    model = WordPiece({entry: index for index, entry in enumerate(entries)}, unk_token=UNKNOWN)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(behavior="isolated")]
    )
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in (PAD, END, UNKNOWN, *anchors)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, tokenizer.token_to_id(END))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=anchors,
        model_max_length=max_length,
        padding_side="right",
    )
