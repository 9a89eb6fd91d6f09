"""
Settings of a training run of the transformer. Unknown keys fail; the YAML files in `training/configs` repeat these
words.
"""

import copy
import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from iap_pipelines.identity_card import Consent
from iap_pipelines.models.transformer_iap import IAPTransformer3DModel


class StrictModel(BaseModel):
    """Rejects unknown keys and cannot be changed after it was checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Probability = Annotated[float, Field(ge=0, le=1)]
Part = Literal["video", "audio", "identity", "text_encoder", "lora"]


class TextEncoderSettings(StrictModel):
    """
    A new caption encoder (UMT5, encoder only) with a word tokenizer made from the captions of the training split.
    """

    d_model: PositiveInt = 128
    """Channels of the caption embeddings; the transformer's `text_dim`."""
    d_kv: PositiveInt = 32
    """Channels per attention head."""
    d_ff: PositiveInt = 256
    """Inner channels of the feed-forward."""
    num_layers: PositiveInt = 2
    """Layers."""
    num_heads: PositiveInt = 4
    """Attention heads."""
    extra_words: str = ""
    """Words that the tokenizer must know besides those of the captions."""


class NewModel(StrictModel):
    """Start from random weights."""

    type: Literal["new"]
    transformer: dict[str, Any]
    """Arguments of `IAPTransformer3DModel`; `text_dim` is taken from the text encoder."""
    text_encoder: TextEncoderSettings = TextEncoderSettings()
    """The caption encoder that is trained along."""

    @model_validator(mode="after")
    def _check_transformer(self) -> Self:
        _check_transformer_keys(self.transformer)
        return self


def _check_transformer_keys(transformer: dict[str, Any]) -> None:
    known = set(inspect.signature(IAPTransformer3DModel.__init__).parameters) - {"self", "text_dim"}
    unknown = sorted(set(transformer) - known)
    if unknown:
        raise ValueError(f"`transformer` has unknown keys {unknown}; known are {sorted(known)}.")


class PretrainedModel(StrictModel):
    """Start from a pipeline folder: that of an earlier stage, or converted published weights."""

    type: Literal["pretrained"]
    folder: str
    """`from_pretrained` folder or Hub name with `transformer`, `text_encoder` and `tokenizer`."""
    video_from: str | None = None
    """Another folder of the same model, whose video tower is taken instead."""
    transformer: dict[str, Any] = {}
    """Arguments of `IAPTransformer3DModel` that differ from those of the folder, for ablations."""

    @model_validator(mode="after")
    def _check_transformer(self) -> Self:
        _check_transformer_keys(self.transformer)
        return self


class StageSettings(StrictModel):
    """What is learned."""

    target: Literal["frames", "audio", "clips"]
    """`frames`: single frames, video tower alone. `audio`: sound, audio tower alone. `clips`: both towers together."""
    trainable: tuple[Part, ...]
    """
    Parts that learn; the rest stays as it is to the bit. `identity`: the slot vectors shared by both towers. `lora`:
    the adapter of the section of that name, alone.
    """

    @model_validator(mode="after")
    def _check_trainable(self) -> Self:
        idle = {"frames": "audio", "audio": "video"}.get(self.target)
        if not self.trainable:
            raise ValueError("`trainable` is empty, so nothing would be learned.")
        if idle in self.trainable:
            raise ValueError(f"`trainable` names {idle!r}, but that tower does not run with `target: {self.target}`.")
        return self


class LoraSettings(StrictModel):
    """
    An adapter for one person (LoRA, arXiv 2106.09685), learned on top of a frozen model.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    """Of the adapter."""
    binding: Literal["references", "everything"] = "references"
    """
    What the adapter acts on. `references`: only on its owner's faces and voices while they are encoded, so that it
    changes nobody else and costs nothing while a clip is made. `everything`: on every token of every clip.
    """
    rank: PositiveInt = 8
    """Inner channels of each pair of matrices."""
    alpha: PositiveFloat = 8.0
    """The adapter is scaled by `alpha / rank`."""
    audio_weight: PositiveFloat = 1.0
    """
    Factor of the audio tower's part of the adapter when it has learned: in clips of the validation and in what is
    written. With `binding: references`, guidance multiplies what the adapter adds to the sound by the base model's
    `voice_guidance_scale`; one divided by that counts it once.
    """
    towers: tuple[Literal["video", "audio"], ...] = ("video", "audio")
    """Towers that get adapters."""
    projections: tuple[str, ...] = (
        "attn1.to_q",
        "attn1.to_k",
        "attn1.to_v",
        "attn1.to_out.0",
        "ffn.net.0.proj",
        "ffn.net.2",
    )
    """Linear layers of a tower's layer that get adapters."""
    folder: str | None = None
    """Where the adapter is written; `lora` in the output folder if not given."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Of the stored weights."""
    license: str | None = None
    """Of the adapter, as the model card states it; not stated if not given."""
    push_to_hub: str | None = None
    """Hub repository that the adapter is uploaded to, privately and with `consent`; none if not given."""
    consent: Consent | None = None
    """What the person agreed to: `statement`, `given_on`, ...; written beside the weights as `consent.json`."""

    @model_validator(mode="after")
    def _check_consent(self) -> Self:
        if self.push_to_hub and self.consent is None:
            raise ValueError(
                "`push_to_hub` publishes weights of a person, so it needs `consent`: what they said as `statement`, "
                "and when as `given_on`. Weights of nobody who exists: `iap publish --no-person`, after training."
            )
        return self


