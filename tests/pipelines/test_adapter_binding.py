"""An adapter that belongs to somebody acts on their references, and on nobody and nothing else."""

import dataclasses

import pytest
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from iap_pipelines import IAPPipeline, Subject
from iap_pipelines.pipelines.identity import EncodedIdentity
from iap_pipelines.pipelines.lora_iap import active_adapters
from iap_pipelines.pipelines.modular import IAPBlocks, IAPModularPipeline
from tests.pipelines.tiny_components import tiny_pipeline, tiny_transformer
from tests.pipelines.tiny_people import assert_close, assert_equal, assert_moved, generate, person, prompt_for


ADA, BEN = person(1), person(2)
ADA_BOUND, BEN_BOUND = (dataclasses.replace(who, adapter=name) for who, name in ((ADA, "ada"), (BEN, "ben")))


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    """Folders of adapters: those of Ada and Ben were trained on their references alone, Eva's on everything."""
    folders = {}
    for seed, (name, binding) in enumerate((("ada", "references"), ("ben", "references"), ("eva", "everything"))):
        transformer = tiny_transformer()
        config = LoraConfig(r=2, target_modules=["attn1.to_k", "attn1.to_v"], auto_mapping={"binding": binding})
        transformer.add_adapter(config, name)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for key, parameter in transformer.named_parameters():
                if "lora_" in key:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator))
        folders[name] = tmp_path_factory.mktemp(name)
        IAPPipeline.save_lora_weights(
            folders[name],
            get_peft_model_state_dict(transformer, adapter_name=name),
            transformer_lora_adapter_metadata=transformer.peft_config[name].to_dict(),
        )
    return folders


@pytest.fixture
def loaded(own_pipe, adapters):
    for name in ("ada", "ben"):
        own_pipe.load_lora_weights(adapters[name], adapter_name=name)
    return own_pipe


def memory_of(pipe, subjects):
    """Keys and values of the first layer's identity tokens by subject, for people with one view and equal voices."""
    people = pipe.encode_identity(subjects)
    [memory] = people.memories.values()
    towers = memory.layers[0].identity
    return [[part.chunk(len(subjects), dim=1) for part in key_value] for key_value in towers]


def test_an_owned_adapter_changes_its_owner_and_an_adapter_of_nobody_changes_everybody(loaded, adapters):
    plain, bound = memory_of(loaded, [ADA, BEN]), memory_of(loaded, [ADA_BOUND, BEN])
    loaded.load_lora_weights(adapters["eva"], adapter_name="eva")
    loaded.set_adapters("eva")
    everywhere = memory_of(loaded, [ADA, BEN])
    for tower in range(2):
        for part in range(2):
            assert not torch.equal(everywhere[tower][part][1], plain[tower][part][1])
            assert not torch.equal(bound[tower][part][0], plain[tower][part][0])
            # Encoded apart from Ada, so up to the rounding of another shape.
            torch.testing.assert_close(bound[tower][part][1], plain[tower][part][1], atol=1e-6, rtol=1e-6)


def test_denoising_runs_without_bound_adapters(loaded):
    bound = generate(loaded, subjects=[ADA_BOUND, BEN_BOUND])
    people = loaded.encode_identity([ADA_BOUND, BEN_BOUND])
    assert people.adapters == {"ada", "ben"}
    assert_equal(bound, generate(loaded, identity=people))
    loaded.unload_lora_weights()
    assert_close(bound, generate(loaded, identity=people))


def test_known_people_keep_their_adapters_in_a_file(loaded, tmp_path):
    people = loaded.encode_identity([ADA_BOUND, BEN])
    people.save(tmp_path / "people.safetensors")
    read = EncodedIdentity.load(tmp_path / "people.safetensors")
    assert read.adapters == {"ada"}
    assert_equal(generate(loaded, identity=people), generate(loaded, identity=read))


def test_a_call_leaves_active_adapters_and_their_weights_as_they_were(loaded):
    loaded.set_adapters(["ada", "ben"], [0.3, 0.7])
    expected = generate(loaded, subjects=[BEN_BOUND])
    generate(loaded, subjects=[ADA_BOUND])
    assert active_adapters(loaded.transformer) == ["ada", "ben"]
    assert_equal(expected, generate(loaded, subjects=[BEN_BOUND]))


def test_weights_and_scales_reach_bound_adapters(loaded):
    plain = generate(loaded, subjects=[ADA], attention_kwargs={"scale": 0.0})
    full = generate(loaded, subjects=[ADA_BOUND])
    loaded.set_adapters(["ada", "ben"], [0.5, 1.0])
    half = generate(loaded, subjects=[ADA_BOUND])
    assert_moved(full, half)
    loaded.set_adapters(["ada", "ben"])
    assert_close(half, generate(loaded, subjects=[ADA_BOUND], attention_kwargs={"scale": 0.5}))
    assert_close(plain, generate(loaded, subjects=[ADA_BOUND], attention_kwargs={"scale": 0.0}))


