"""The codecs' training with tiny real models: mathematics, resume to the bit, exactness of the shortcuts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan, MMAudioVAE
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder
from PIL import Image
from safetensors.torch import save_file

from iap_pipelines.media import write_video
from iap_pipelines.training.autoencoders import losses
from iap_pipelines.training.autoencoders.audio_vae import (
    build_audio_vae,
    fold_latent_scale,
    normalise_weights,
    set_mel_statistics,
)
from iap_pipelines.training.autoencoders.config import (
    AudioVAEModel,
    VideoPhase,
    VideoVAEModel,
    read_codec_config,
)
from iap_pipelines.training.autoencoders.data import (
    FrameCache,
    SpeechCache,
    to_signed,
    to_uint8,
    write_frames,
    write_speech,
)
from iap_pipelines.training.autoencoders.discriminators import WaveformDiscriminator
from iap_pipelines.training.autoencoders.optimizer import Muon, orthogonalise
from iap_pipelines.training.autoencoders.prepare import cache_worlds
from iap_pipelines.training.autoencoders.run import train_codec
from iap_pipelines.training.autoencoders.trainer import locate_step, scheduled_learning_rate
from iap_pipelines.training.autoencoders.video_vae import build_video_vae, latent_statistics
from iap_pipelines.training.autoencoders.wan import decode_unclamped, single_frames
from iap_pipelines.training.checkpoint import (
    latest_checkpoint,
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)


CONFIGS = Path(__file__).resolve().parents[2] / "training" / "configs"
TINY_VIDEO = VideoVAEModel(base_dim=4, decoder_base_dim=4, z_dim=4)
TINY_AUDIO = AudioVAEModel(hidden_channels=8, channel_multipliers=(1, 2), layers_per_block=1, latent_channels=4)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def _one_seed():
    torch.manual_seed(0)


@pytest.fixture
def cache(tmp_path):
    """Coloured squares that move, and tones that fade, in both splits."""
    folder = tmp_path / "cache"
    random = np.random.default_rng(0)
    seconds = torch.arange(16_000) / 16_000
    for split in ("train", "validation"):
        frames = np.zeros((3, 9, 32, 32, 3), np.uint8)
        frames[:, :, 8:24, 8:24] = random.integers(0, 256, (3, 9, 1, 1, 3))
        write_frames(folder, split, frames, np.broadcast_to([8.0, 8, 24, 24], (3, 9, 1, 4)))
        pitches = random.uniform(100, 400, 4)
        write_speech(folder, split, [0.3 * torch.sin(6.28 * pitch * seconds) * (1 - seconds) for pitch in pitches])
    return folder


RUNS = {
    "video_vae": {
        "model": {"base_dim": 4, "decoder_base_dim": 4, "z_dim": 4},
        "phases": [
            {"num_frames": 1, "batch_size": 2, "steps": 3, "learning_rate": 1e-3},
            {"num_frames": 5, "batch_size": 1, "steps": 3, "learning_rate": 1e-3},
        ],
    },
    "audio_vae": {
        "model": {"hidden_channels": 8, "channel_multipliers": [1, 2], "layers_per_block": 1, "latent_channels": 4},
        "phases": [{"num_mel_frames": 16, "batch_size": 2, "steps": 6, "learning_rate": 1e-3}],
        "optimizer": "muon",
    },
    "vocoder": {
        "model": {"hidden_channels": 64, "resnet_kernel_sizes": [3], "resnet_dilations": [[1]], "antialias": False},
        "discriminator_channels": 4,
        "phases": [
            {"num_mel_frames": 8, "batch_size": 2, "steps": 3, "learning_rate": 1e-3},
            {"num_mel_frames": 8, "batch_size": 2, "steps": 3, "learning_rate": 1e-3, "adversarial": True},
        ],
    },
}


def configure(tmp_path, cache, codec, name, **changes):
    values = {"type": codec, "cache": str(cache), "output": str(tmp_path / name), "log_every": 1, "save_every": 2}
    path = tmp_path / f"{name}.yaml"
    path.write_text(json.dumps(values | RUNS[codec] | changes))  # JSON is YAML
    return read_codec_config(path)


def final_state(output):
    return load_checkpoint(latest_checkpoint(output / "checkpoints"))


@pytest.mark.parametrize("codec", RUNS)
def test_a_run_that_stopped_goes_on_to_the_bit(tmp_path, cache, codec):
    whole = configure(tmp_path, cache, codec, "whole")
    train_codec(whole)
    parts = configure(tmp_path, cache, codec, "parts")
    train_codec(parts, stop_at=2)
    torch.manual_seed(1234)  # whatever else happened in between
    train_codec(parts, stop_at=4)
    train_codec(parts)

    expected, actual = final_state(whole.output), final_state(parts.output)
    assert actual.state == expected.state
    assert actual.tensors.keys() == expected.tensors.keys()
    assert all(torch.equal(actual.tensors[name], expected.tensors[name]) for name in expected.tensors)
    assert [line["model/loss"] for line in steps_of(parts)] == [line["model/loss"] for line in steps_of(whole)]


def steps_of(config):
    lines = [json.loads(line) for line in (config.output / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "model/loss" in line]


def test_a_killed_run_leaves_no_line_twice(tmp_path, cache):
    config = configure(tmp_path, cache, "audio_vae", "run")
    train_codec(config, stop_at=5)  # saved after 2, 4 and 5 steps
    latest_checkpoint(config.output / "checkpoints").unlink()  # as if killed after the fifth step
    with open(config.output / "log.jsonl", "a", encoding="utf-8") as log:
        log.write('{"step": 5, "mod')
    train_codec(config)
    assert [line["step"] for line in steps_of(config)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("codec", RUNS)
def test_the_export_loads_in_both_precisions(tmp_path, cache, codec):
    config = configure(tmp_path, cache, codec, "run")
    trainer = train_codec(config)
    model_class = {"video_vae": AutoencoderKLWan, "audio_vae": MMAudioVAE, "vocoder": LTX2Vocoder}[codec]
    full = model_class.from_pretrained(config.output / "export")
    half = model_class.from_pretrained(config.output / "export", variant="fp16", torch_dtype=torch.float16)
    assert type(full) is type(trainer.average)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.float16}
    if codec == "video_vae":
        assert len(full.config.latents_std) == 4 and full.config.latents_std != [1.0] * 4


def test_a_run_starts_from_a_finished_codec(tmp_path, cache):
    first = configure(tmp_path, cache, "video_vae", "first")
    train_codec(first)
    folder = first.output / "export"
    second = configure(tmp_path, cache, "video_vae", "second", init_from=str(folder))
    trainer = train_codec(second, stop_at=0)
    expected = AutoencoderKLWan.from_pretrained(folder).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in trainer.average.state_dict().items())


def test_training_helps(tmp_path, cache):
    phases = [{"num_mel_frames": 16, "batch_size": 4, "steps": 80, "learning_rate": 1e-2, "warmup_steps": 5}]
    config = configure(tmp_path, cache, "audio_vae", "run", phases=phases, gain_range_db=0.0, optimizer="adamw")
    train_codec(config)
    mel = [line["mel"] for line in steps_of(config)]
    assert sum(mel[-10:]) < 0.7 * sum(mel[:10])


def test_unknown_keys_and_contradictions_fail(tmp_path, cache):
    with pytest.raises(ValueError, match="learning_rat"):
        configure(tmp_path, cache, "audio_vae", "a", learning_rat=1.0)
    with pytest.raises(ValueError, match="audio_vae"):
        share = RUNS["vocoder"]["phases"][0] | {"reconstructed_share": 0.5}
        configure(tmp_path, cache, "vocoder", "b", phases=[share])
    with pytest.raises(ValueError, match="multiple of 4"):
        VideoPhase(num_frames=4, batch_size=1, steps=1, learning_rate=1.0)
    with pytest.raises(ValueError, match="256"):
        configure(tmp_path, cache, "vocoder", "c", model={"hidden_channels": 64, "upsample_factors": [4, 4]})


def test_schedule_rises_then_falls():
    phase = VideoPhase(
        num_frames=1, batch_size=1, steps=100, learning_rate=1.0, final_learning_rate=0.1, warmup_steps=10
    )
    rates = [scheduled_learning_rate(phase, step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert all(later <= earlier for earlier, later in zip(rates[10:], rates[11:], strict=False))
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)
    assert [locate_step((phase, phase), step) for step in (0, 99, 100, 199)] == [(0, 0), (0, 99), (1, 0), (1, 99)]
    with pytest.raises(ValueError, match="too many"):
        locate_step((phase,), 100)


@pytest.fixture
def video_vae():
    """A VAE whose every parameter is random, so that nothing is exact because it is zero."""
    vae = build_video_vae(TINY_VIDEO)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return vae


@torch.no_grad()
def test_single_frames_are_the_same_numbers(video_vae):
    frames = torch.rand(2, 3, 1, 32, 48) * 2 - 1
    expected = video_vae.encode(frames).latent_dist.mode()
    with single_frames(video_vae):
        latents = video_vae.encode(frames).latent_dist.mode()
        decoded = decode_unclamped(video_vae, latents)
        with pytest.raises(ValueError, match="one frame"):
            video_vae.encode(frames.repeat(1, 1, 5, 1, 1))
    torch.testing.assert_close(latents, expected)
    torch.testing.assert_close(decoded, decode_unclamped(video_vae, expected))


@torch.no_grad()
def test_unclamped_decoding_is_decoding(video_vae):
    latents = 3 * torch.randn(2, 4, 3, 2, 3)
    decoded = decode_unclamped(video_vae, latents)
    assert decoded.shape == (2, 3, 9, 32, 48) and decoded.abs().amax() > 1
    torch.testing.assert_close(decoded.clamp(-1, 1), video_vae.decode(latents).sample)


@torch.no_grad()
def test_a_new_video_vae_keeps_a_still_picture_still():
    vae = build_video_vae(TINY_VIDEO)
    still = (torch.rand(1, 3, 1, 32, 32) * 2 - 1).repeat(1, 1, 9, 1, 1)
    decoded = vae.decode(vae.encode(still).latent_dist.mode()).sample
    torch.testing.assert_close(decoded[:, :, 1:5], decoded[:, :, 5:9])
    torch.testing.assert_close(decoded[:, :, 1], decoded[:, :, 4])


def test_gradients_reach_every_parameter_through_the_chunks(video_vae):
    clip = torch.rand(1, 3, 9, 32, 32) * 2 - 1
    reconstruction = decode_unclamped(video_vae, video_vae.encode(clip).latent_dist.mode())
    reconstruction[:, :, -1].square().mean().backward()  # of the last frame alone
    assert all(parameter.grad is not None for parameter in video_vae.parameters())
    assert all(parameter.grad.abs().amax() > 0 for parameter in video_vae.decoder.parameters())


@torch.no_grad()
def test_latent_statistics_are_those_of_all_latents(video_vae):
    clips = [torch.rand(1, 3, 5, 32, width) * 2 - 1 for width in (32, 48)]
    mean, std = latent_statistics(video_vae, iter(clips))
    latents = torch.cat([video_vae.encode(clip).latent_dist.mode()[0].flatten(1) for clip in clips], dim=1)
    torch.testing.assert_close(mean, latents.mean(dim=1))
    torch.testing.assert_close(std, latents.std(dim=1))


@torch.no_grad()
def test_folding_gives_unit_latents_and_the_same_sound():
    vae = build_audio_vae(TINY_AUDIO)
    vae.vae.encoder.conv_out.weight.mul_(5.0)
    utterances = [0.2 * torch.randn(1, 8000) for _ in range(3)]
    set_mel_statistics(vae, iter(utterances))
    before = vae.decode(vae.encode(utterances[0]).latent_dist.mode()).sample
    fold_latent_scale(vae, iter(utterances))
    latents = torch.cat([vae.encode(utterance).latent_dist.mode() for utterance in utterances], dim=-1)
    torch.testing.assert_close(latents[0].std(dim=-1), torch.ones(4))
    torch.testing.assert_close(vae.decode(latents[..., : latents.shape[-1] // 3]).sample, before, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_mel_statistics_standardise_the_mel():
    vae = build_audio_vae(TINY_AUDIO)
    utterances = [0.2 * torch.randn(1, 8000), 0.01 * torch.randn(1, 16_000)]
    set_mel_statistics(vae, iter(utterances))
    mels = torch.cat([vae.mel_converter(utterance) for utterance in utterances], dim=-1)
    standard = (mels - vae.vae.data_mean) / vae.vae.data_std
    torch.testing.assert_close(standard.mean(dim=-1), torch.zeros(1, 80), atol=1e-4, rtol=0)
    torch.testing.assert_close(standard.std(dim=-1), torch.ones(1, 80))


def test_normalising_twice_changes_nothing():
    vae = build_audio_vae(TINY_AUDIO)
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    normalise_weights(vae)
    for name, tensor in vae.state_dict().items():
        torch.testing.assert_close(tensor, before[name])


def test_pixels_go_there_and_back():
    frames = torch.randint(0, 256, (2, 4, 6, 3), dtype=torch.uint8)
    assert torch.equal(to_uint8(to_signed(frames)), frames)


def test_frames_are_drawn_from_one_size_and_repeatably(tmp_path):
    for width, value in ((32, 10), (48, 200)):
        write_frames(tmp_path, "train", np.full((2, 5, 32, width, 3), value, np.uint8), np.zeros((2, 5, 1, 4)))
    frames = FrameCache(tmp_path, "train")
    assert frames.num_clips == 4
    drawn = [frames.sample(3, 5, torch.Generator().manual_seed(seed)).frames for seed in range(8)]
    assert {clip.shape[-1] for clip in drawn} == {32, 48}
    assert all(len(clip.unique()) == 1 for clip in drawn)
    assert torch.equal(drawn[3], frames.sample(3, 5, torch.Generator().manual_seed(3)).frames)
    assert [clip.shape[-1] for clip in frames.clips(3)] == [32, 48, 32]
    with pytest.raises(ValueError, match="num_frames"):
        frames.sample(1, 9, torch.Generator())


def test_faces_are_drawn_with_the_frames_that_they_are_in(tmp_path):
    frames = np.zeros((1, 9, 8, 12, 3), np.uint8)
    boxes = np.zeros((1, 9, 2, 4), np.float32)
    for index in range(9):  # a white square that moves, and a person who is not there
        frames[0, index, 2:6, index : index + 3] = 255
        boxes[0, index, 0] = (index, 2, index + 3, 6)
    write_frames(tmp_path, "train", frames, boxes)
    pieces = FrameCache(tmp_path, "train").sample(6, 5, torch.Generator().manual_seed(0))
    assert pieces.faces.shape == (6, 1, 5, 8, 12)
    assert torch.equal(pieces.faces.expand(-1, 3, -1, -1, -1), (pieces.frames + 1) / 2)
    with pytest.raises(ValueError, match="`faces`"):
        write_frames(tmp_path, "train", frames, boxes[:, :4])


def test_windows_are_cut_around_faces(tmp_path):
    frames = np.zeros((1, 5, 32, 64, 3), np.uint8)
    frames[..., 20:28, 50:58, :] = 255
    write_frames(tmp_path, "train", frames, np.broadcast_to([50.0, 20, 58, 28], (1, 5, 1, 4)))
    cache = FrameCache(tmp_path, "train")
    pieces = cache.sample(6, 5, torch.Generator().manual_seed(0), crop_size=16)
    assert pieces.frames.shape == (6, 3, 5, 16, 16)
    assert torch.equal(pieces.faces.expand(-1, 3, -1, -1, -1), (pieces.frames + 1) / 2)
    assert pieces.faces.flatten(1).mean(dim=1).min() >= 0.25 * 0.25  # the middle of the window is in the face
    assert cache.sample(1, 5, torch.Generator().manual_seed(0), crop_size=48).frames.shape == (1, 3, 5, 32, 48)


def test_speech_goes_there_and_back_and_is_filled_with_silence(tmp_path, generator):
    short = torch.linspace(-1, 1, 100)
    write_speech(tmp_path, "train", [short])
    speech = SpeechCache(tmp_path, "train")
    piece = speech.sample(1, 150, generator)
    torch.testing.assert_close(piece[0, :100], short, atol=1e-4, rtol=0)
    assert piece[0, 100:].abs().amax() == 0
    quieter = speech.sample(64, 150, generator, gain_range_db=6.0).abs().amax(dim=1)
    assert 0.5 <= quieter.min() < 0.7 and quieter.max() <= 1


def test_an_empty_cache_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="frames of the split `train`"):
        FrameCache(tmp_path, "train")
    with pytest.raises(ValueError, match="uint8"):
        write_frames(tmp_path, "train", np.zeros((1, 5, 8, 8, 3), np.float32), np.zeros((1, 5, 1, 4)))
    with pytest.raises(ValueError, match="not empty"):
        write_speech(tmp_path, "train", [])


@pytest.mark.parametrize(
    "difference",
    [
        lambda a, b: losses.pixel_difference(a, b, torch.ones(1)),
        lambda a, b: losses.edge_difference(a, b, 3, torch.ones(2, 1, 5, 16, 16)),
        lambda a, b: losses.motion_difference(a, b, torch.ones(2, 1, 5, 16, 16)),
        lambda a, b: losses.spectrum_difference(a.flatten(1)[:, :2048], b.flatten(1)[:, :2048]),
    ],
)
def test_differences_are_zero_for_equals_and_grow(difference, generator):
    target = torch.rand(2, 3, 5, 16, 16, generator=generator)
    noise = torch.randn(target.shape, generator=generator)
    values = [float(difference(target + scale * noise, target)) for scale in (0.0, 0.01, 0.1)]
    assert values[0] == 0 and values[0] < values[1] < values[2]


def test_edges_ignore_brightness_and_motion_ignores_still_errors(generator):
    target = torch.rand(1, 3, 5, 16, 16, generator=generator)
    everywhere = torch.ones(1, 1, 5, 16, 16)
    assert losses.edge_difference(target + 0.5, target, 3, everywhere) < 1e-6
    error = torch.rand(1, 3, 1, 16, 16, generator=generator)
    assert losses.motion_difference(target + error, target, everywhere) < 1e-6
    assert losses.motion_difference(target[:, :, :1], error, everywhere[:, :, :1]) == 0


@pytest.mark.parametrize(
    "difference",
    [losses.pixel_difference, lambda a, b, w: losses.edge_difference(a, b, 2, w), losses.motion_difference],
)
def test_a_pixel_counts_as_often_as_its_weight_says(difference, generator):
    target = torch.zeros(1, 3, 5, 16, 16)
    left, right = torch.zeros(2, 1, 3, 5, 16, 16).unbind()
    noise = torch.randn(1, 3, 5, 8, 4, generator=generator)
    left[..., 4:12, 2:6], right[..., 4:12, 10:14] = noise, noise
    weight = torch.ones(1, 1, 5, 16, 16)
    weight[..., 8:] = 4.0
    once, four_times = float(difference(left, target, weight)), float(difference(right, target, weight))
    assert four_times == pytest.approx(4 * once, rel=1e-4) and once > 0


def test_divergence_by_hand():
    assert losses.kl_divergence(torch.zeros(3), torch.zeros(3)) == 0
    assert float(losses.kl_divergence(torch.ones(3), torch.zeros(3))) == pytest.approx(0.5)
    assert losses.moment_distance(torch.randn(4, 2, 20_000)) < 1e-3
    assert float(losses.moment_distance(3 + torch.randn(4, 2, 20_000))) == pytest.approx(9, rel=0.05)


def test_adversarial_losses_by_hand():
    ones, zeros = [torch.ones(2, 1, 3)], [torch.zeros(2, 1, 3)]
    assert losses.discriminator_loss(ones, zeros) == 0
    assert losses.discriminator_loss(zeros, ones) == 2
    assert losses.adversarial_loss(ones) == 0 and losses.adversarial_loss(zeros) == 1
    assert losses.feature_difference(ones, ones) == 0 and losses.feature_difference(ones, zeros) == 1


def test_silence_has_finite_gradients():
    waveform = torch.zeros(1, 2048, requires_grad=True)
    judgement = WaveformDiscriminator(4)(waveform)
    (losses.spectrum_difference(waveform, torch.zeros(1, 2048)) + judgement.scores[0].sum()).backward()
    assert waveform.grad.isfinite().all()


def test_the_generator_turn_leaves_the_critic_alone(tmp_path, cache):
    config = configure(tmp_path, cache, "vocoder", "run")
    trainer = train_codec(config, stop_at=4)
    critic = trainer.objective.discriminator
    for parameter in critic.parameters():
        parameter.grad = None
    turns = list(trainer.objective.turns(config.phases[1], trainer.generator))
    assert [turn.module for turn in turns] == ["discriminator", "model"]
    turns[1].loss.backward()
    assert all(parameter.grad is None and parameter.requires_grad for parameter in critic.parameters())


def test_checkpoints_are_whole_newest_and_few(tmp_path):
    for step in (9, 100, 11):
        save_checkpoint(tmp_path / f"step_{step:08d}.safetensors", {"a/b": torch.tensor([step])}, {"step": step})
    (tmp_path / ".step_00000200.safetensors.1.partial").write_bytes(b"half")
    assert load_checkpoint(latest_checkpoint(tmp_path)).state == {"step": 100}
    assert load_checkpoint(latest_checkpoint(tmp_path)).group("a") == {"b": torch.tensor([100])}
    prune_checkpoints(tmp_path, keep=2)
    assert [path.stem for path in list_checkpoints(tmp_path)] == ["step_00000011", "step_00000100"]
    with pytest.raises(ValueError, match="keep"):
        prune_checkpoints(tmp_path, keep=0)
    save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="weights only"):
        load_checkpoint(tmp_path / "weights.safetensors")
    assert latest_checkpoint(tmp_path / "nowhere") is None


def test_a_failed_save_keeps_the_old_checkpoint(tmp_path):
    path = tmp_path / "step_00000001.safetensors"
    save_checkpoint(path, {"a": torch.ones(1)}, {"step": 1})
    with pytest.raises(TypeError):
        save_checkpoint(path, {"a": torch.zeros(1)}, {"step": object()})
    assert torch.equal(load_checkpoint(path).tensors["a"], torch.ones(1))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_freezing_the_encoder_keeps_the_latents_to_the_bit(tmp_path, cache):
    first = configure(tmp_path, cache, "video_vae", "first")
    train_codec(first)
    folder = first.output / "export"
    second = configure(tmp_path, cache, "video_vae", "second", init_from=str(folder), freeze_encoder=True)
    before = AutoencoderKLWan.from_pretrained(folder)
    after = train_codec(second).average
    clip = torch.rand(1, 3, 5, 32, 32) * 2 - 1
    with torch.no_grad():
        assert torch.equal(after.encode(clip).latent_dist.mode(), before.encode(clip).latent_dist.mode())
    exported = AutoencoderKLWan.from_pretrained(second.output / "export")
    assert exported.config.latents_mean == before.config.latents_mean
    assert not torch.equal(after.decoder.conv_out.weight, before.decoder.conv_out.weight)


@pytest.mark.parametrize("shape", [(4, 10), (10, 4), (6, 6)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(0, -2, shape[1]))
    orthogonal = orthogonalise(matrix)
    values = torch.linalg.svdvals(orthogonal)
    assert 0.3 < values.min() and values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.nn.functional.cosine_similarity((left @ right).flatten(), orthogonal.flatten(), dim=0) > 0.95
    assert orthogonalise(torch.zeros(shape)).abs().amax() == 0


def test_muon_learns_a_matrix():
    inputs, truth = torch.randn(256, 8), torch.randn(8, 8)
    layer = torch.nn.Linear(8, 8)
    optimizer = Muon(layer.parameters(), lr=0.4)
    for step in range(100):
        for group in optimizer.param_groups:
            group["lr"] = 0.4 * (1 - step / 100)
        optimizer.zero_grad()
        loss = (layer(inputs) - inputs @ truth).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 1e-2


def write_tiny_world(folder):
    """Two clips of one split and one of another, and one voice, as `iap synthesize` lays them out."""
    seconds = torch.arange(16_000) / 16_000
    tone = (0.3 * torch.sin(1500 * seconds))[None]
    (folder / "clips").mkdir(parents=True)
    (folder / "references").mkdir()
    lines = []
    for index, split in enumerate(("train", "train", "test")):
        name = f"clips/{split}-{index:06d}.mp4"
        frames = torch.full((9, 32, 32, 3), 60 * (index + 1), dtype=torch.uint8)
        write_video(frames, tone, folder / name, frame_rate=12.5, sampling_rate=16_000)
        np.savez(folder / f"{index}.npz", face_box=np.full((9, 1, 4), 8.0, np.float32))
        lines.append(json.dumps({"file": name, "split": split, "num_frames": 9, "truth": f"{index}.npz"}))
    (folder / "clips.jsonl").write_text("\n".join(lines) + "\n")
    write_video(frames, tone, folder / "references/v.mp4", frame_rate=12.5, sampling_rate=16_000)
    (folder / "identities.jsonl").write_text(json.dumps({"split": "train", "voices": ["references/v.mp4"]}) + "\n")


def write_still(folder: Path, grey: int) -> None:
    folder.mkdir()
    Image.new("RGB", (32, 32), (grey, grey, grey)).save(folder / "still.png")
    record = {"file": "still.png", "split": "train", "num_frames": 1, "face_boxes": [[0, 0, 32, 32]]}
    (folder / "clips.jsonl").write_text(json.dumps(record) + "\n")
    (folder / "identities.jsonl").write_text(json.dumps({"split": "train", "voices": []}) + "\n")


def test_clips_and_stills_become_a_cache_once(tmp_path):
    write_tiny_world(tmp_path / "world")
    write_still(tmp_path / "stills", grey=240)
    worlds = [tmp_path / "world", tmp_path / "stills"]
    counts = cache_worlds(worlds, tmp_path / "cache", sampling_rate=16_000, clips_per_file=1)
    assert counts == {"clips": 4, "utterances": 4}
    frames = FrameCache(tmp_path / "cache", "train")
    assert frames.num_clips == 3 and len(frames.files) == 3
    assert {1.0} == {float(frames.sample(1, 1, torch.Generator().manual_seed(n)).faces.amax()) for n in range(4)} - {0}
    brightness = sorted((clip.shape[2], float(clip.mean())) for clip in frames.clips(3))
    expected = [(1, 240 / 127.5 - 1), (9, 60 / 127.5 - 1), (9, 120 / 127.5 - 1)]
    assert [num_frames for num_frames, _ in brightness] == [num_frames for num_frames, _ in expected]
    assert [value for _, value in brightness] == pytest.approx([value for _, value in expected], abs=0.05)
    assert SpeechCache(tmp_path / "cache", "train").num_utterances == 3
    assert SpeechCache(tmp_path / "cache", "test").num_utterances == 1
    with pytest.raises(ValueError, match="`folder`"):
        cache_worlds(worlds, tmp_path / "cache", sampling_rate=16_000)


def test_a_cache_appears_when_it_is_whole(tmp_path):
    worlds, cache = [tmp_path / "world", tmp_path / "late"], tmp_path / "caches" / "cache"
    write_tiny_world(worlds[0])
    with pytest.raises(FileNotFoundError):
        cache_worlds(worlds, cache, sampling_rate=16_000, clips_per_file=1)
    assert not cache.exists() and any(cache.parent.rglob("*.np*"))
    write_still(worlds[1], grey=240)
    cache_worlds(worlds, cache, sampling_rate=16_000, clips_per_file=1)
    assert FrameCache(cache, "train").num_clips == 3
    assert list(cache.parent.iterdir()) == [cache]


@pytest.mark.parametrize("patch_size, dim_mult", [(2, (1, 2, 2, 2)), (4, (1, 2, 2))])
def test_both_patch_sizes_give_the_same_latents_shape(patch_size, dim_mult):
    vae = build_video_vae(
        VideoVAEModel(patch_size=patch_size, base_dim=4, decoder_base_dim=4, z_dim=4, dim_mult=dim_mult)
    )
    clip = torch.zeros(1, 3, 5, 32, 48)
    latents = vae.encode(clip).latent_dist.mode()
    assert latents.shape == (1, 4, 2, 2, 3)
    assert vae.decode(latents).sample.shape == clip.shape


def test_levels_must_fit_the_patch_size():
    with pytest.raises(ValueError, match="`dim_mult` must have 3 entries"):
        VideoVAEModel(patch_size=4, base_dim=4, decoder_base_dim=4, z_dim=4, dim_mult=(1, 2, 2, 2))


@pytest.mark.parametrize("name", ["video_vae", "video_vae_decoder", "audio_vae", "vocoder"])
def test_the_configurations_we_ship_are_valid(name):
    config = read_codec_config(CONFIGS / f"tiny_{name}.yaml")
    assert config.type == name.removesuffix("_decoder")
