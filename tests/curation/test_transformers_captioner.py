"""The production captioner with tiny models of real classes, one that sees and one that hears: saved, loaded by name,
asked, and the answer checked."""

from dataclasses import replace

import numpy as np
import pytest

from iap_pipelines.curation.captioners import CaptionError, TransformersCaptioner, TransformersCaptions
from tests.curation.test_captioners import SOUND, TASK


CHAT_TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
)


def _letters(special):
    """A tokenizer of letters, with special tokens of its own."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = ["<unk>", "<pad>", "</s>", *special, *map(chr, range(32, 127))]
    letters = {letter: index for index, letter in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(letters, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        eos_token="</s>",
        additional_special_tokens=special,
    )


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    """LLaVA with random weights: two layers, eight channels, a tokenizer of letters."""
    import torch
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    fast = _letters(["<image>"])
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}),
        fast,
        patch_size=8,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        image_token="<image>",
        num_additional_image_tokens=1,
    )
    torch.manual_seed(0)
    size = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**size, image_size=16, patch_size=8, projection_dim=8),
        text_config=LlamaConfig(
            **size, num_key_value_heads=2, vocab_size=len(fast), max_position_embeddings=2048, eos_token_id=2
        ),
        image_token_index=fast.convert_tokens_to_ids("<image>"),
    )
    folder = tmp_path_factory.mktemp("llava")
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_model_of_the_hub_is_asked_and_its_answer_checked(tiny_model):
    settings = TransformersCaptions(type="transformers", model=str(tiny_model), max_new_tokens=8)
    captioner = TransformersCaptioner(settings)
    answer = captioner.answer(TASK)
    assert isinstance(answer, str) and 0 < len(answer) <= 64
    assert captioner.answer(TASK) == answer, "greedy: the same pictures and words, the same answer"
    with pytest.raises(CaptionError, match="JSON"):
        captioner.describe(TASK)  # random weights write no caption, and none is made up


@pytest.mark.slow
def test_the_pictures_matter(tiny_model):
    settings = TransformersCaptions(type="transformers", model=str(tiny_model), max_new_tokens=8)
    captioner = TransformersCaptioner(settings)
    other = replace(TASK, pictures=(np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8),))
    messages = [captioner.prepare(task)["pixel_values"] for task in (TASK, other)]
    assert not messages[0].equal(messages[1])


@pytest.fixture(scope="module")
def tiny_listener(tmp_path_factory):
    """Qwen2-Audio with random weights: two layers, eight channels, a tokenizer of letters."""
    import torch
    from transformers import (
        Qwen2AudioConfig,
        Qwen2AudioEncoderConfig,
        Qwen2AudioForConditionalGeneration,
        Qwen2AudioProcessor,
        Qwen2Config,
        WhisperFeatureExtractor,
    )

    fast = _letters(["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"])
    torch.manual_seed(0)
    config = Qwen2AudioConfig(
        audio_config=Qwen2AudioEncoderConfig(
            num_mel_bins=8, d_model=8, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=16
        ),
        text_config=Qwen2Config(
            hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
            vocab_size=len(fast), eos_token_id=2, pad_token_id=1,
        ),
        audio_token_index=fast.convert_tokens_to_ids("<|AUDIO|>"),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("qwen2-audio")
    Qwen2AudioForConditionalGeneration(config).save_pretrained(folder)
    Qwen2AudioProcessor(WhisperFeatureExtractor(feature_size=8), fast).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_model_that_hears_is_given_the_sound(tiny_listener):
    settings = TransformersCaptions(
        type="transformers", model=str(tiny_listener), max_new_tokens=8, num_pictures=0, hears=True
    )
    captioner = TransformersCaptioner(settings)
    assert (captioner.num_pictures, captioner.hears) == (0, True)
    task = replace(TASK, pictures=(), sound=SOUND)
    assert captioner.answer(task) == captioner.answer(task)
    louder = replace(task, sound=type(SOUND)(SOUND.samples.flip(1) * 0.1, SOUND.sampling_rate))
    heard = [captioner.prepare(one) for one in (task, louder)]
    assert not heard[0]["input_features"].equal(heard[1]["input_features"])
    with pytest.raises(CaptionError, match="JSON"):
        captioner.describe(task)
