"""Mel, resampling, audio VAE and vocoder against numbers of the published code; every case comes from the manifest."""

import json
import os
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import MMAudioVAE
from diffusers.models.autoencoders.autoencoder_mmaudio import MMAudioMelSpectrogram
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder
from safetensors.torch import load_file

from iap_pipelines.conversion.audio_vae import LOG10_TO_LN, audio_vae_config, convert_audio_vae_state_dict
from iap_pipelines.conversion.vocoder import convert_vocoder_state_dict, remove_weight_norm, vocoder_config
from iap_pipelines.types import AudioSamples


REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("IAP_PARITY_DIR") or REPOSITORY.parent / "shared" / "parity")
MANIFEST = json.loads((FOLDER / "manifest.json").read_text()) if (FOLDER / "manifest.json").is_file() else None
TOLERANCE = {"atol": 5e-5, "rtol": 1e-5}

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(
        MANIFEST is None, reason=f"no parity fixtures in {FOLDER}; name their folder in IAP_PARITY_DIR"
    ),
]


def file_with_role(start):
    """Tensors and manifest entry of the file whose role begins so; names of files are the fixtures' own business."""
    for name, entry in MANIFEST["files"].items():
        if entry["role"].startswith(start):
            return load_file(FOLDER / name), entry
    pytest.skip(f"no fixture with the role `{start}…` in {FOLDER}")


def cases_of(tensors, last_part):
    """Prefixes of the cases that hold a tensor called so: `0/mel` gives `0/`, a bare `mel` gives an empty prefix."""
    prefixes = [
        name.removesuffix(last_part) for name in tensors if name == last_part or name.endswith(f"/{last_part}")
    ]
    assert prefixes
    return prefixes


@pytest.fixture(scope="module")
def audio_vae_weights():
    return file_with_role("audio VAE state dict")


@pytest.fixture(scope="module")
def audio_vae(audio_vae_weights):
    return build_audio_vae(audio_vae_weights[0])


def build_audio_vae(weights):
    vae = MMAudioVAE(**audio_vae_config(weights)).eval()
    missing, unexpected = vae.load_state_dict(convert_audio_vae_state_dict(weights), strict=False)
    assert sorted(missing) == ["mel_converter.hann_window", "mel_converter.mel_basis"] and not unexpected
    return vae


@pytest.fixture(scope="module")
def vocoder():
    weights, entry = file_with_role("BigVGAN (v1) generator")
    return build_vocoder(weights, entry)


def build_vocoder(weights, entry, **conversion):
    vocoder = LTX2Vocoder(**vocoder_config(entry["config"])).eval()
    vocoder.load_state_dict(convert_vocoder_state_dict(weights, **conversion), strict=True)
    return vocoder


def test_mel_is_the_published_mel_in_another_logarithm():
    tensors, _ = file_with_role("16 kHz log10 mel")
    converter = MMAudioMelSpectrogram(sample_rate=16_000, n_fft=1024, num_mels=80, hop_length=256)
    torch.testing.assert_close(converter.mel_basis, tensors["mel/basis"], atol=1e-6, rtol=1e-4)
    for case in cases_of(tensors, "wav"):
        mel = converter(tensors[f"{case}wav"])
        assert mel.shape[-1] == tensors[f"{case}wav"].shape[-1] // 256
        torch.testing.assert_close(mel / LOG10_TO_LN, tensors[f"{case}mel"], **TOLERANCE)


def test_resampling_is_the_published_resampling():
    tensors, _ = file_with_role("torchaudio.transforms.Resample")
    for case in cases_of(tensors, "in"):
        sampling_rate = int(case.strip("/"))
        peak = tensors[f"{case}in"].abs().amax().clamp(min=1.0)  # AudioSamples holds values within [-1, 1]
        resampled = AudioSamples(tensors[f"{case}in"] / peak, sampling_rate).resample(16_000)
        torch.testing.assert_close(resampled.samples * peak, tensors[f"{case}out"], atol=2e-5, rtol=1e-5)


def test_the_shape_of_the_weights_gives_the_constructor(audio_vae_weights):
    weights, entry = audio_vae_weights
    config, constructor = audio_vae_config(weights), entry["constructor"]
    assert config["mel_bins"] == constructor["data_dim"]
    assert config["latent_channels"] == constructor["embed_dim"]
    assert config["hidden_channels"] == constructor["hidden_dim"]


