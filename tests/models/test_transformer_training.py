"""Gradients, gradient checkpointing and LoRA."""

import itertools

import pytest
import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer

from iap_pipelines.models.transformer_iap import IAPTransformerBlock


def _loss(model, inputs, identity):
    return sum(output.square().mean() for output in model(**inputs, identity=identity, return_dict=False))


def _gradients(model):
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("weights", list(itertools.product(("separate", "shared"), repeat=2)), ids="-".join)
@pytest.mark.parametrize("slots", [0, 4])
@pytest.mark.parametrize("attention", ["all", "per_subject"])
def test_every_weight_is_read(make_transformer, make_inputs, make_person, gather, weights, slots, attention):
    """Including the last layer's identity stream, of which the published model builds much that nobody reads."""
    model = make_transformer(
        identity_weights=dict(zip(("video", "audio"), weights, strict=True)),
        identity_attention=attention,
        num_identity_slots=slots,
    )
    # Two views: among the tokens of a single one, queries would still matter, but let nothing hinge on it.
    _loss(model, make_inputs(), gather([[make_person(0, 2), make_person(1, 2)]])).backward()
    unread = [name for name, gradient in _gradients(model).items() if gradient is None or not gradient.any()]
    # A softmax does not see what is added to all of its keys alike.
    assert not [name for name in unread if not name.endswith(("to_k.bias", "add_k_proj.bias"))]
    assert all(gradient is not None for gradient in _gradients(model).values())


def test_one_layer_is_enough(make_transformer, make_inputs, two_people):
    model = make_transformer(num_layers=1)
    _loss(model, make_inputs(), two_people).backward()
    assert all(gradient is not None for gradient in _gradients(model).values())


@pytest.mark.parametrize("extended", [False, True])
def test_gradient_checkpointing_changes_nothing(
    make_transformer, make_inputs, make_person, gather, extended_config, extended
):
    model = make_transformer(**(extended_config if extended else {})).train()
    inputs = make_inputs(batch_size=2)
    identity = gather([[make_person(0, 2), make_person(1)], [make_person(0, voice_length=3)]])
    expected_loss = _loss(model, inputs, identity)
    expected_loss.backward()
    expected = _gradients(model)

    model.zero_grad(set_to_none=True)
    model.enable_gradient_checkpointing()
    calls = []
    hooks = [block.register_forward_pre_hook(lambda *_: calls.append(1)) for block in model.blocks]
    loss = _loss(model, inputs, identity)
    assert len(calls) == 3
    loss.backward()
    # Every block ran once more on the way back: checkpointing is on, not just switched on.
    assert len(calls) == 6
    for hook in hooks:
        hook.remove()
    assert torch.equal(loss, expected_loss)
    for name, gradient in _gradients(model).items():
        torch.testing.assert_close(gradient, expected[name], msg=name)


