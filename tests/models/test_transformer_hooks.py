"""What diffusers, accelerate and torch do to a model from outside: offloading, caches, compilation, backends."""

import warnings

import pytest
import torch
from accelerate import cpu_offload, dispatch_model
from diffusers import FirstBlockCacheConfig, PyramidAttentionBroadcastConfig, TaylorSeerCacheConfig
from diffusers.models.attention_dispatch import attention_backend

from iap_pipelines.models.transformer_iap import IAPAttnProcessor, IAPTransformer3DModel


def _run(model, inputs, identity, skip_layers=()):
    """Both ways: everything at once, and through the constants."""
    inputs = dict(inputs)
    with torch.no_grad():
        once = model(**inputs, identity=identity, skip_layers=skip_layers, return_dict=False)
        memory = model.encode_identity(identity, num_frames=3, num_audio_latents=8, skip_layers=skip_layers)
        caption = model.encode_caption(inputs.pop("encoder_hidden_states"))
        known = {"identity_memory": memory, "caption_memory": caption, "skip_layers": skip_layers}
        return (*once, *model(**inputs, **known, return_dict=False))


def _constants_first(model, inputs, identity):
    """The pipeline's order: `encode_*` touches the model before any `forward` did."""
    inputs = dict(inputs)
    with torch.no_grad():
        caption = model.encode_caption(inputs.pop("encoder_hidden_states"))
        memory = model.encode_identity(identity, num_frames=3, num_audio_latents=8)
        return model(**inputs, identity_memory=memory, caption_memory=caption, return_dict=False)


def assert_same(first, second, **tolerance):
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, **{"atol": 1e-5, "rtol": 1e-5, **tolerance})


@pytest.fixture
def model(make_transformer, extended_config):
    return make_transformer(**extended_config)


class TestOffload:
    @pytest.mark.parametrize("offload_type", ["block_level", "leaf_level"])
    def test_group_offload(self, model, make_inputs, two_people, tmp_path, offload_type):
        expected = _run(model, make_inputs(), two_people)
        model.enable_group_offload(
            onload_device=torch.device("cpu"),
            offload_type=offload_type,
            num_blocks_per_group=1,
            offload_to_disk_path=str(tmp_path),
        )
        # What was offloaded lies on disk. Whoever is used without having been fetched shows itself.
        for parameter in model.parameters():
            parameter.data.fill_(torch.nan)
        assert_same(_constants_first(model, make_inputs(), two_people), expected[2:])
        assert_same(_run(model, make_inputs(), two_people), expected)
        assert_same(
            _run(model, make_inputs(), two_people, skip_layers=(1,)),
            2 * _run(model, make_inputs(), two_people, skip_layers=(1,))[:2],
        )

    def test_cpu_offload(self, model, make_inputs, two_people):
        expected = _run(model, make_inputs(), two_people)
        cpu_offload(model, execution_device=torch.device("cpu"))
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
        assert_same(_constants_first(model, make_inputs(), two_people), expected[2:])
        assert_same(_run(model, make_inputs(), two_people), expected)

    def test_disk_offload(self, model, make_inputs, two_people, tmp_path):
        expected = _run(model, make_inputs(), two_people)
        device_map = {name: "disk" for name, _ in model.named_children() if name != "blocks"}
        device_map |= {f"blocks.{index}": "cpu" if index == 0 else "disk" for index in range(3)}
        dispatch_model(model, device_map, main_device="cpu", offload_dir=tmp_path, force_hooks=True)
        assert_same(_constants_first(model, make_inputs(), two_people), expected[2:])
        assert_same(_run(model, make_inputs(), two_people), expected)

    def test_device_map(self, model, make_inputs, two_people, tmp_path):
        expected = _run(model, make_inputs(), two_people)
        model.save_pretrained(tmp_path)
        loaded = IAPTransformer3DModel.from_pretrained(tmp_path, device_map="auto")
        assert_same(_run(loaded, make_inputs(), two_people), expected)


