import pytest
import torch
from diffusers import AutoencoderKLWan
from transformers import UMT5Config, UMT5EncoderModel, UMT5ForConditionalGeneration

from iap_pipelines.conversion import ConversionError
from iap_pipelines.conversion.checkpoint import open_checkpoint
from iap_pipelines.conversion.components import (
    plan_audio_vae,
    plan_text_encoder,
    plan_transformer,
    plan_video_vae,
    plan_vocoder,
)
from iap_pipelines.conversion.plan import widest_dtype
from iap_pipelines.conversion.transformer import base_transformer_key


def as_source(tmp_path, tensors, name="checkpoint.pt"):
    torch.save(tensors, tmp_path / name)
    return open_checkpoint(tmp_path / name)


class LayoutOnly:
    """A checkpoint of the published size: names and shapes, no tensors."""

    def __init__(self, path, layout):
        self.path, self.files = path, (path,)
        self.layout = {name: torch.empty(shape, device="meta") for name, shape in layout.items()}


def plan_tiny_transformer(source, **options):
    return plan_transformer(source, attention_head_dim=12, **options)


LAYOUTS = {
    "transformer": (plan_tiny_transformer, lambda official: official.dual_tower_layout()),
    "vae": (plan_video_vae, lambda official: official.video_vae_layout()),
    "text_encoder": (plan_text_encoder, lambda official: official.text_encoder_layout()),
    "audio_vae": (plan_audio_vae, lambda official: official.audio_vae_layout()),
    "vocoder": (plan_vocoder, lambda official: official.vocoder_layout(naming="removed")),
}


@pytest.fixture(params=LAYOUTS)
def component(request, official):
    """Name, plan function and tensors of one component."""
    make_plan, layout = LAYOUTS[request.param]
    return request.param, make_plan, official.fill(layout(official))


@pytest.mark.parametrize(
    ("make_plan", "layout", "num_parameters"),
    [
        (plan_transformer, lambda o: o.dual_tower_layout(3072, 14336, 30, 4096, 256, 8192), 15_330_261_204),
        (plan_video_vae, lambda o: o.video_vae_layout(160, 256), 704_688_668),
        (plan_text_encoder, lambda o: o.text_encoder_layout(256384, 4096, 10240, 64, 24), 5_680_910_336),
        (plan_audio_vae, lambda o: o.audio_vae_layout(384), None),
        (plan_vocoder, lambda o: o.vocoder_layout(1536), None),
    ],
)
def test_published_sizes(official, tmp_path, make_plan, layout, num_parameters):
    plan = make_plan(LayoutOnly(tmp_path, layout(official)))
    plan.check()
    if num_parameters is not None:
        assert sum(tensor.numel() for tensor in plan.layout.values()) == num_parameters


@pytest.mark.parametrize(
    ("make_plan", "name", "entry"),
    [
        (plan_transformer, "layout_dual_tower_5b_5b.json", "state_dict"),
        (plan_audio_vae, "layout_audio_vae_16k.json", "state_dict"),
        (plan_vocoder, "layout_vocoder_16k.json", "state_dict_weight_norm"),
        (plan_vocoder, "layout_vocoder_16k.json", "state_dict_old_weight_norm_names"),
        (plan_vocoder, "layout_vocoder_16k.json", "state_dict_after_weight_norm_removed"),
    ],
)
def test_published_layouts(published_layout, tmp_path, make_plan, name, entry):
    make_plan(LayoutOnly(tmp_path, published_layout(name, entry))).check()


def test_plan_tells_what_comes_out(component, tmp_path):
    _, make_plan, tensors = component
    plan = make_plan(as_source(tmp_path, tensors))
    plan.check()
    converted = dict(plan.tensors())
    assert {key: (value.shape, value.dtype) for key, value in converted.items()} == {
        key: (value.shape, value.dtype) for key, value in plan.layout.items()
    }


