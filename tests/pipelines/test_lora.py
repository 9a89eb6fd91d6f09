"""Adapters of the transformer: loaded, weighted, scaled, fused, saved and taken away."""

import pytest
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from iap_pipelines import IAPPipeline
from tests.pipelines.tiny_components import tiny_transformer
from tests.pipelines.tiny_people import assert_close, assert_equal, assert_moved, generate, person


ADA = person(1)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    """Folders of two adapters, as a training run leaves them."""
    folders = {}
    for seed, name in enumerate(("ada", "ben")):
        transformer = tiny_transformer()
        transformer.add_adapter(
            LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"]), name
        )
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for key, parameter in transformer.named_parameters():
                if "lora_B" in key:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator))
        folders[name] = tmp_path_factory.mktemp(name)
        IAPPipeline.save_lora_weights(
            folders[name],
            get_peft_model_state_dict(transformer, adapter_name=name),
            transformer_lora_adapter_metadata=transformer.peft_config[name].to_dict(),
        )
    return folders


@pytest.fixture
def base(pipe):
    return generate(pipe, subjects=[ADA])


def load(pipe, adapters, *names):
    for name in names:
        pipe.load_lora_weights(adapters[name], adapter_name=name)
    pipe.set_adapters(list(names))
    return pipe


def test_an_adapter_moves_the_clip_and_unloading_brings_it_back(own_pipe, adapters, base):
    assert_moved(base, generate(load(own_pipe, adapters, "ada"), subjects=[ADA]))
    own_pipe.unload_lora_weights()
    assert_equal(base, generate(own_pipe, subjects=[ADA]))


def test_the_scale_of_a_call(own_pipe, adapters, base):
    load(own_pipe, adapters, "ada")
    full, half, none = (
        generate(own_pipe, subjects=[ADA], attention_kwargs={"scale": scale}) for scale in (1.0, 0.5, 0.0)
    )
    assert_equal(full, generate(own_pipe, subjects=[ADA]))
    assert_close(none, base)
    assert_moved(half, full)
    assert_moved(half, none)
    own_pipe.set_adapters("ada", 0.5)
    assert_close(half, generate(own_pipe, subjects=[ADA]))


def test_the_scale_reaches_known_people(own_pipe, adapters):
    load(own_pipe, adapters, "ada")
    scale = {"attention_kwargs": {"scale": 0.5}}
    known = own_pipe.encode_identity([ADA], **scale)
    expected = generate(own_pipe, subjects=[ADA], **scale)
    assert_equal(expected, generate(own_pipe, identity=known, **scale))
    assert_moved(expected, generate(own_pipe, identity=own_pipe.encode_identity([ADA]), **scale))


def test_two_adapters_and_their_weights(own_pipe, adapters, base):
    load(own_pipe, adapters, "ada", "ben")
    assert own_pipe.get_list_adapters() == {"transformer": ["ada", "ben"]}
    both = generate(own_pipe, subjects=[ADA])
    clips = {}
    for weights in ([1.0, 0.0], [0.0, 1.0], [0.3, 0.7]):
        own_pipe.set_adapters(["ada", "ben"], weights)
        clips[tuple(weights)] = generate(own_pipe, subjects=[ADA])
        assert_moved(both, clips[tuple(weights)])
    own_pipe.set_adapters("ada")
    assert own_pipe.get_active_adapters() == ["ada"]
    assert_close(clips[1.0, 0.0], generate(own_pipe, subjects=[ADA]))
    own_pipe.delete_adapters("ada")
    own_pipe.set_adapters("ben")
    assert_close(clips[0.0, 1.0], generate(own_pipe, subjects=[ADA]))
    own_pipe.disable_lora()
    assert_close(base, generate(own_pipe, subjects=[ADA]))
    own_pipe.enable_lora()
    assert_close(clips[0.0, 1.0], generate(own_pipe, subjects=[ADA]))


def test_fused_adapters_stay_until_unfused(own_pipe, adapters, base):
    expected = generate(load(own_pipe, adapters, "ada"), subjects=[ADA])
    own_pipe.fuse_lora()
    assert own_pipe.num_fused_loras == 1
    assert_close(expected, generate(own_pipe, subjects=[ADA]), atol=1e-4)
    own_pipe.unfuse_lora()
    assert own_pipe.num_fused_loras == 0
    assert_close(expected, generate(own_pipe, subjects=[ADA]), atol=1e-4)
    own_pipe.fuse_lora(lora_scale=0.5)
    own_pipe.unload_lora_weights()
    assert_moved(base, generate(own_pipe, subjects=[ADA]))


def test_what_is_saved_is_what_is_loaded(own_pipe, adapters, tmp_path):
    expected = generate(load(own_pipe, adapters, "ben"), subjects=[ADA])
    state_dict = get_peft_model_state_dict(own_pipe.transformer, adapter_name="ben")
    metadata = own_pipe.transformer.peft_config["ben"].to_dict()
    own_pipe.save_lora_weights(tmp_path, state_dict, transformer_lora_adapter_metadata=metadata)
    assert [path.name for path in tmp_path.iterdir()] == ["pytorch_lora_weights.safetensors"]
    own_pipe.unload_lora_weights()
    own_pipe.load_lora_weights(tmp_path)
    assert_equal(expected, generate(own_pipe, subjects=[ADA]))
    own_pipe.unload_lora_weights()
    own_pipe.load_lora_weights({f"transformer.{key}": value for key, value in state_dict.items()})
    assert_equal(expected, generate(own_pipe, subjects=[ADA]))


def test_what_is_no_adapter_is_refused(own_pipe, tmp_path):
    with pytest.raises(ValueError, match="keys without 'lora' in their name, such as"):
        own_pipe.load_lora_weights({"transformer.blocks.0.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match="`safe_serialization=False` would write a pickle"):
        own_pipe.save_lora_weights(tmp_path, {"a.lora_A.weight": torch.zeros(1)}, safe_serialization=False)
    with pytest.raises(TypeError, match="unexpected arguments \\['use_safetensors'\\]"):
        own_pipe.load_lora_weights(tmp_path, use_safetensors=False)
