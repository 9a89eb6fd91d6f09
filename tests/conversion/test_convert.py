import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan, DiffusionPipeline, MMAudioVAE, UniPCMultistepScheduler
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, UMT5EncoderModel

from iap_pipelines import IAPPipeline, IAPTransformer3DModel
from iap_pipelines.conversion import ConversionError, convert_official
from iap_pipelines.conversion.audio_vae import convert_audio_vae_state_dict
from iap_pipelines.conversion.checkpoint import Checkpoint, open_checkpoint
from iap_pipelines.conversion.components import plan_audio_vae, plan_transformer, plan_vocoder
from iap_pipelines.conversion.convert import write_component
from iap_pipelines.conversion.plan import ComponentPlan
from iap_pipelines.conversion.transformer import convert_transformer_state_dict
from iap_pipelines.conversion.vocoder import convert_vocoder_state_dict


def convert(sources, output, **options):
    return convert_official(sources, output, attention_head_dim=12, **options)


def assert_equal_weights(model, expected):
    actual = model.state_dict()
    for key, value in expected.items():
        torch.testing.assert_close(actual[key], value.to(actual[key].dtype), rtol=0, atol=0)


def contents(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_every_component_loads_with_the_converted_weights(official, sources, tmp_path):
    output = tmp_path / "pipeline"
    convert(sources, output)

    transformer = IAPTransformer3DModel.from_pretrained(output, subfolder="transformer")
    expected = convert_transformer_state_dict(load_file(sources.transformer), num_layers=2)
    assert transformer.state_dict().keys() == expected.keys()
    assert_equal_weights(transformer, expected)

    vae = AutoencoderKLWan.from_pretrained(output, subfolder="vae")
    assert (vae.config.z_dim, vae.config.scale_factor_spatial, vae.config.scale_factor_temporal) == (48, 16, 4)
    official_vae = torch.load(sources.vae, weights_only=True)
    assert_equal_weights(vae, {"decoder.conv_in.weight": official_vae["decoder.conv1.weight"]})

    text_encoder = UMT5EncoderModel.from_pretrained(output, subfolder="text_encoder")
    official_text_encoder = torch.load(sources.text_encoder, weights_only=True)
    assert text_encoder.dtype == torch.bfloat16
    torch.testing.assert_close(text_encoder.shared.weight, text_encoder.encoder.embed_tokens.weight)
    assert_equal_weights(text_encoder, {"shared.weight": official_text_encoder["token_embedding.weight"]})

    official_audio_vae = torch.load(sources.audio_vae, weights_only=True)
    audio_vae = MMAudioVAE.from_pretrained(output, subfolder="audio_vae")
    assert_equal_weights(audio_vae, convert_audio_vae_state_dict(official_audio_vae))
    fresh = MMAudioVAE.from_config(audio_vae.config)
    torch.testing.assert_close(audio_vae.mel_converter.mel_basis, fresh.mel_converter.mel_basis)

    vocoder = LTX2Vocoder.from_pretrained(output, subfolder="vocoder")
    official_vocoder = torch.load(sources.vocoder, weights_only=True)["generator"]
    assert_equal_weights(vocoder, convert_vocoder_state_dict(official_vocoder))
    assert vocoder.total_upsample_factor == audio_vae.config.hop_length

    scheduler = UniPCMultistepScheduler.from_pretrained(output, subfolder="scheduler")
    assert (scheduler.config.flow_shift, scheduler.config.use_flow_sigmas) == (5.0, True)
    assert len(AutoTokenizer.from_pretrained(output / "tokenizer")) == 20


@pytest.mark.parametrize("pipeline_class", [IAPPipeline, DiffusionPipeline])
def test_the_folder_is_a_pipeline(sources, tmp_path, pipeline_class):
    convert(sources, tmp_path / "pipeline")
    index = json.loads((tmp_path / "pipeline" / "model_index.json").read_text())
    assert index["_class_name"] == "IAPPipeline"
    assert index["transformer"] == ["iap_pipelines", "IAPTransformer3DModel"]
    assert index["vocoder"] == ["ltx2", "LTX2Vocoder"]

    pipe = pipeline_class.from_pretrained(tmp_path / "pipeline", dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    output = pipe(
        "word1 word2", num_inference_steps=1, height=64, width=64, num_frames=5, output_type="np", generator=generator
    )
    assert np.asarray(output.frames).shape == (1, 5, 64, 64, 3)
    assert output.audio.isfinite().all()


def test_converting_twice_gives_the_same_bytes(sources, tmp_path):
    for name in ("first", "second"):
        convert(sources, tmp_path / name)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    for path in (tmp_path / "first").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "second" / path.relative_to(tmp_path / "first")).read_bytes()


def test_sharding_and_source_format_do_not_change_the_weights(sources, tmp_path):
    folder = tmp_path / "sharded"
    folder.mkdir()
    tensors = load_file(sources.transformer)
    names = [list(tensors)[::2], list(tensors)[1::2]]
    for index, part in enumerate(names, 1):
        save_file({name: tensors[name] for name in part}, folder / f"model-{index:05}-of-00002.safetensors")
    torch.save({"module": tensors}, tmp_path / "dual_tower.pt")

    convert(sources, tmp_path / "one")
    report = convert(dataclasses.replace(sources, transformer=folder), tmp_path / "two", max_shard_size="100KB")
    convert(dataclasses.replace(sources, transformer=tmp_path / "dual_tower.pt"), tmp_path / "three")
    assert len(report.components[0].shard_bytes) > 2
    one, two, three = (
        IAPTransformer3DModel.from_pretrained(tmp_path / name, subfolder="transformer").state_dict()
        for name in ("one", "two", "three")
    )
    for key in one:
        assert torch.equal(one[key], two[key]) and torch.equal(one[key], three[key])


def test_dry_run_reads_and_writes_nothing(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoint, "read", lambda *_: pytest.fail("a tensor was read"))
    before = contents(tmp_path)
    report = convert(sources, tmp_path / "pipeline", dry_run=True)
    assert contents(tmp_path) == before
    text = report.render()
    for component in report.components:
        assert f"{component.name} ({component.class_name})" in text
        assert str(component.source_files[0]) in text
    assert "video_model.blocks.{0-1}.cross_attn_prime.q.{bias,weight} (4 keys)" in text
    assert "would be written (dry run)" in text


def test_dry_run_foretells_the_conversion(sources, tmp_path):
    foretold = convert(sources, tmp_path / "pipeline", dry_run=True, max_shard_size="100KB")
    report = convert(sources, tmp_path / "pipeline", max_shard_size="100KB")
    assert dataclasses.replace(foretold, dry_run=False) == report
    for component in report.components:
        files = list((tmp_path / "pipeline" / component.name).glob("*.safetensors"))
        assert len(files) == len(component.shard_bytes)
        stored = {name: tensor for path in files for name, tensor in load_file(path).items()}
        assert len(stored) == component.num_tensors
        assert sum(tensor.nbytes for tensor in stored.values()) == component.num_bytes
        assert sum(tensor.numel() for tensor in stored.values()) == component.num_parameters
        converted = component.num_source_keys - len(component.dead_keys)
        assert converted > 0 and component.num_source_bytes > component.num_dead_bytes


@pytest.mark.parametrize(
    ("dtype", "transformer_dtype", "text_encoder_dtype"),
    [
        (torch.float16, torch.float16, torch.float16),
        (torch.float32, torch.float32, torch.float32),
        (None, torch.bfloat16, torch.bfloat16),
    ],
)
def test_dtype_is_that_of_transformer_and_text_encoder(
    sources, tmp_path, dtype, transformer_dtype, text_encoder_dtype
):
    report = convert(sources, tmp_path / "pipeline", dtype=dtype, dry_run=True)
    dtypes = {component.name: component.dtypes for component in report.components}
    assert transformer_dtype in dtypes["transformer"]
    assert dtypes["text_encoder"] == (text_encoder_dtype,)
    assert dtypes["vae"] == dtypes["audio_vae"] == dtypes["vocoder"] == (torch.float32,)


def test_mixed_precision_source(sources, tmp_path):
    tensors = load_file(sources.transformer)
    mixed = {key: tensor.float() if index % 3 else tensor for index, (key, tensor) in enumerate(tensors.items())}
    save_file(mixed, sources.transformer)
    convert(sources, tmp_path / "pipeline", dtype=None)
    transformer = IAPTransformer3DModel.from_pretrained(tmp_path / "pipeline", subfolder="transformer")
    assert_equal_weights(transformer, convert_transformer_state_dict(mixed, num_layers=2))


def change(path, key, edit):
    """Change one tensor of a torch file."""
    tensors = torch.load(path, weights_only=True)
    tensors[key] = edit(tensors[key])
    torch.save(tensors, path)


def assert_fails_and_leaves_nothing(sources, output, reason, **options):
    before = contents(output.parent)
    with pytest.raises(ConversionError, match=reason):
        convert(sources, output, **options)
    assert contents(output.parent) == before


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(sources, tmp_path, value):
    change(sources.text_encoder, "norm.weight", lambda tensor: tensor.fill_(value))
    reason = r"`text_encoder` .*umt5\.pth: `norm\.weight` holds NaN or infinity"
    assert_fails_and_leaves_nothing(sources, tmp_path / "pipeline", reason)


def test_weights_that_overflow(sources, tmp_path):
    change(sources.text_encoder, "norm.weight", lambda tensor: tensor.fill_(1e9))
    reason = r"`text_encoder` .*`norm\.weight` overflows torch\.float16"
    assert_fails_and_leaves_nothing(sources, tmp_path / "pipeline", reason, dtype=torch.float16)


def test_output_that_exists(sources, tmp_path):
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "precious.txt").write_text("mine")
    assert_fails_and_leaves_nothing(sources, tmp_path / "pipeline", "exists already")
    assert_fails_and_leaves_nothing(sources, sources.vocoder, "exists already")
    (tmp_path / "pipeline" / "precious.txt").unlink()
    convert(sources, tmp_path / "pipeline")
    assert (tmp_path / "pipeline" / "model_index.json").is_file()