def test_an_adapter_of_nobody_acts_on_everything_beside_owned_ones(loaded, adapters):
    without = generate(loaded, subjects=[ADA_BOUND, BEN_BOUND])
    loaded.load_lora_weights(adapters["eva"], adapter_name="eva")
    loaded.set_adapters(["ada", "ben", "eva"])
    assert_moved(without, generate(loaded, subjects=[ADA_BOUND, BEN_BOUND]))
    eva_bound = dataclasses.replace(BEN, adapter="eva")
    assert_moved(without, generate(loaded, subjects=[ADA_BOUND, eva_bound]))
    loaded.set_adapters(["ada", "ben"])
    assert_close(without, generate(loaded, subjects=[ADA_BOUND, BEN_BOUND]))


def test_owners_in_other_samples_of_a_batch(loaded):
    """Each sample of a batch is what it is alone, also where people, views and adapters differ."""
    two_views = Subject(face=[person(3).face, person(4).face], adapter="ben")
    samples = [[ADA_BOUND, BEN], [two_views], [BEN_BOUND, ADA_BOUND]]
    prompts = ["<S1> <S2>", "<S1>", "<S1> <S2>"]
    options = {"height": 32, "width": 64}
    generators = [torch.Generator().manual_seed(seed) for seed in range(3)]
    together = generate(loaded, prompts, subjects=samples, generator=generators, **options)
    for index, (prompt, subjects) in enumerate(zip(prompts, samples, strict=True)):
        generator = torch.Generator().manual_seed(index)
        alone = generate(loaded, prompt, subjects=subjects, generator=generator, **options)
        part = type(alone)(together.video[index : index + 1], together.audio[index : index + 1])
        assert_close(alone, part)


def test_an_owned_adapter_that_nobody_owns_does_not_act_and_says_so(loaded, caplog):
    loaded.set_adapters(["ada", "ben"])
    with caplog.at_level("WARNING", logger="iap_pipelines"):
        idle = generate(loaded, subjects=[ADA])
    assert "['ada', 'ben'] belong to people, but no subject names them" in caplog.text
    caplog.clear()
    loaded.disable_lora()
    assert_equal(idle, generate(loaded, subjects=[ADA]))
    assert not caplog.records
    loaded.unload_lora_weights()
    assert_close(idle, generate(loaded, subjects=[ADA]))


def test_hot_swapping_changes_the_owner(loaded, adapters):
    ada = generate(loaded, subjects=[ADA_BOUND])
    loaded.load_lora_weights(adapters["eva"], adapter_name="ada", hotswap=True)
    assert_moved(ada, generate(loaded, subjects=[ADA_BOUND]))
    loaded.load_lora_weights(adapters["ada"], adapter_name="ada", hotswap=True)
    assert_equal(ada, generate(loaded, subjects=[ADA_BOUND]))


def test_what_cannot_be_bound_is_refused(loaded):
    with pytest.raises(ValueError, match=r"name the `adapter` 'eva', but loaded are \['ada', 'ben'\]"):
        generate(loaded, subjects=[dataclasses.replace(ADA, adapter="eva")])
    with pytest.raises(ValueError, match="neither face nor voice, so `adapter` has nothing to act on"):
        generate(loaded, subjects=[Subject(name="Ada", adapter="ada")])
    with pytest.raises(ValueError, match="`adapter` must be a text"):
        Subject(name="Ada", adapter=" ")
    loaded.fuse_lora(adapter_names=["ada"])
    with pytest.raises(ValueError, match="'ada', but it is fused into the weights"):
        generate(loaded, subjects=[ADA_BOUND])


def test_people_who_see_each_other_cannot_have_adapters(adapters):
    pipe = tiny_pipeline(identity_attention="all")
    pipe.load_lora_weights(adapters["ada"], adapter_name="ada")
    with pytest.raises(ValueError, match="identity_attention='per_subject'"):
        generate(pipe, subjects=[ADA_BOUND, BEN])
    assert_moved(generate(pipe, subjects=[ADA_BOUND]), generate(pipe, subjects=[ADA]))


def test_blocks_bind_adapters_as_the_pipeline_does(adapters, tmp_path):
    tiny_pipeline().save_pretrained(tmp_path)
    clips = []
    for pipe in (IAPPipeline.from_pretrained(tmp_path), IAPBlocks().init_pipeline(str(tmp_path))):
        if isinstance(pipe, IAPModularPipeline):
            pipe.load_components()
        pipe.load_lora_weights(adapters["ada"], adapter_name="ada")
        pipe.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(0)
        options = {"num_inference_steps": 1, "generator": generator, "subjects": [ADA_BOUND, BEN]}
        output = pipe(prompt=prompt_for(2), **options)
        clips.append(output.audio if isinstance(pipe, IAPPipeline) else output.get("audio"))
    torch.testing.assert_close(*clips, rtol=0, atol=1e-6)