def test_missing_key_is_named(component, tmp_path):
    name, make_plan, tensors = component
    for key in list(tensors)[:: len(tensors) // 3]:
        fewer = {other: tensor for other, tensor in tensors.items() if other != key}
        try:
            with pytest.raises(ConversionError) as error:
                make_plan(as_source(tmp_path, fewer)).check()
        except pytest.fail.Exception:
            assert "_prime" in key  # dead keys may be absent
            continue
        message = str(error.value)
        assert f"`{name}` {tmp_path / 'checkpoint.pt'}" in message
        assert key in message


def test_unknown_key_is_named(component, tmp_path):
    name, make_plan, tensors = component
    plan = make_plan(
        as_source(tmp_path, {**tensors, "extra.3.weight": torch.zeros(1), "extra.4.weight": torch.zeros(1)})
    )
    with pytest.raises(ConversionError, match=r"2 unknown keys:\n\s+extra\.\{3-4\}\.weight \(2 keys\)") as error:
        plan.check()
    assert f"`{name}` {tmp_path / 'checkpoint.pt'}" in str(error.value)


def test_every_unexpected_shape_is_named(component, tmp_path):
    _, make_plan, tensors = component
    key = [key for key in tensors if tensors[key].ndim == 1 and "modulation" not in key or key == "data_std"][-1]
    plan = make_plan(as_source(tmp_path, {**tensors, key: torch.zeros(7, 7)}))
    with pytest.raises(ConversionError, match=r"1 shapes that do not fit:\n.*gives \[7, 7\] instead of"):
        plan.check()


def test_file_of_another_component(component, tmp_path, official):
    name, _, tensors = component
    source = as_source(tmp_path, tensors)
    for other, (make_plan, _) in LAYOUTS.items():
        if other != name:
            with pytest.raises(ConversionError, match=rf"^`{other}` .*checkpoint\.pt must be .*, but it is an? "):
                make_plan(source)


def test_file_of_nothing_we_know(tmp_path):
    source = as_source(tmp_path, {"layer.weight": torch.zeros(1)})
    for make_plan, _ in LAYOUTS.values():
        with pytest.raises(ConversionError, match="something else, with keys such as `layer.weight`"):
            make_plan(source)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_quantised_checkpoint(component, tmp_path, dtype):
    _, make_plan, tensors = component
    key = next(key for key in tensors if key.endswith(("weight", "original1")))
    with pytest.raises(ConversionError, match="Quantised checkpoints cannot be converted"):
        make_plan(as_source(tmp_path, {**tensors, key: tensors[key].to(dtype)})).check()


def test_base_checkpoint_needs_a_decision(tmp_path, official):
    tensors = official.fill(official.dual_tower_layout(base=True))
    source = as_source(tmp_path, tensors)
    with pytest.raises(ConversionError, match=r"(?s)q_prime.*base checkpoint.*`initialise_identity`"):
        plan_tiny_transformer(source).check()

    plan = plan_tiny_transformer(source, initialise_identity=True)
    plan.check()
    assert len(plan.initialised_keys) == sum(".identity." in key for key in plan.expected)
    converted = dict(plan.tensors())
    assert not plan.dead_keys
    for key in plan.initialised_keys:
        official_key = base_transformer_key(key)
        base = tensors.get(official_key, tensors.get(f"{official_key}.modulation"))
        torch.testing.assert_close(converted[key], base[:, :2] if base.shape != converted[key].shape else base)
        ordinary = converted[key.replace(".identity.", ".")]
        assert converted[key].untyped_storage().data_ptr() != ordinary.untyped_storage().data_ptr()


def test_initialise_identity_changes_nothing_where_it_is_not_needed(tmp_path, official):
    source = as_source(tmp_path, official.fill(official.dual_tower_layout()))
    plan = plan_tiny_transformer(source, initialise_identity=True)
    plan.check()
    assert not plan.initialised_keys


def test_a_damaged_checkpoint_is_not_taken_for_a_base_one(tmp_path, official):
    tensors = official.fill(official.dual_tower_layout())
    del tensors["video_model.blocks.0.self_attn.q_prime.weight"]
    with pytest.raises(ConversionError, match=r"video_model\.blocks\.0\.self_attn\.q_prime\.weight"):
        plan_tiny_transformer(as_source(tmp_path, tensors), initialise_identity=True).check()


def test_two_names_for_one_parameter(tmp_path, official):
    tensors = official.fill(official.dual_tower_layout())
    tensors["video_model.blocks.0.modulation.modulation"] = tensors["video_model.blocks.0.modulation"]
    with pytest.raises(ConversionError, match="several keys give `video_model.blocks.0.modulation`"):
        plan_tiny_transformer(as_source(tmp_path, tensors)).check()


def test_head_size_must_divide_the_channels(tmp_path, official):
    with pytest.raises(ConversionError, match="`attention_head_dim`=128 does not divide the 24 channels"):
        plan_transformer(as_source(tmp_path, official.fill(official.dual_tower_layout())))


def test_video_vae_in_the_form_of_diffusers(tmp_path, official):
    published = plan_video_vae(as_source(tmp_path, official.fill(official.video_vae_layout())))
    ours = dict(published.tensors())
    published.save_config(tmp_path, torch.float32)
    model = AutoencoderKLWan.from_config(AutoencoderKLWan.load_config(tmp_path))
    model.load_state_dict(ours)
    model.save_pretrained(tmp_path / "vae")

    plan = plan_video_vae(open_checkpoint(tmp_path / "vae"))
    plan.check()
    again = dict(plan.tensors())
    assert again.keys() == ours.keys()
    for key in ours:
        torch.testing.assert_close(again[key], ours[key], rtol=0, atol=0)


@pytest.mark.parametrize("key", ["encoder.downsamples.0.residual.0.gamma", "encoder.down_blocks.0.norm1.gamma"])
def test_older_video_vae(tmp_path, key):
    with pytest.raises(ConversionError, match=r"Wan2\.1 video VAE.*Wan2\.2_VAE\.pth"):
        plan_video_vae(as_source(tmp_path, {key: torch.ones(96, 1, 1, 1)}))


@pytest.mark.parametrize("model_class", [UMT5EncoderModel, UMT5ForConditionalGeneration])
def test_text_encoder_in_the_form_of_transformers(tmp_path, model_class):
    config = UMT5Config(
        vocab_size=40, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, relative_attention_max_distance=64
    )
    model = model_class(config).eval()
    model.save_pretrained(tmp_path / "umt5")
    plan = plan_text_encoder(open_checkpoint(tmp_path / "umt5"))
    plan.check()
    for key, tensor in plan.tensors():
        torch.testing.assert_close(tensor, model.state_dict()[key], rtol=0, atol=0)
    plan.save_config(tmp_path, torch.bfloat16)
    saved = UMT5Config.from_pretrained(tmp_path)
    assert saved.relative_attention_max_distance == 64  # no shape tells this; it must come from the folder
    assert saved.architectures == ["UMT5EncoderModel"]


def test_t5_is_not_umt5(tmp_path, official):
    """T5 has relative positions in its first layer only."""
    tensors = official.fill(official.text_encoder_layout())
    del tensors["blocks.1.pos_embedding.embedding.weight"]
    with pytest.raises(ConversionError, match=r"blocks\.1\.pos_embedding\.embedding\.weight"):
        plan_text_encoder(as_source(tmp_path, tensors)).check()


def test_all_namings_of_the_vocoder_agree(tmp_path, official):
    tensors = official.fill(official.vocoder_layout())
    renamed = {
        key.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for key, tensor in tensors.items()
    }
    first = dict(plan_vocoder(as_source(tmp_path, tensors)).tensors())
    second = dict(plan_vocoder(as_source(tmp_path, renamed, "renamed.pt")).tensors())
    assert first.keys() == second.keys()
    for key in first:
        torch.testing.assert_close(first[key], second[key], rtol=0, atol=0)


def test_half_a_weight_norm_pair(tmp_path, official):
    tensors = official.fill(official.vocoder_layout())
    del tensors["ups.2.0.parametrizations.weight.original0"]
    with pytest.raises(ConversionError, match=r"`vocoder` .*checkpoint\.pt: .*ups\.2\.0"):
        plan_vocoder(as_source(tmp_path, tensors)).check()


F64, F32, F16, BF16 = torch.float64, torch.float32, torch.float16, torch.bfloat16


@pytest.mark.parametrize(
    ("dtypes", "widest"),
    [
        ((BF16, BF16), BF16),
        ((F16, BF16), F32),
        ((F32, BF16), F32),
        ((F64, F64), F32),
        ((F64, F16), F32),
        ((F16,), F16),
    ],
)
def test_widest_dtype_loses_nothing(dtypes, widest):
    assert widest_dtype([torch.empty(1, dtype=dtype) for dtype in dtypes]) == widest


def test_precise_modules_are_not_reduced(tmp_path, official):
    tensors = official.fill(official.dual_tower_layout())
    plan = plan_tiny_transformer(as_source(tmp_path, tensors))
    stored = plan.stored_layout(torch.bfloat16)
    assert stored["blocks.0.video.modulation.scale_shift_table"].dtype == torch.float32
    assert stored["blocks.0.video.attn1.to_q.weight"].dtype == torch.bfloat16
    assert {tensor.dtype for tensor in plan.stored_layout(None).values()} == {torch.float32}
    assert {tensor.dtype for tensor in plan.stored_layout(torch.float32).values()} == {torch.float32}

    reduced = {key: tensor.bfloat16() for key, tensor in tensors.items()}
    plan = plan_tiny_transformer(as_source(tmp_path, reduced))
    assert {tensor.dtype for tensor in plan.stored_layout(torch.bfloat16).values()} == {torch.bfloat16}
