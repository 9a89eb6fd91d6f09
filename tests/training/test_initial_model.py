import torch

from iap_pipelines.training.config import NewModel, PretrainedModel
from iap_pipelines.training.initial_model import initial_model


CAPTIONS = [
    "Scene: room. <S1>: left, person. <S2>: right, person.",
    "Scene: room. <S1>: right, person. <S2>: left, person.",
]
SOURCE = NewModel(
    type="new",
    transformer={
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "num_layers": 1,
        "ffn_dim": 16,
        "freq_dim": 8,
        "in_channels": 4,
        "audio_in_channels": 6,
        "audio_embed_dim": 12,
    },
)


def test_a_word_of_a_new_text_encoder_knows_whose_it_is():
    """Nothing else can tell the towers who stands where: they read the caption without its order."""
    model, tokenizer = initial_model(SOURCE, CAPTIONS, 24, seed=0)
    tokens = tokenizer(CAPTIONS, return_tensors="pt")
    with torch.no_grad():
        embeds = model.text_encoder(**tokens).last_hidden_state
    left = tokens.input_ids == tokenizer.convert_tokens_to_ids("left")
    first, second = embeds[left]
    assert (first - second).norm() > 0.1 * first.norm()


def test_heads_look_back_and_ahead():
    model, tokenizer = initial_model(SOURCE, CAPTIONS, 24, seed=0)
    model.text_encoder.set_attn_implementation("eager")
    tokens = tokenizer(CAPTIONS[:1], return_tensors="pt")
    with torch.no_grad():
        attention = model.text_encoder(**tokens, output_attentions=True).attentions[0][0]
    behind, ahead = attention.tril(-1).sum((1, 2)), attention.triu(1).sum((1, 2))
    assert (behind > ahead).tolist() == [True, False, True, False]
    assert (ahead > behind).tolist() == [False, True, False, True]


def test_a_stage_with_longer_captions_says_so_in_its_tokenizer(tmp_path):
    model, tokenizer = initial_model(SOURCE, CAPTIONS, 24, seed=0)
    model.transformer.save_pretrained(tmp_path / "transformer")
    model.text_encoder.save_pretrained(tmp_path / "text_encoder")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    following = initial_model(PretrainedModel(type="pretrained", folder=str(tmp_path)), [], 40, seed=0)
    assert (tokenizer.model_max_length, following.tokenizer.model_max_length) == (24, 40)