class TestCaches:
    """Steps are counted by calls of the attention modules. Making constants must not count."""

    def _pab(self):
        return PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2,
            cross_attention_block_skip_range=2,
            current_timestep_callback=lambda: 500,
        )

    def _taylor_seer(self):
        return TaylorSeerCacheConfig(
            cache_interval=2,
            disable_cache_before_step=1,
            taylor_factors_dtype=torch.float32,
            cache_identifiers=[r"blocks\.\d+\.(video|audio)\.attn[12]"],
        )

    @pytest.mark.parametrize("kind", ["pab", "taylor_seer"])
    @pytest.mark.parametrize("extended", [False, True])
    def test_steps(self, make_transformer, make_inputs, two_people, extended_config, kind, extended):
        """With the audio weights shared (published), identity and target tokens run through the same attention."""
        model = make_transformer(**(extended_config if extended else {}))
        steps = [make_inputs(seed=seed) for seed in range(2)]
        exact = [_constants_first(model, step, two_people) for step in steps]
        model.enable_cache(self._pab() if kind == "pab" else self._taylor_seer())

        with torch.no_grad(), model.cache_context("cond"):
            memory = model.encode_identity(two_people, num_frames=3, num_audio_latents=8)
            cached = [model(**step, identity_memory=memory, return_dict=False) for step in steps]
        assert_same(cached[0], exact[0])
        assert all((one - other).abs().max() > 1e-4 for one, other in zip(cached[1], exact[1], strict=True))

        model._reset_stateful_cache()
        with torch.no_grad(), model.cache_context("cond"):
            raw = [model(**step, identity=two_people, return_dict=False) for step in steps]
        for one, other in zip(raw, cached, strict=True):
            assert_same(one, other)

        model.disable_cache()
        assert_same(_constants_first(model, steps[1], two_people), exact[1])

    def test_block_caches_are_refused(self, model):
        """They know one hidden state and one encoder state per block; ours carries two towers."""
        with pytest.raises(ValueError, match="not registered"):
            model.enable_cache(FirstBlockCacheConfig(threshold=0.1))


class TestCompile:
    @pytest.fixture(autouse=True)
    def fresh_dynamo(self):
        torch.compiler.reset()
        yield
        torch.compiler.reset()

    @pytest.mark.slow
    def test_whole_model(self, model, make_inputs, two_people):
        expected = _run(model, make_inputs(), two_people)
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        with torch.no_grad(), torch._dynamo.config.patch(error_on_recompile=True):
            for _ in range(2):
                outputs = compiled(**make_inputs(), identity=two_people, return_dict=False)
        assert_same(outputs, expected[:2])

    def test_one_graph_serves_all_layers_and_steps(self, model, make_inputs, two_people):
        """From constants every layer has the same shape; only making them knows a last layer."""
        inputs = make_inputs()
        expected = _constants_first(model, inputs, two_people)
        with torch.no_grad():
            caption = model.encode_caption(inputs.pop("encoder_hidden_states"))
            memory = model.encode_identity(two_people, num_frames=3, num_audio_latents=8)
        model.compile_repeated_blocks(fullgraph=True, backend="eager")
        with torch.no_grad(), torch._dynamo.config.patch(recompile_limit=1):
            for _ in range(2):
                outputs = model(**inputs, identity_memory=memory, caption_memory=caption, return_dict=False)
        assert_same(outputs, expected)

    def test_making_constants(self, model, make_inputs, two_people):
        expected = _constants_first(model, make_inputs(), two_people)
        model.compile_repeated_blocks(fullgraph=True, backend="eager")
        assert_same(_constants_first(model, make_inputs(), two_people), expected)


class TestAttention:
    @pytest.mark.parametrize("backend", ["native", "_native_math"])
    def test_backends(self, model, make_inputs, two_people, backend):
        expected = _run(model, make_inputs(), two_people)
        # diffusers makes a model's backend that of the whole process as well; the context manager takes it back.
        with attention_backend("native"):
            model.set_attention_backend(backend)
            assert {processor._attention_backend for processor in model.attn_processors.values()} == {backend}
            assert_same(_run(model, make_inputs(), two_people), expected)
            model.reset_attention_backend()
            with attention_backend(backend):
                assert_same(_run(model, make_inputs(), two_people), expected)

    def test_processors_are_used(self, model, make_inputs, two_people):
        calls = []

        class Counting(IAPAttnProcessor):
            def __call__(self, attn, *args):
                calls.append(attn)
                return super().__call__(attn, *args)

        model.set_attn_processor(Counting())
        with torch.no_grad():
            model(**make_inputs(), identity=two_people)
        # Per tower and layer: target, cross-attention, and identity except in the last layer.
        assert len(calls) == 2 * (3 + 3 + 2)


def test_forward_gives_no_warning(model, make_inputs, two_people):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _run(model, make_inputs(), two_people)
