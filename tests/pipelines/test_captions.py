"""Captions check themselves when they are put together."""

import pytest
import torch

from iap_pipelines import StructuredCaption
from iap_pipelines.pipelines.captions import CaptionInputs


CAPTION = StructuredCaption.parse('Scene: green room. <S1>: left, woman. <S1> says: "hello".')
EMBEDS = torch.ones(2, 5, 16)


def test_texts_are_rendered():
    captions = CaptionInputs(prompt=[CAPTION, "a room"])
    assert captions.texts == [CAPTION.render(), "a room"]
    assert captions.num_prompts == 2 and CaptionInputs(prompt="a room").num_prompts == 1


def test_embeddings_count_too():
    captions = CaptionInputs(prompt_embeds=EMBEDS, num_videos_per_prompt=3)
    assert captions.texts == [] and captions.num_prompts == 2 and captions.num_clips == 6


def test_one_negative_text_serves_every_prompt():
    captions = CaptionInputs(prompt=["a", "b"], negative_prompt="ugly", audio_negative_prompt=["loud", "soft"])
    assert captions.negative_texts("negative_prompt") == ["ugly", "ugly"]
    assert captions.negative_texts("audio_negative_prompt") == ["loud", "soft"]
    assert CaptionInputs(prompt="a").negative_texts("negative_prompt") == [""]


def test_what_only_contrast_would_read_is_known_by_name():
    assert CaptionInputs(prompt=["a", "b"]).negative_names == []
    captions = CaptionInputs(prompt=["a", "b"], negative_prompt="", audio_negative_prompt_embeds=EMBEDS)
    assert captions.negative_names == ["negative_prompt", "audio_negative_prompt_embeds"]


def test_anchors_are_the_subjects():
    captions = CaptionInputs(prompt=["<S1> waves", "<S2> and <S1>"])
    captions.check_anchors([1, 2])
    with pytest.raises(ValueError, match="`prompt` names <S1>, but `subjects` has 0 entries"):
        captions.check_anchors([0, 2])
    with pytest.raises(ValueError, match="`prompt` never names <S2>, <S3>"):
        captions.check_anchors([3, 2])


def test_embeddings_have_no_anchors_to_check():
    CaptionInputs(prompt_embeds=EMBEDS).check_anchors([4, 0])