class DropoutSettings(StrictModel):
    """How often a condition is left out of a sample. Draws are independent."""

    caption: Probability = 0.1
    """The whole caption: trains the branch without text."""
    identity: Probability = 0.1
    """All references of everybody."""
    face: Probability = 0.1
    """The face of one subject."""
    voice: Probability = 0.1
    """The voice of one subject."""
    appearance: Probability = 0.5
    """The words for one subject's looks (they become "person"), so that looks must come from the face."""


class DataSettings(StrictModel):
    """What is learned from."""

    folder: str
    """Folder with `clips.jsonl` and `identities.jsonl`."""
    latents: str
    """Folder of its precomputed latents."""
    split: str = "train"
    """Split whose clips are learned."""
    validation_split: str = "validation"
    """Split of the validation samples."""
    num_subjects: tuple[PositiveInt, ...] | None = None
    """Clips with these numbers of people, a number given twice twice an epoch; all once if not given."""
    num_views: tuple[PositiveInt, PositiveInt] = (1, 1)
    """Fewest and most pictures per face."""
    voice_latents: tuple[PositiveInt, PositiveInt] = (31, 62)
    """Fewest and most audio latents of a voice recording."""
    caption_length: PositiveInt = 64
    """Tokens that captions are padded to."""
    references: Literal["own", "target"] = "own"
    """
    Where faces and voices come from: `own`: a person's references, which belong to no clip; `target`: the target clip
    itself, for ablations.
    """
    anchors: bool = True
    """Whether captions say which subject is which (`<S1>`); without them for ablations."""
    ordered_slots: Probability = 0.0
    """
    How often subjects are numbered in the order in which they speak (`target: frames`: from left to right) instead of
    at random. Half of the time teaches a new model that slots differ, the other half that the caption says whose they
    are.
    """
    silent_companions: Probability = 0.0
    """
    How often a clip of one person gets a second one who says nothing but whose voice is a reference too (`target:
    audio`). The only way to know who of the two is heard is to read the caption.
    """
    dropout: DropoutSettings = DropoutSettings()
    """Left-out conditions."""
    num_workers: NonNegativeInt = 0
    """Processes that prepare batches; 0 prepares them in the training process."""

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for name in ("num_views", "voice_latents"):
            fewest, most = getattr(self, name)
            if fewest > most:
                raise ValueError(f"`{name}` must give the smaller number first, got {[fewest, most]}.")
        return self


class LogitNormalSigmas(StrictModel):
    """Noise levels in the middle more often than at the ends."""

    type: Literal["logit_normal"]
    mean: float = 0.0
    """Of the logit; larger is noisier."""
    std: PositiveFloat = 1.0
    """Of the logit."""
    shift: PositiveFloat = 1.0
    """Moves levels towards noise; 1 does not."""


class UniformSigmas(StrictModel):
    """All noise levels equally often, before the shift."""

    type: Literal["uniform"]
    shift: PositiveFloat = 1.0
    """Moves levels towards noise; 1 does not."""


class ExchangeMargins(StrictModel):
    """
    By how much the squared error must grow at pure noise with somebody else's references: what they make of a model
    that knows its faces and voices. Less, and mixing references up costs no more than ignoring them. Without an end of
    that loss (`exchange_ends: false`), what it measures the difference by.
    """

    video: PositiveFloat = 0.1
    """With somebody else's face; it makes 0.5 of iap-tiny on people it has not seen."""
    audio: PositiveFloat = 0.1
    """With somebody else's voice; it makes 0.05 to 0.1."""


