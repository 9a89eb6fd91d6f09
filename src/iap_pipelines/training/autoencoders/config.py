"""Settings of a codec's training run. Unknown keys fail; the YAML files in `training/configs` repeat these words."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, TypeAdapter, model_validator


class StrictModel(BaseModel):
    """Rejects unknown keys and cannot be changed after it was checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Weight = Annotated[float, Field(ge=0)]
"""Factor of one term of a loss; 0 leaves the term out."""


class Phase(StrictModel):
    """A stretch of training: the learning rate rises linearly, then falls along half a cosine."""

    steps: PositiveInt
    """Optimizer steps."""
    batch_size: PositiveInt
    """Pieces of clips per step."""
    learning_rate: PositiveFloat
    """Learning rate after the warm-up."""
    final_learning_rate: Annotated[float, Field(ge=0)] = 0.0
    """Learning rate after the last step of this phase."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps from zero to `learning_rate`."""

    @model_validator(mode="after")
    def _check_warmup(self) -> Self:
        if self.warmup_steps >= self.steps:
            raise ValueError(f"`warmup_steps` must be less than `steps` ({self.steps}), but got {self.warmup_steps}.")
        return self


class VideoPhase(Phase):
    num_frames: PositiveInt
    """Frames per piece: 1, or 1 more than a multiple of 4 (one latent frame, then one for every 4 frames)."""
    crop_size: Annotated[int, Field(gt=0, multiple_of=16)] | None = None
    """Pixels per side of a window around a face; whole frames if not given."""

    @model_validator(mode="after")
    def _check_num_frames(self) -> Self:
        if self.num_frames % 4 != 1:
            raise ValueError(f"`num_frames` must be 1 more than a multiple of 4, but got {self.num_frames}.")
        return self


class AudioPhase(Phase):
    num_mel_frames: PositiveInt
    """Mel frames per piece (256 samples each); even, because one audio latent covers two."""

    @model_validator(mode="after")
    def _check_num_mel_frames(self) -> Self:
        if self.num_mel_frames % 2:
            raise ValueError(f"`num_mel_frames` must be even, but got {self.num_mel_frames}.")
        return self


class VocoderPhase(AudioPhase):
    adversarial: bool = False
    """Train against the discriminator as well. Start without it: it has nothing to teach before the pitch is right."""
    reconstructed_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the batch whose mel went through the audio VAE; the rest is exact. Needs `audio_vae`."""


class VideoVAEModel(StrictModel):
    """Constructor of `AutoencoderKLWan` in its Wan 2.2 form (residual, patches, 16x in space, 4x in time)."""

    patch_size: Literal[2, 4] = 2
    """Pixels per side that one position of the first level stands for. With 4 there is a level less, and a CPU affords
    three times the channels in the same time."""
    base_dim: PositiveInt
    """Encoder channels at the first level."""
    decoder_base_dim: PositiveInt
    """Decoder channels at the last level."""
    z_dim: PositiveInt
    """Latent channels."""
    dim_mult: tuple[PositiveInt, ...] = (1, 2, 4, 4)
    """Channels of the levels, in units of the base: four levels with patches of 2, three with patches of 4."""
    num_res_blocks: PositiveInt = 1
    """Residual blocks per encoder level; the decoder has one more."""

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        levels = {2: 4, 4: 3}[self.patch_size]
        if len(self.dim_mult) != levels:
            raise ValueError(
                f"`dim_mult` must have {levels} entries with `patch_size` {self.patch_size} (16x in space in all), "
                f"but got {list(self.dim_mult)}."
            )
        return self


class AudioVAEModel(StrictModel):
    """Constructor of `MMAudioVAE` at 16 kHz (80 bands, window 1024, hop 256: 31.25 latents per second)."""

    hidden_channels: PositiveInt
    """Channels of the first level."""
    channel_multipliers: tuple[PositiveInt, ...] = (1, 2, 4)
    """Channels of the levels, in units of `hidden_channels`."""
    layers_per_block: PositiveInt = 2
    """Residual blocks per encoder level; the decoder has one more."""
    latent_channels: PositiveInt = 20
    """Latent channels."""


class VocoderModel(StrictModel):
    """Constructor of `LTX2Vocoder` in its BigVGAN v1 form at 16 kHz (snake activations, tanh, 80 bands)."""

    hidden_channels: PositiveInt
    """Channels before the first upsampling; halved by each."""
    upsample_factors: tuple[PositiveInt, ...] = (4, 4, 2, 2, 2, 2)
    """Their product is the hop of the mel, 256."""
    upsample_kernel_sizes: tuple[PositiveInt, ...] = (8, 8, 4, 4, 4, 4)
    resnet_kernel_sizes: tuple[PositiveInt, ...] = (3, 7, 11)
    resnet_dilations: tuple[tuple[PositiveInt, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    antialias: bool = True
    """Low-pass filters around each activation, as published; twice the time per step on a CPU."""

    @model_validator(mode="after")
    def _check_hop(self) -> Self:
        hop = 1
        for factor in self.upsample_factors:
            hop *= factor
        if hop != 256:
            raise ValueError(f"`upsample_factors` must multiply to 256, the hop of the mel, but give {hop}.")
        return self


class RunConfig(StrictModel):
    """What every codec's run has."""

    cache: Path
    """Folder of cached clips and speech, written by `train_autoencoder.py prepare`."""
    output: Path
    """Folder of this run: `log.jsonl`, `checkpoints/`, `pictures/`, `export/`."""
    init_from: Path | None = None
    """Folder of `save_pretrained` whose weights to start from; `null` starts from random ones."""
    seed: int = 0
    """Seed of the initial weights, of the pieces drawn and of the noise."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """`muon` orthogonalises the updates of the codec's weights; a critic always has `adamw`."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients of a step are scaled down to this norm."""
    average_decay: Annotated[float, Field(ge=0, lt=1)] = 0.998
    """Decay per step of the running average of the weights; the average is what is validated and exported."""
    log_every: PositiveInt = 20
    """Steps per line of the log (means over these steps)."""
    validate_every: PositiveInt = 500
    """Steps between validations."""
    save_every: PositiveInt = 200
    """Steps between checkpoints."""
    keep_checkpoints: PositiveInt = 2
    """Older checkpoints are deleted."""