def test_output_is_as_accessible_as_any_new_folder(sources, tmp_path):
    (tmp_path / "ordinary").mkdir()
    convert(sources, tmp_path / "deep" / "er" / "pipeline")
    assert (tmp_path / "deep" / "er" / "pipeline").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_not_enough_room(sources, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert_fails_and_leaves_nothing(
        sources, tmp_path / "pipeline", r"`output` .* needs .* GB, but only 0\.0 GB are free"
    )


def test_dtype_that_weights_do_not_have(sources, tmp_path):
    assert_fails_and_leaves_nothing(sources, tmp_path / "pipeline", "`dtype` must be", dtype=torch.int8)


@pytest.mark.parametrize("name", ["transformer", "vae", "text_encoder", "tokenizer", "audio_vae", "vocoder"])
def test_every_argument_is_named_in_its_errors(sources, tmp_path, name):
    wrong = dataclasses.replace(sources, **{name: tmp_path / "nowhere"})
    assert_fails_and_leaves_nothing(wrong, tmp_path / "pipeline", f"^`{name}` {tmp_path / 'nowhere'} ")


def test_components_of_different_models(official, sources, tmp_path):
    others = {
        "transformer": (official.dual_tower_layout(video_channels=16), "`transformer` and `vae` differ .16 and 48"),
        "text_encoder": (official.text_encoder_layout(dim=24), "`transformer` and `text_encoder` differ"),
        "audio_vae": (official.audio_vae_layout(latent_channels=8), "`transformer` and `audio_vae` differ"),
        "vocoder": (official.vocoder_layout(mel_bins=128), "`audio_vae` and `vocoder` differ .80 and 128"),
    }
    for name, (layout, reason) in others.items():
        path = tmp_path / f"{name}.pt"
        torch.save(official.fill(layout), path)
        assert_fails_and_leaves_nothing(dataclasses.replace(sources, **{name: path}), tmp_path / "pipeline", reason)


def test_tokenizer_that_knows_more_than_the_text_encoder(official, sources, tmp_path):
    large = official.write_tokenizer(tmp_path / "large", num_words=50)
    wrong = dataclasses.replace(sources, tokenizer=large)
    assert_fails_and_leaves_nothing(wrong, tmp_path / "pipeline", "knows 50 tokens, but `text_encoder` only 40")


def test_interrupted_conversion_leaves_nothing(sources, tmp_path, monkeypatch):
    interrupt_after(monkeypatch, "vocoder")
    before = contents(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        convert(sources, tmp_path / "pipeline")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("component", ["transformer", "vocoder"])
def test_killed_conversion_leaves_nothing_that_loads(sources, tmp_path, monkeypatch, component):
    interrupt_after(monkeypatch, component)
    monkeypatch.setattr(shutil, "rmtree", lambda _: None)  # who is killed cannot clean up
    with pytest.raises(KeyboardInterrupt):
        convert(sources, tmp_path / "pipeline")
    monkeypatch.undo()
    assert not (tmp_path / "pipeline").exists()
    (leftover,) = tmp_path.glob(".pipeline.unfinished-*")
    with pytest.raises(EnvironmentError):
        DiffusionPipeline.from_pretrained(leftover)
    assert not (leftover / component / "config.json").exists()


def interrupt_after(monkeypatch, component):
    """Ctrl-C when all but the last tensor of `component` are written."""
    tensors = ComponentPlan.tensors

    def interrupted(plan):
        converted = list(tensors(plan))
        if plan.name != component:
            yield from converted
            return
        yield from converted[:-1]
        raise KeyboardInterrupt

    monkeypatch.setattr(ComponentPlan, "tensors", interrupted)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "make_plan", "convert_state_dict", "model_class"),
    [
        (
            "dit_weights.safetensors",
            lambda source: plan_transformer(source, attention_head_dim=24),
            lambda tensors: convert_transformer_state_dict(tensors, num_layers=3),
            IAPTransformer3DModel,
        ),
        ("audio_vae_weights.safetensors", plan_audio_vae, convert_audio_vae_state_dict, MMAudioVAE),
        ("vocoder_weights.safetensors", plan_vocoder, convert_vocoder_state_dict, LTX2Vocoder),
    ],
)
def test_fixtures_of_the_published_model(parity_file, tmp_path, name, make_plan, convert_state_dict, model_class):
    plan = make_plan(open_checkpoint(parity_file(name)))
    plan.check()
    write_component(plan, tmp_path / "component", plan.stored_layout(None), "200KB")
    model = model_class.from_pretrained(tmp_path / "component")
    expected = convert_state_dict(load_file(parity_file(name)))
    assert {key for key in model.state_dict() if "mel_converter" not in key} == expected.keys()
    assert_equal_weights(model, expected)