class FlowSettings(StrictModel):
    """How targets are noised."""

    sigmas: LogitNormalSigmas | UniformSigmas = Field(discriminator="type")
    """Distribution of noise levels."""
    independent_times: Probability = 0.0
    """How often the audio tower gets a noise level of its own (`target: clips`)."""
    num_draws: PositiveInt = 1
    """Times each sample is noised per step; caption and references are encoded once for all of them."""
    video_weight: PositiveFloat = 1.0
    """Factor of the video tower's loss."""
    audio_weight: PositiveFloat = 1.0
    """Factor of the audio tower's loss."""
    motion_weight: NonNegativeFloat = 0.0
    """
    Factor of the same error taken of what changes over time only. Mouths are a small part of a picture that hardly
    moves.
    """
    exchange_weight: NonNegativeFloat = 0.0
    """
    Factor of a loss for samples that are predicted no worse with somebody else's references: those of their subjects
    exchanged, or a stranger's for who is alone. Teaches whose reference is whose. Above 0 every step predicts twice.
    """
    exchange_draws: PositiveInt | None = None
    """How many of a sample's `num_draws` are predicted the second time; all if not given."""
    exchange_margins: ExchangeMargins = ExchangeMargins()
    """When predictions with somebody else's references are worse by enough."""
    exchange_ends: bool = True
    """
    Whether that loss ends once predictions are worse by a margin, or goes on asking for more. Without an end
    references are followed sooner, but a model learns to predict badly on purpose; so only for first runs.
    """

    @model_validator(mode="after")
    def _check_draws(self) -> Self:
        if self.exchange_draws is not None and self.exchange_draws > self.num_draws:
            raise ValueError(
                f"`exchange_draws` must be at most `num_draws`={self.num_draws}, but got {self.exchange_draws}."
            )
        return self


class OptimizationSettings(StrictModel):
    """How weights move."""

    steps: PositiveInt
    """Optimizer steps in all."""
    batch_size: PositiveInt
    """Samples per optimizer step, over all processes."""
    micro_batch_size: PositiveInt | None = None
    """Samples per process and backward pass; gradients accumulate over as many as needed. All at once if not given."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """
    `muon`: orthogonalised momentum for the matrices of the towers' layers, AdamW for the rest. Not with sharded
    weights.
    """
    learning_rate: PositiveFloat = 1e-3
    """Largest learning rate, after the warm-up."""
    text_encoder_learning_rate: PositiveFloat | None = None
    """Of the text encoder, if it differs."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """After the warm-up: `constant`, or along half a cosine (`cosine`) down to `final_fraction`."""
    final_fraction: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Where the cosine ends, as a fraction of `learning_rate`."""
    warmup_steps: NonNegativeInt = 100
    """Steps from zero to `learning_rate`."""
    betas: tuple[Probability, Probability] = (0.9, 0.99)
    """Of AdamW."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """On matrices only."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients longer than this are shortened to it."""
    ema_decay: Probability = 0.999
    """
    Of the averaged weights, which are what is validated and exported; less in the first steps. 0 takes the last
    weights.
    """
    gradient_checkpointing: bool = False
    """Recompute layers in the backward pass: less memory, a third more time."""
    mixed_precision: Literal["no", "bf16"] | None = None
    """
    Of the forward pass; the launcher's choice if not given. On CPUs `no` is fastest. `fp16` is refused: its loss scale
    depends on what happened in earlier steps.
    """
    compile: bool = False
    """Compile the layers (`torch.compile`)."""


class RunSettings(StrictModel):
    """What the run writes, and when, in optimizer steps."""

    log_every: PositiveInt = 20
    """Steps between lines of `metrics.jsonl`."""
    trackers: tuple[Literal["tensorboard", "trackio"], ...] = ()
    """Where metrics go besides."""
    checkpoint_every: PositiveInt = 500
    """Steps between checkpoints; one more at the end."""
    keep_checkpoints: PositiveInt = 2
    """Newest checkpoints that stay."""
    export_every: PositiveInt | None = None
    """Steps between exports of the pipeline folder; at the end only if not given."""


class ValidationSettings(StrictModel):
    """Samples of held-out people during the run."""

    every: PositiveInt
    """Optimizer steps between validations."""
    num_samples: PositiveInt = 8
    """Clips of the validation split."""
    num_inference_steps: PositiveInt = 20
    """Denoising steps."""
    seed: NonNegativeInt = 0
    """Of the noise, the same every time."""