class VideoVAEConfig(RunConfig):
    type: Literal["video_vae"]
    model: VideoVAEModel
    phases: tuple[VideoPhase, ...] = Field(min_length=1)
    kl_weight: Weight = 5e-4
    """Factor of the mean Kullback-Leibler divergence per latent element, in nats."""
    edge_weight: Weight = 1.0
    """Factor of the difference of image gradients, over `edge_scales` octaves."""
    edge_scales: PositiveInt = 3
    motion_weight: Weight = 0.5
    """Factor of the difference of frame-to-frame changes; nothing for single frames."""
    face_weight: Annotated[float, Field(ge=1)] = 1.0
    """How often a pixel inside the box of a face counts in the three differences; any other counts once."""
    flip_probability: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Probability that a piece is mirrored."""
    freeze_encoder: bool = False
    """Train the decoder alone: pictures get sharper while latents, and what was trained on them, stay valid."""


class AudioVAEConfig(RunConfig):
    type: Literal["audio_vae"]
    model: AudioVAEModel
    phases: tuple[AudioPhase, ...] = Field(min_length=1)
    kl_weight: Weight = 1e-3
    """Factor of the mean Kullback-Leibler divergence per latent element, in nats."""
    moment_weight: Weight = 0.05
    """Factor of the squared distance of each channel's mean from 0 and deviation from 1: audio latents are not scaled
    in the pipeline, and the convolutions have no bias that could move the mean afterwards."""
    gain_range_db: Annotated[float, Field(ge=0)] = 6.0
    """Pieces are made louder or quieter by up to this much."""


class VocoderConfig(RunConfig):
    type: Literal["vocoder"]
    model: VocoderModel
    phases: tuple[VocoderPhase, ...] = Field(min_length=1)
    audio_vae: Path | None = None
    """Folder of the trained audio VAE; needed by phases with `reconstructed_share` above 0."""
    mel_weight: Weight = 1.0
    """Factor of the difference of log mels."""
    spectrum_weight: Weight = 1.0
    """Factor of the difference of spectra at several resolutions."""
    adversarial_weight: Weight = 0.1
    """Factor of the least-squares adversarial loss."""
    feature_weight: Weight = 0.2
    """Factor of the difference of the discriminator's features."""
    discriminator_channels: PositiveInt = 16
    discriminator_learning_rate: PositiveFloat = 4e-4
    """Peak learning rate of the discriminator; it follows the generator's schedule."""
    gain_range_db: Annotated[float, Field(ge=0)] = 6.0
    """Pieces are made louder or quieter by up to this much."""

    @model_validator(mode="after")
    def _check_audio_vae(self) -> Self:
        if self.audio_vae is None and any(phase.reconstructed_share > 0 for phase in self.phases):
            raise ValueError("`audio_vae` must name a folder, because a phase has `reconstructed_share` above 0.")
        return self


CodecConfig = VideoVAEConfig | AudioVAEConfig | VocoderConfig
_CODEC = TypeAdapter(Annotated[CodecConfig, Field(discriminator="type")])


def read_codec_config(path: Path, overrides: dict[str, Any] | None = None) -> CodecConfig:
    """
    Read and check a YAML file.

    Args:
        path: the file; its `type` says which codec it is for.
        overrides: top-level keys that replace those of the file.

    Raises:
        pydantic.ValidationError: (a `ValueError`) names every unknown, missing or wrong key.
    """
    values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError(f"`path` must be a YAML file of keys and values, but {path} holds {type(values).__name__}.")
    return _CODEC.validate_python(values | (overrides or {}))