def test_checkpointing_keeps_less(make_transformer, make_inputs, two_people):
    def kept_bytes(model):
        stored = {}

        def pack(tensor):
            stored[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            _loss(model, make_inputs(), two_people)
        return sum(stored.values())

    model = make_transformer(num_layers=6)
    everything = kept_bytes(model)
    model.enable_gradient_checkpointing()
    assert kept_bytes(model) < everything / 2


def test_memory_carries_gradients_to_the_references(make_transformer, make_inputs, two_people):
    model = make_transformer()
    faces = two_people.face_latents.clone().requires_grad_()
    memory = model.encode_identity(two_people._replace(face_latents=faces), num_frames=3, num_audio_latents=8)
    model(**make_inputs(), identity_memory=memory, return_dict=False)[0].sum().backward()
    assert faces.grad.abs().sum() > 0


@pytest.fixture
def lora_transformer(make_transformer):
    model = make_transformer()
    targets = ["to_q", "to_k", "to_v", "to_out.0"]
    model.add_adapter(LoraConfig(r=2, lora_alpha=4, target_modules=targets, init_lora_weights=False), "ada")
    return model


def _run(model, inputs, identity, scale=None):
    """Through the constants, as the pipeline does: a LoRA has to reach these too."""
    kwargs = {} if scale is None else {"attention_kwargs": {"scale": scale}}
    inputs = dict(inputs)
    with torch.no_grad():
        memory = model.encode_identity(identity, num_frames=3, num_audio_latents=8, **kwargs)
        caption = model.encode_caption(inputs.pop("encoder_hidden_states"), **kwargs)
        outputs = model(**inputs, identity_memory=memory, caption_memory=caption, return_dict=False, **kwargs)
    return memory, caption, outputs


def _difference(first, second):
    (memory, caption, outputs), (other_memory, other_caption, other_outputs) = first, second
    identity_value = (memory.layers[-1].identity.video.value, other_memory.layers[-1].identity.video.value)
    caption_value = (caption[0].caption.audio.value, other_caption[0].caption.audio.value)
    pairs = [identity_value, caption_value, *zip(outputs, other_outputs, strict=True)]
    return [(one - other).abs().max().item() for one, other in pairs]


class TestLora:
    def test_reaches_identity_caption_and_target(self, lora_transformer, make_transformer, make_inputs, two_people):
        base = _run(make_transformer(), make_inputs(), two_people)
        assert min(_difference(_run(lora_transformer, make_inputs(), two_people), base)) > 1e-3

    def test_scale_zero_is_the_base(self, lora_transformer, make_transformer, make_inputs, two_people):
        base = _run(make_transformer(), make_inputs(), two_people)
        assert max(_difference(_run(lora_transformer, make_inputs(), two_people, scale=0.0), base)) < 1e-5

    def test_scale_equals_the_adapter_weight(self, lora_transformer, make_inputs, two_people):
        scaled = _run(lora_transformer, make_inputs(), two_people, scale=0.5)
        full = _run(lora_transformer, make_inputs(), two_people)
        lora_transformer.set_adapters("ada", 0.5)
        assert max(_difference(_run(lora_transformer, make_inputs(), two_people), scaled)) < 1e-5
        assert min(_difference(full, scaled)) > 1e-4

    def test_fuse_and_unload(self, lora_transformer, make_transformer, make_inputs, two_people):
        base = _run(make_transformer(), make_inputs(), two_people)
        adapted = _run(lora_transformer, make_inputs(), two_people)
        lora_transformer.fuse_lora()
        assert max(_difference(_run(lora_transformer, make_inputs(), two_people), adapted)) < 1e-5
        lora_transformer.unfuse_lora()
        lora_transformer.unload_lora()
        assert not any(isinstance(module, BaseTunerLayer) for module in lora_transformer.modules())
        assert max(_difference(_run(lora_transformer, make_inputs(), two_people), base)) < 1e-5

    def test_save_and_load(self, lora_transformer, make_transformer, make_inputs, two_people, tmp_path):
        lora_transformer.save_lora_adapter(tmp_path, adapter_name="ada")
        loaded = make_transformer()
        loaded.load_lora_adapter(tmp_path, use_safetensors=True, prefix=None)
        adapted = _run(lora_transformer, make_inputs(), two_people)
        assert max(_difference(_run(loaded, make_inputs(), two_people), adapted)) < 1e-5

    def test_trains_with_checkpointing(self, lora_transformer, make_inputs, two_people):
        lora_transformer.train().enable_gradient_checkpointing()
        _loss(lora_transformer, make_inputs(), two_people).backward()
        for name, parameter in lora_transformer.named_parameters():
            assert (parameter.grad is not None) == ("lora" in name), name


def test_blocks_are_what_the_model_says_they_are(make_transformer):
    model = make_transformer()
    assert {type(block) for block in model.blocks} == {IAPTransformerBlock}
    assert model._no_split_modules == model._repeated_blocks == [IAPTransformerBlock.__name__]