def test_weights_are_normalised(audio_vae_weights):
    tensors, _ = file_with_role("audio VAE encode/decode")
    converted = convert_audio_vae_state_dict(audio_vae_weights[0])
    for name in tensors:
        if name.startswith("normalised_weight/"):
            ours = converted[name.replace("normalised_weight/", "vae.")]
            torch.testing.assert_close(ours, tensors[name], atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_audio_vae(audio_vae):
    tensors, _ = file_with_role("audio VAE encode/decode")
    for case in cases_of(tensors, "mel"):
        moments = audio_vae.vae.encode(tensors[f"{case}mel"] * LOG10_TO_LN)
        mean, logvar = moments.chunk(2, dim=1)
        torch.testing.assert_close(mean, tensors[f"{case}mean"], **TOLERANCE)
        torch.testing.assert_close(logvar, tensors[f"{case}logvar"], **TOLERANCE)
        sample = mean + torch.exp(0.5 * logvar) * tensors[f"{case}noise"]
        torch.testing.assert_close(sample, tensors[f"{case}sample"], **TOLERANCE)
        for latent, decoded in (("mean", "decoded_mean"), ("sample", "decoded_sample")):
            mel = audio_vae.decode(tensors[f"{case}{latent}"]).sample
            torch.testing.assert_close(mel / LOG10_TO_LN, tensors[f"{case}{decoded}"], **TOLERANCE)


@torch.no_grad()
def test_vocoder(vocoder):
    tensors, _ = file_with_role("vocoder mel")
    waveform = vocoder(tensors["mel"][:, None] * LOG10_TO_LN, time_last=True)
    torch.testing.assert_close(waveform, tensors["wav"], **TOLERANCE)


@torch.no_grad()
def test_latent_to_waveform_needs_no_scaling_between_the_two(audio_vae, vocoder):
    tensors, _ = file_with_role("vocoder mel")
    mel = audio_vae.decode(tensors["chain/latent"]).sample
    torch.testing.assert_close(vocoder(mel[:, None], time_last=True), tensors["chain/wav"], **TOLERANCE)


@torch.no_grad()
def test_log10_stays_log10_if_asked():
    weights, entry = file_with_role("BigVGAN (v1) generator")
    tensors, _ = file_with_role("vocoder mel")
    vocoder = build_vocoder(weights, entry, natural_log=False)
    torch.testing.assert_close(vocoder(tensors["mel"][:, None], time_last=True), tensors["wav"], **TOLERANCE)


def test_three_namings_of_the_vocoder_are_one():
    weights, _ = file_with_role("BigVGAN (v1) generator")
    tensors, _ = file_with_role("vocoder mel")
    plain = remove_weight_norm(weights)
    parametrised, older = "parametrizations.weight.original", ("weight_g", "weight_v")
    renamed = {
        name.replace(f"{parametrised}0", older[0]).replace(f"{parametrised}1", older[1]): tensor
        for name, tensor in weights.items()
    }
    assert not renamed.keys() & {name for name in weights if "parametrizations" in name}
    expected = convert_vocoder_state_dict(weights)
    for other in (convert_vocoder_state_dict(renamed), convert_vocoder_state_dict(plain)):
        assert other.keys() == expected.keys()
        assert all(torch.equal(other[name], expected[name]) for name in expected)
    for name in tensors:
        if name.startswith("norm_removed/"):
            torch.testing.assert_close(plain[name.removeprefix("norm_removed/")], tensors[name], atol=1e-6, rtol=1e-5)


def layout(start):
    for name, note in MANIFEST["other_files"].items():
        if start in note:
            return json.loads((FOLDER / name).read_text())
    pytest.skip(f"no layout of `{start}` in {FOLDER}")


def on_meta(shapes):
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def test_every_name_and_shape_of_the_real_audio_vae():
    weights = on_meta(layout("audio VAE checkpoint")["state_dict"])
    with init_empty_weights():
        expected = MMAudioVAE(**audio_vae_config(weights)).state_dict()
    converted = convert_audio_vae_state_dict(weights)
    expected = {name: tensor.shape for name, tensor in expected.items() if not name.startswith("mel_converter.")}
    assert {name: tensor.shape for name, tensor in converted.items()} == expected


def test_every_name_and_shape_of_the_real_vocoder():
    description = layout("vocoder checkpoint")
    with init_empty_weights():
        expected = LTX2Vocoder(**vocoder_config(description["config"])).state_dict()
    namings = [value for name, value in description.items() if name.startswith("state_dict")]
    assert namings
    for shapes in namings:
        converted = convert_vocoder_state_dict(on_meta(shapes))
        assert {name: tensor.shape for name, tensor in converted.items()} == {n: t.shape for n, t in expected.items()}


def test_half_a_pair_is_an_error():
    with pytest.raises(ValueError, match="other half"):
        convert_vocoder_state_dict({"conv_pre.weight_v": torch.ones(2, 2, 3)})
    with pytest.raises(ValueError, match="does not have"):
        convert_vocoder_state_dict({"conv_before.weight": torch.ones(2, 2, 3)})
    with pytest.raises(ValueError, match="`state_dict`"):
        convert_audio_vae_state_dict({"encoder.conv_in.weight": torch.ones(2, 2, 3)})
