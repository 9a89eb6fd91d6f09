"""bfloat16, float16 and float8: how far from float32, and what stays in float32."""

import pytest
import torch

from iap_pipelines.models.transformer_iap import IAPTransformer3DModel


# Of the largest output. bfloat16 keeps 8 bits: one rounding is 0.4 %, three layers make about a dozen in a row.
MAX_RELATIVE_DISTANCE = {torch.bfloat16: 0.05, torch.float16: 0.01}


def _cast(value, dtype):
    if isinstance(value, tuple):
        return type(value)(*(_cast(field, dtype) for field in value))
    return value.to(dtype) if torch.is_tensor(value) and value.is_floating_point() else value


def _run(model, inputs, identity, dtype):
    inputs = {name: _cast(value, dtype) if name != "timestep" else value for name, value in inputs.items()}
    identity = _cast(identity, dtype)
    with torch.no_grad():
        outputs = model(**inputs, identity=identity, return_dict=False)
        memory = model.encode_identity(identity, num_frames=3, num_audio_latents=8)
        caption = model.encode_caption(inputs.pop("encoder_hidden_states"))
        again = model(**inputs, identity_memory=memory, caption_memory=caption, return_dict=False)
    assert all(torch.equal(one, other) for one, other in zip(outputs, again, strict=True))
    assert {output.dtype for output in outputs} == {dtype}
    return outputs


def _relative_distance(outputs, expected):
    return max(
        ((one.float() - other).abs().max() / other.abs().max()).item()
        for one, other in zip(outputs, expected, strict=True)
    )


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("dtype", list(MAX_RELATIVE_DISTANCE), ids=str)
@pytest.mark.parametrize("how", ["to", "from_pretrained"])
def test_half_precision_stays_near(
    make_transformer, make_inputs, two_people, extended_config, tmp_path, extended, dtype, how
):
    model = make_transformer(**(extended_config if extended else {}))
    expected = _run(model, make_inputs(), two_people, torch.float32)
    if how == "to":
        half = model.to(dtype)
    else:
        model.save_pretrained(tmp_path)
        half = IAPTransformer3DModel.from_pretrained(tmp_path, dtype=dtype)
        kept = {name for name, parameter in half.named_parameters() if parameter.dtype == torch.float32}
        assert any("time_embedder" in name for name in kept) and any("scale_shift_table" in name for name in kept)
        assert not any(name.endswith(("to_q.weight", "ffn.net.2.weight", "norm_q.weight")) for name in kept)
    distance = _relative_distance(_run(half, make_inputs(), two_people, dtype), expected)
    assert 0 < distance < MAX_RELATIVE_DISTANCE[dtype]


def test_integer_timesteps_are_exact(make_transformer, make_inputs):
    """The published schedule is int64; casting it to bfloat16 would turn 937 into 936."""
    model, inputs = make_transformer(), make_inputs()
    whole = {**inputs, "timestep": torch.tensor([937])}
    with torch.no_grad():
        from_int = model(**whole, return_dict=False)
        from_float = model(**{**whole, "timestep": torch.tensor([937.0])}, return_dict=False)
    assert all(torch.equal(one, other) for one, other in zip(from_int, from_float, strict=True))


def test_layerwise_casting_to_float8(make_transformer, make_inputs, extended_config, two_people):
    model = make_transformer(**extended_config)
    expected = _run(model, make_inputs(), two_people, torch.float32)
    model.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    stored = {name: parameter.dtype for name, parameter in model.named_parameters()}
    assert stored["blocks.0.video.attn1.to_q.weight"] == torch.float8_e4m3fn
    assert stored["blocks.0.video.identity.ffn.net.2.weight"] == torch.float8_e4m3fn
    precise = ("patch_embedding", "condition_embedder", "identity_embedding", "norm", "modulation")
    assert all(dtype == torch.float32 for name, dtype in stored.items() if any(part in name for part in precise))
    # 4 bits of mantissa: weights are off by up to 6 %.
    distance = _relative_distance(_run(model, make_inputs(), two_people, torch.float32), expected)
    assert 0 < distance < 0.25