class ExportSettings(StrictModel):
    """The pipeline folder at the end, and its defaults."""

    folder: str | None = None
    """Where; `pipeline` in the output folder if not given."""
    codecs: str
    """Folder with `vae`, `audio_vae` and `vocoder`, which are copied in."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float16"
    """Of the stored weights."""
    flow_shift: PositiveFloat = 3.0
    """Of the scheduler: how much of the steps is spent at high noise."""
    height: PositiveInt = 96
    """Default height of clips, in pixels."""
    width: PositiveInt = 96
    """Default width of clips, in pixels."""
    sizes_by_subjects: dict[str, tuple[PositiveInt, PositiveInt]] = {"2": (96, 128), "3": (96, 160)}
    """Default height and width for these numbers of people, where they differ."""
    num_frames: PositiveInt = 25
    """Default length of clips, in frames."""
    frame_rate: PositiveFloat = 12.5
    """Frames per second."""
    num_inference_steps: PositiveInt = 20
    """Default denoising steps."""
    guidance_scale: NonNegativeFloat = 4.0
    """Default of how strongly the picture follows the caption."""
    audio_guidance_scale: NonNegativeFloat = 3.0
    """Default of how strongly the sound follows the caption."""
    face_guidance_scale: NonNegativeFloat = 1.0
    """Default of how strongly the picture follows all references rather than none."""
    voice_guidance_scale: NonNegativeFloat = 1.0
    """Default of how strongly the sound follows all references rather than none."""
    face_size: PositiveInt = 96
    """Reference faces are scaled to this many pixels."""
    max_voice_seconds: PositiveFloat = 2.0
    """How much of a reference recording is used."""
    license: str | None = None
    """Of the weights, as the model card states it; not stated if not given."""
    push_to_hub: str | None = None
    """Hub repository that the folder is uploaded to at the end; none if not given."""


class TrainingConfig(StrictModel):
    """One run of one stage."""

    output: str
    """Folder of checkpoints, metrics, validation pictures and the exported pipeline."""
    seed: NonNegativeInt = 0
    """Of weights, data order, conditions and noise."""
    model: NewModel | PretrainedModel = Field(discriminator="type")
    """What the run starts from."""
    stage: StageSettings
    """What is learned."""
    lora: LoraSettings | None = None
    """The adapter, with `trainable: [lora]`."""
    data: DataSettings
    """What it is learned from."""
    flow: FlowSettings
    """How targets are noised."""
    optimization: OptimizationSettings
    """How weights move."""
    run: RunSettings = RunSettings()
    """What is written, and when."""
    validation: ValidationSettings | None = None
    """Samples during the run; none if not given."""
    export: ExportSettings | None = None
    """The pipeline folder at the end; none if not given."""

    @model_validator(mode="after")
    def _check_lora(self) -> Self:
        if (self.lora is not None) != ("lora" in self.stage.trainable):
            raise ValueError("`lora` and `trainable: [lora]` belong together: give both or neither.")
        if self.lora is None:
            return self
        if self.stage.trainable != ("lora",) or self.stage.target != "clips":
            raise ValueError("`lora` learns alone, from clips: `stage: {target: clips, trainable: [lora]}`.")
        if self.model.type != "pretrained" or self.export is not None:
            raise ValueError("`lora` adapts a `pretrained` model and writes the adapter alone: leave out `export`.")
        return self

    @model_validator(mode="after")
    def _check_export_folder(self) -> Self:
        if self.export is not None and self.export.folder is not None:
            if Path(self.output).resolve().is_relative_to(Path(self.export.folder).resolve()):
                raise ValueError(
                    f"`export.folder` {self.export.folder!r} is replaced at every export, so `output` {self.output!r} "
                    "must not be that folder or lie in it: give another one."
                )
        return self


def load_training_config(path: Path, overrides: dict[str, Any] | None = None) -> TrainingConfig:
    """
    Read a YAML file.

    Args:
        path: of the file.
        overrides: values by dotted key (`{"optimization.steps": 10}`) that replace those of the file.

    Raises:
        ValueError: for an unknown key, a value out of range, or an override below something that has no keys.
    """
    with open(path, encoding="utf-8") as file:
        values = yaml.safe_load(file)
    return TrainingConfig.model_validate(with_overrides(values, overrides or {}))


def parse_overrides(entries: Iterable[str]) -> dict[str, Any]:
    """
    Read what `--set` was given.

    Args:
        entries: `KEY=VALUE`, with a dotted key and a value in YAML.

    Returns:
        Values by dotted key.

    Raises:
        ValueError: for an entry without `=`, or a value that is no YAML.
    """
    overrides = {}
    for entry in entries:
        key, sign, value = entry.partition("=")
        try:
            overrides[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"`--set` expects a value in YAML, but got {entry!r} ({error}).") from error
        if not (key and sign):
            raise ValueError(f"`--set` expects KEY=VALUE, but got {entry!r}.")
    return overrides


def with_overrides(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """
    Settings with some values replaced.

    Args:
        values: nested settings, left as they are.
        overrides: values by dotted key.

    Raises:
        ValueError: for an override below something that has no keys.
    """
    values = copy.deepcopy(dict(values))
    for key, value in overrides.items():
        *parents, last = key.split(".")
        section = values
        for parent in parents:
            section = section.setdefault(parent, {}) if isinstance(section, dict) else None
        if not isinstance(section, dict):
            raise ValueError(f"`overrides` has the key {key!r}, but {'.'.join(parents)!r} has no keys below it.")
        section[last] = value
    return values
