# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""`WordForCTC`: hears the words of a small vocabulary in a log-mel spectrogram, one label per word.

It is trained apart from every generator that it scores. Letters: B recordings, T mel frames, M mel bands, L = T / 4
output frames, V labels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from .configuration_word_ctc import WordCTCConfig


BLANK = 0


class WordLayer(nn.Module):
    """Convolution over time, norm, activation; a layer that keeps the number of frames adds its input."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, 5, stride=stride, padding=2)
        self.norm = nn.BatchNorm1d(out_channels)
        self.is_residual = stride == 1

    def forward(self, hidden_states: Tensor) -> Tensor:
        output = F.relu(self.norm(self.conv(hidden_states)))
        return hidden_states + output if self.is_residual else output


class WordForCTC(PreTrainedModel):
    r"""
    A word recogniser without a language model, for measuring whether the words of a prompt are spoken.

    Args:
        config ([`WordCTCConfig`]):
            Sizes and words.

    Example:
        >>> model = WordForCTC(WordCTCConfig(id2label={0: "", 1: "red", 2: "blue"})).eval()
        >>> model(torch.zeros(1, 124, 80)).logits.shape
        torch.Size([1, 31, 3])
    """

    config_class = WordCTCConfig
    base_model_prefix = "word_ctc"
    main_input_name = "input_features"
    input_modalities = ("audio",)

    def __init__(self, config: WordCTCConfig) -> None:
        super().__init__(config)
        self.norm_in = nn.BatchNorm1d(config.num_mel_bins)
        size = config.hidden_size
        self.layers = nn.Sequential(
            WordLayer(config.num_mel_bins, size, stride=2),
            WordLayer(size, size, stride=2),
            *(WordLayer(size, size) for _ in range(config.num_layers)),
        )
        self.head = nn.Linear(size, config.num_labels)
        self.post_init()

    def forward(
        self, input_features: Tensor, labels: Tensor | None = None, return_dict: bool = True
    ) -> CausalLMOutput | tuple[Tensor, ...]:
        """
        Score every label at every output frame.

        Args:
            input_features: log-mel spectrograms `[B, T, M]` of equal length, silence included.
            labels: words in order, int `[B, W]`, padded with -100; gives the CTC loss.
            return_dict: whether to return a [`~transformers.modeling_outputs.CausalLMOutput`] or a plain tuple.

        Returns:
            `logits` `[B, L, V]`, after the mean `loss` per word if there are `labels`.
        """
        hidden_states = self.layers(self.norm_in(input_features.transpose(1, 2)))
        logits = self.head(hidden_states.transpose(1, 2))
        loss = None if labels is None else _ctc_loss(logits, labels)
        if not return_dict:
            return (logits,) if loss is None else (loss, logits)
        return CausalLMOutput(loss=loss, logits=logits)

    @torch.no_grad()
    def transcribe(self, input_features: Tensor) -> list[list[str]]:
        """The words of each recording: the best label per frame, repetitions merged, blanks left out."""
        best = self(input_features).logits.argmax(dim=-1)
        return [[self.config.id2label[label] for label in merge_frames(frames)] for frames in best]


def merge_frames(labels: Tensor) -> list[int]:
    """
    From one label per frame `[L]` to one per word: repetitions merged, blanks left out.

    >>> merge_frames(torch.tensor([0, 1, 1, 0, 1, 3, 3, 0]))
    [1, 1, 3]
    """
    return [label for label in labels.unique_consecutive().tolist() if label != BLANK]


def _ctc_loss(logits: Tensor, labels: Tensor) -> Tensor:
    log_probs = logits.float().log_softmax(dim=-1).transpose(0, 1)
    num_frames = torch.full((len(logits),), logits.shape[1], device=logits.device)
    num_words = (labels != -100).sum(dim=1)
    return F.ctc_loss(log_probs, labels.clamp(min=0), num_frames, num_words, blank=BLANK, zero_infinity=True)
