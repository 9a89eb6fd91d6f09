"""A [`ComponentPlan`] for each component of the pipeline."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKLWan, MMAudioVAE, ModelMixin
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder
from torch import Tensor
from transformers import UMT5Config, UMT5EncoderModel

from iap_pipelines.conversion.audio_vae import audio_vae_config, audio_vae_value
from iap_pipelines.conversion.errors import ConversionError
from iap_pipelines.conversion.key_map import count_levels
from iap_pipelines.conversion.kinds import (
    AUDIO_VAE,
    DIFFUSERS_VIDEO_VAE,
    DUAL_TOWER,
    TRANSFORMERS_TEXT_ENCODER,
    VOCODER,
    WAN_TEXT_ENCODER,
    WAN_VIDEO_VAE,
    require_kind,
)
from iap_pipelines.conversion.plan import ComponentPlan, Source, Step
from iap_pipelines.conversion.text_encoder import (
    is_dead_text_encoder_key,
    official_text_encoder_key,
    text_encoder_config,
    text_encoder_key,
)
from iap_pipelines.conversion.transformer import (
    base_transformer_key,
    official_transformer_key,
    transformer_config,
    transformer_key,
    transformer_value,
    unwrapped_key,
)
from iap_pipelines.conversion.video_vae import official_video_vae_key, video_vae_config, video_vae_key
from iap_pipelines.conversion.vocoder import (
    convert_vocoder_state_dict,
    official_vocoder_key,
    remove_weight_norm,
    vocoder_config,
    vocoder_key,
)
from iap_pipelines.models.transformer_iap import IAPTransformer3DModel


_BASE_ADVICE = (
    "There are no parameters for identity tokens at all, as in a base checkpoint. `initialise_identity` starts them "
    "as copies "
    "of the ordinary ones."
)


def plan_transformer(
    source: Source,
    *,
    attention_head_dim: int = 128,
    initialise_identity: bool = False,
    config: Mapping[str, Any] | None = None,
) -> ComponentPlan:
    """
    Plan the conversion of the official dual tower.

    Args:
        source: official checkpoint.
        attention_head_dim: channels of one head, which the shapes of a checkpoint do not tell.
        initialise_identity: a base checkpoint has no parameters for identity tokens; give each the value of the
            ordinary parameter it is a copy of before training. Without this, such a checkpoint is refused.
        config: configuration of the transformer, if it is known. `None` reads it off the shapes.
    """
    require_kind(source, "transformer", DUAL_TOWER)
    num_layers = count_levels(source.layout, "video_model.blocks.")
    ours, unknown = _map_keys(source.layout, lambda key: transformer_key(key, num_layers))
    named = {unwrapped_key(key): tensor for key, tensor in source.layout.items()}
    if config is None:
        config = _read_config(
            source, "transformer", lambda: transformer_config(named, num_layers, attention_head_dim), str
        )
    with init_empty_weights():
        model = IAPTransformer3DModel.from_config(dict(config))
    expected = model.state_dict()

    steps = [_transformer_step(key, our_key, num_layers) for key, our_key in ours.items() if our_key is not None]
    initialised: list[str] = []
    # A file with some identity parameters but not all is damaged, not a base checkpoint.
    is_base = not any(our_key is not None and ".identity." in our_key for our_key in ours.values())
    if is_base and initialise_identity:
        official = {unwrapped_key(key): key for key in source.layout}
        initialised = [key for key in expected if ".identity." in key and base_transformer_key(key) in official]
        steps += [
            _copying(_transformer_step(official[base_transformer_key(key)], key, num_layers)) for key in initialised
        ]
    return ComponentPlan(
        name="transformer",
        source=source,
        reference=("iap_pipelines", "IAPTransformer3DModel"),
        expected=expected,
        steps=tuple(steps),
        unknown_keys=unknown,
        dead_keys=tuple(key for key, our_key in ours.items() if our_key is None),
        initialised_keys=tuple(initialised),
        official_name=official_transformer_key,
        save_config=_config_of_diffusers_model(model),
        precise_modules=tuple(IAPTransformer3DModel._keep_in_fp32_modules),
        advice=_BASE_ADVICE if is_base and not initialise_identity else "",
    )


def plan_video_vae(source: Source) -> ComponentPlan:
    """Plan the conversion of the Wan2.2 video VAE, in its published form or as an `AutoencoderKLWan`."""
    is_converted = require_kind(source, "vae", WAN_VIDEO_VAE, DIFFUSERS_VIDEO_VAE) == DIFFUSERS_VIDEO_VAE
    official_name = str if is_converted else official_video_vae_key
    ours, unknown = _map_keys(source.layout, _known_to(official_video_vae_key) if is_converted else video_vae_key)
    named = {our_key: source.layout[key] for key, our_key in ours.items()}
    config = _stored_config(source, AutoencoderKLWan) if is_converted else None
    config = config or _read_config(source, "vae", lambda: video_vae_config(named), official_name)
    with init_empty_weights():
        model = AutoencoderKLWan.from_config(config)
    return ComponentPlan(
        name="vae",
        source=source,
        reference=("diffusers", "AutoencoderKLWan"),
        expected=model.state_dict(),
        steps=_renaming_steps(ours),
        unknown_keys=unknown,
        official_name=official_name,
        save_config=_config_of_diffusers_model(model),
    )


def plan_text_encoder(source: Source) -> ComponentPlan:
    """Plan the conversion of the UMT5 encoder, in the form of Wan or of transformers."""
    kind = require_kind(source, "text_encoder", WAN_TEXT_ENCODER, TRANSFORMERS_TEXT_ENCODER)
    is_converted = kind == TRANSFORMERS_TEXT_ENCODER
    official_name = str if is_converted else official_text_encoder_key
    dead = tuple(key for key in source.layout if is_converted and is_dead_text_encoder_key(key, source.layout))
    wanted = {key: tensor for key, tensor in source.layout.items() if key not in dead}
    ours, unknown = _map_keys(wanted, _known_to(official_text_encoder_key) if is_converted else text_encoder_key)
    named = {our_key: source.layout[key] for key, our_key in ours.items()}
    config = _stored_text_encoder_config(source) if is_converted else None
    config = config or UMT5Config(
        **_read_config(source, "text_encoder", lambda: text_encoder_config(named), official_name)
    )
    config.architectures = ["UMT5EncoderModel"]
    with init_empty_weights():
        expected = UMT5EncoderModel(config).state_dict()

    def save_config(folder: Path, dtype: torch.dtype) -> None:
        config.dtype = dtype
        config.save_pretrained(folder)

    return ComponentPlan(
        name="text_encoder",
        source=source,
        reference=("transformers", "UMT5EncoderModel"),
        expected={key: tensor for key, tensor in expected.items() if key not in UMT5EncoderModel._tied_weights_keys},
        steps=_renaming_steps(ours),
        unknown_keys=unknown,
        dead_keys=dead,
        official_name=official_name,
        weights_name="model",
        save_config=save_config,
    )


def plan_audio_vae(source: Source) -> ComponentPlan:
    """Plan the conversion of MMAudio's VAE of 16 kHz sound."""
    require_kind(source, "audio_vae", AUDIO_VAE)
    config = _read_config(source, "audio_vae", lambda: audio_vae_config(source.layout), str)
    with init_empty_weights():
        model = MMAudioVAE(**config)
    expected = model.state_dict()
    # The class computes its mel front end when it is built, and stores it with its weights.
    front_end = {key: tensor for key, tensor in expected.items() if key.startswith("mel_converter.")}
    ours, unknown = _map_keys(source.layout, lambda key: _known_name(f"vae.{key}", expected))
    return ComponentPlan(
        name="audio_vae",
        source=source,
        reference=("diffusers", "MMAudioVAE"),
        expected=expected,
        steps=(*(_audio_vae_step(key, our_key) for key, our_key in ours.items()), Step((), lambda _: front_end)),
        unknown_keys=unknown,
        official_name=lambda key: key.removeprefix("vae."),
        save_config=_config_of_diffusers_model(model),
    )


