"""Captions as the user gave them: texts or their embeddings, checked when they are put together."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from iap_pipelines.types import StructuredCaption, caption_anchors


Prompt = str | StructuredCaption


@dataclass(frozen=True, eq=False, kw_only=True)
class CaptionInputs:
    """
    What the clips should be like, and what they are contrasted with; fields are named as the arguments of
    `IAPPipeline.__call__`.

    Raises:
        ValueError: an empty caption, a missing one, one given twice, another number of negative prompts, embeddings
            of the wrong shape or with NaN.
    """

    prompt: Prompt | Sequence[Prompt] | None = None
    negative_prompt: str | Sequence[str] | None = None
    audio_negative_prompt: str | Sequence[str] | None = None
    prompt_embeds: Tensor | None = None
    negative_prompt_embeds: Tensor | None = None
    audio_negative_prompt_embeds: Tensor | None = None
    num_videos_per_prompt: int = 1
    max_sequence_length: int | None = None

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.prompt_embeds is None):
            raise ValueError("Pass exactly one of `prompt` and `prompt_embeds`.")
        for name in ("negative_prompt", "audio_negative_prompt"):
            if getattr(self, name) is not None and getattr(self, f"{name}_embeds") is not None:
                raise ValueError(f"Pass at most one of `{name}` and `{name}_embeds`.")
        for name in ("num_videos_per_prompt", "max_sequence_length"):
            count = getattr(self, name)
            if count is not None and (not isinstance(count, int) or count < 1):
                raise ValueError(f"`{name}` must be 1 or more, got {count!r}.")
        for name in ("prompt_embeds", "negative_prompt_embeds", "audio_negative_prompt_embeds"):
            embeds = getattr(self, name)
            if embeds is None:
                continue
            if embeds.ndim != 3 or embeds.shape[0] != self.num_prompts or embeds.numel() == 0:
                raise ValueError(
                    f"`{name}` must have the shape [{self.num_prompts}, sequence_length, text_dim], got "
                    f"{list(embeds.shape)}."
                )
            if not embeds.isfinite().all():
                raise ValueError(f"`{name}` contains NaN or infinity.")
        for name in ("negative_prompt", "audio_negative_prompt"):
            self.negative_texts(name)

    @property
    def texts(self) -> list[str]:
        """One rendered caption per prompt; none if embeddings were given."""
        if self.prompt is None:
            return []
        prompts = [self.prompt] if isinstance(self.prompt, str | StructuredCaption) else self.prompt
        if not isinstance(prompts, list | tuple) or not prompts:
            raise ValueError(
                f"`prompt` must be a caption or a non-empty list of captions, got {type(self.prompt).__name__}."
            )
        return [_render(entry) for entry in prompts]

    def negative_texts(self, name: str) -> list[str]:
        """The argument called `name`, one text per prompt; empty texts if it was not given."""
        given = getattr(self, name)
        texts = [given or ""] * self.num_prompts if given is None or isinstance(given, str) else given
        is_list = isinstance(texts, list | tuple) and all(isinstance(text, str) for text in texts)
        if not is_list or len(texts) != self.num_prompts:
            raise ValueError(f"`{name}` must be a text or {self.num_prompts} texts, one per prompt, got {given!r}.")
        return list(texts)

    @property
    def num_prompts(self) -> int:
        return len(self.texts) if self.prompt_embeds is None else self.prompt_embeds.shape[0]

    @property
    def num_clips(self) -> int:
        return self.num_prompts * self.num_videos_per_prompt

    @property
    def negative_names(self) -> list[str]:
        """The arguments given that only a contrast with the caption would read."""
        names = ("negative_prompt", "audio_negative_prompt", "negative_prompt_embeds", "audio_negative_prompt_embeds")
        return [name for name in names if getattr(self, name) is not None]

    def check_anchors(self, num_subjects: Sequence[int]) -> None:
        """
        Hold the anchors of every caption against its subjects.

        Args:
            num_subjects: per prompt.

        Raises:
            ValueError: a caption names somebody who is not there, or never names somebody who is.
        """
        for text, count in zip(self.texts, num_subjects, strict=False):
            _check_anchors(text, count)


def _render(entry: Prompt) -> str:
    if not isinstance(entry, str | StructuredCaption):
        raise ValueError(f"`prompt` must hold `str` or `StructuredCaption`, got {type(entry).__name__}.")
    text = entry.render() if isinstance(entry, StructuredCaption) else entry
    if not text.strip():
        raise ValueError("`prompt` is empty: describe who does and says what.")
    return text


def _check_anchors(text: str, num_subjects: int) -> None:
    anchors = set(caption_anchors(text))
    subjects = set(range(1, num_subjects + 1))
    if anchors - subjects:
        names = ", ".join(f"<S{k}>" for k in sorted(anchors - subjects))
        raise ValueError(f"`prompt` names {names}, but `subjects` has {num_subjects} entries.")
    if subjects - anchors:
        names = ", ".join(f"<S{k}>" for k in sorted(subjects - anchors))
        raise ValueError(
            f"`prompt` never names {names}, so nothing says what that subject does. Write the anchor where the prompt "
            "speaks of the subject, as in '<S1>: left, a woman. <S1> says: \"hello\".'"
        )