def plan_vocoder(source: Source) -> ComponentPlan:
    """Plan the conversion of the BigVGAN v1 vocoder of 16 kHz sound."""
    require_kind(source, "vocoder", VOCODER)
    plain = _naming_the_file(source, "vocoder", remove_weight_norm)(dict(source.layout))
    _, unknown = _map_keys(plain, vocoder_key)
    known = tuple(
        key for key in source.layout if not any(key.startswith(name.removesuffix("weight")) for name in unknown)
    )
    config = _read_config(source, "vocoder", lambda: vocoder_config(_bigvgan_config(plain)), str)
    with init_empty_weights():
        model = LTX2Vocoder(**config)
    return ComponentPlan(
        name="vocoder",
        source=source,
        reference=("ltx2", "LTX2Vocoder"),
        expected=model.state_dict(),
        steps=(Step(known, _naming_the_file(source, "vocoder", convert_vocoder_state_dict)),),
        unknown_keys=unknown,
        official_name=official_vocoder_key,
        save_config=_config_of_diffusers_model(model),
    )


def _bigvgan_config(plain: Mapping[str, Tensor]) -> dict[str, Any]:
    """The published configuration, as far as shapes tell it; the rest is what every published BigVGAN v1 has."""
    num_levels = count_levels(plain, "ups.")
    kernel_sizes = [plain[f"ups.{level}.0.weight"].shape[-1] for level in range(num_levels)]
    num_blocks = count_levels(plain, "resblocks.") // max(1, num_levels)
    hidden_channels, num_mels, _ = plain["conv_pre.weight"].shape
    return {
        "resblock": "1",
        "num_mels": num_mels,
        "upsample_rates": [size // 2 for size in kernel_sizes],
        "upsample_kernel_sizes": kernel_sizes,
        "upsample_initial_channel": hidden_channels,
        "resblock_kernel_sizes": [
            plain[f"resblocks.{block}.convs1.0.weight"].shape[-1] for block in range(num_blocks)
        ],
        "resblock_dilation_sizes": [[1, 3, 5]] * num_blocks,
        "activation": "snakebeta",
        "snake_logscale": True,
    }


def _map_keys(
    keys: Iterable[str], rename: Callable[[str], str | None]
) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """Official names to ours, and the official names that `rename` does not know."""
    ours: dict[str, str | None] = {}
    unknown = []
    for key in keys:
        try:
            ours[key] = rename(key)
        except (KeyError, ValueError):
            unknown.append(key)
    return ours, tuple(unknown)


def _known_to(official_name: Callable[[str], str]) -> Callable[[str], str]:
    """A renaming for checkpoints that have our names already: the same name, if it is one of ours."""

    def rename(key: str) -> str:
        official_name(key)
        return key

    return rename


def _renaming_steps(ours: Mapping[str, str]) -> tuple[Step, ...]:
    def step(key: str, our_key: str) -> Step:
        return Step((key,), lambda tensors: {our_key: tensors[key]})

    return tuple(step(key, our_key) for key, our_key in ours.items())


def _transformer_step(key: str, our_key: str, num_layers: int) -> Step:
    return Step((key,), lambda tensors: {our_key: transformer_value(our_key, tensors[key], num_layers)})


def _copying(step: Step) -> Step:
    """A parameter that starts as a copy must not share memory with what it is a copy of."""
    return Step(
        step.official_keys, lambda tensors: {key: value.clone() for key, value in step.convert(tensors).items()}
    )


def _audio_vae_step(key: str, our_key: str) -> Step:
    return Step((key,), lambda tensors: {our_key: audio_vae_value(key, tensors[key])})


def _known_name(name: str, expected: Mapping[str, Tensor]) -> str:
    if name not in expected:
        raise KeyError(name)
    return name


def _naming_the_file(
    source: Source, argument: str, convert: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    def convert_or_name(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        try:
            return convert(tensors)
        except ValueError as error:
            raise ConversionError(f"`{argument}` {source.path}: {error}") from error

    return convert_or_name


def _read_config(
    source: Source, argument: str, read: Callable[[], dict[str, Any]], official_name: Callable[[str], str]
) -> dict[str, Any]:
    try:
        return read()
    except KeyError as error:
        missing = official_name(error.args[0])
        raise ConversionError(f"`{argument}` {source.path} lacks `{missing}`, whose shape tells a size.") from error
    except ValueError as error:
        raise ConversionError(f"`{argument}` {source.path}: {error}") from error


def _stored_config(source: Source, model_class: type[ModelMixin]) -> dict[str, Any] | None:
    """The configuration beside the weights of a diffusers model, if there is one."""
    folder = source.path if source.path.is_dir() else source.path.parent
    if not (folder / model_class.config_name).is_file():
        return None
    config = model_class.load_config(folder, local_files_only=True)
    return config if config.get("_class_name") == model_class.__name__ else None


def _stored_text_encoder_config(source: Source) -> UMT5Config | None:
    """The configuration beside the weights of a transformers model, if there is one."""
    folder = source.path if source.path.is_dir() else source.path.parent
    if not (folder / "config.json").is_file():
        return None
    config = UMT5Config.get_config_dict(folder, local_files_only=True)[0]
    return UMT5Config.from_dict(config) if config.get("model_type") == "umt5" else None


def _config_of_diffusers_model(model: ModelMixin) -> Callable[[Path, torch.dtype], None]:
    return lambda folder, dtype: model.save_config(folder)
