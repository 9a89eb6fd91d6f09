"""Official checkpoints in miniature: true names, tiny shapes, random numbers."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from iap_pipelines.conversion import OfficialSources


Layout = dict[str, tuple[int, ...]]

HEAD_DIM = 12


def linear(name: str, out_features: int, in_features: int) -> Layout:
    return {f"{name}.weight": (out_features, in_features), f"{name}.bias": (out_features,)}


def dual_tower_layout(
    dim: int = 24,
    ffn_dim: int = 32,
    num_layers: int = 2,
    text_dim: int = 16,
    freq_dim: int = 8,
    audio_hidden_dim: int = 256,
    video_channels: int = 48,
    audio_channels: int = 20,
    base: bool = False,
) -> Layout:
    """Names and shapes of the official dual tower; `base` gives those of the checkpoint that it was trained from."""
    layout = {
        "video_model.patch_embedding.weight": (dim, video_channels, 1, 2, 2),
        "video_model.patch_embedding.bias": (dim,),
        "audio_model.patch_embedding.0.weight": (dim, audio_channels, 7),
        "audio_model.patch_embedding.0.bias": (dim,),
        "audio_model.patch_embedding.2.w1.weight": (audio_hidden_dim, dim, 7),
        "audio_model.patch_embedding.2.w2.weight": (dim, audio_hidden_dim, 7),
        "audio_model.patch_embedding.2.w3.weight": (audio_hidden_dim, dim, 7),
    }
    for tower, out_features in (("video_model", 4 * video_channels), ("audio_model", audio_channels)):
        layout |= linear(f"{tower}.text_embedding.0", dim, text_dim) | linear(f"{tower}.text_embedding.2", dim, dim)
        layout |= linear(f"{tower}.time_embedding.0", dim, freq_dim) | linear(f"{tower}.time_embedding.2", dim, dim)
        layout |= linear(f"{tower}.time_projection.1", 6 * dim, dim)
        layout |= linear(f"{tower}.head.head", out_features, dim) | {f"{tower}.head.modulation": (1, 2, dim)}
        for layer in range(num_layers):
            block = f"{tower}.blocks.{layer}"
            for prime in ("",) if base else ("", "_prime"):
                layout |= _stream(block, prime, dim, ffn_dim, wrapped=base) | _caption(block, prime, dim)
            layout |= linear(f"{block}.cross_attn.k_fusion", dim, dim) | linear(
                f"{block}.cross_attn.v_fusion", dim, dim
            )
            layout |= {f"{block}.cross_attn.pre_attn_norm_fusion.{p}": (dim,) for p in ("weight", "bias")}
            layout |= {f"{block}.cross_attn.norm_k_fusion.weight": (dim,)}
    return layout


def _stream(block: str, prime: str, dim: int, ffn_dim: int, wrapped: bool) -> Layout:
    layout = {f"{block}.modulation{prime}{'.modulation' if wrapped else ''}": (1, 6, dim)}
    for name in "qkvo":
        layout |= linear(f"{block}.self_attn.{name}{prime}", dim, dim)
    layout |= {f"{block}.self_attn.norm_{name}{prime}.weight": (dim,) for name in "qk"}
    return layout | linear(f"{block}.ffn{prime}.0", ffn_dim, dim) | linear(f"{block}.ffn{prime}.2", dim, ffn_dim)


def _caption(block: str, prime: str, dim: int) -> Layout:
    layout = {f"{block}.norm3{prime}.{p}": (dim,) for p in ("weight", "bias")}
    for name in "qkvo":
        layout |= linear(f"{block}.cross_attn{prime}.{name}", dim, dim)
    return layout | {f"{block}.cross_attn{prime}.norm_{name}.weight": (dim,) for name in "qk"}


def video_vae_layout(base_dim: int = 4, decoder_dim: int = 4, z_dim: int = 48) -> Layout:
    """Names and shapes of the Wan2.2 video VAE, whose widths are 160 and 256."""
    widths, temporal = [base_dim * m for m in (1, 2, 4, 4)], (False, True, True)
    layout = _conv("conv1", 2 * z_dim, 2 * z_dim, 1, 1, 1) | _conv("conv2", z_dim, z_dim, 1, 1, 1)
    layout |= _conv("encoder.conv1", base_dim, 12, 3, 3, 3)
    width = base_dim
    for level, level_width in enumerate(widths):
        name = f"encoder.downsamples.{level}.downsamples"
        for block in range(2):
            layout |= _residual(f"{name}.{block}", level_width, width)
            width = level_width
        if level < 3:
            layout |= _conv(f"{name}.2.resample.1", width, width, 3, 3)
            layout |= _conv(f"{name}.2.time_conv", width, width, 3, 1, 1) if temporal[level] else {}
    layout |= _middle_and_head("encoder", width, width, 2 * z_dim)

    widths, temporal = [decoder_dim * m for m in (4, 4, 2, 1)], (True, True, False)
    width = widths[0]
    layout |= _conv("decoder.conv1", width, z_dim, 3, 3, 3) | _middle_and_head("decoder", width, widths[-1], 12)
    for level, level_width in enumerate(widths):
        name = f"decoder.upsamples.{level}.upsamples"
        for block in range(3):
            layout |= _residual(f"{name}.{block}", level_width, width)
            width = level_width
        if level < 3:
            layout |= _conv(f"{name}.3.resample.1", width, width, 3, 3)
            layout |= _conv(f"{name}.3.time_conv", 2 * width, width, 3, 1, 1) if temporal[level] else {}
    return layout


def _conv(name: str, out_channels: int, in_channels: int, *kernel: int) -> Layout:
    return {f"{name}.weight": (out_channels, in_channels, *kernel), f"{name}.bias": (out_channels,)}


def _residual(name: str, out_channels: int, in_channels: int) -> Layout:
    layout = {f"{name}.residual.0.gamma": (in_channels, 1, 1, 1), f"{name}.residual.3.gamma": (out_channels, 1, 1, 1)}
    layout |= _conv(f"{name}.residual.2", out_channels, in_channels, 3, 3, 3)
    layout |= _conv(f"{name}.residual.6", out_channels, out_channels, 3, 3, 3)
    return layout | (
        _conv(f"{name}.shortcut", out_channels, in_channels, 1, 1, 1) if in_channels != out_channels else {}
    )


def _middle_and_head(half: str, width: int, head_width: int, out_channels: int) -> Layout:
    layout = _residual(f"{half}.middle.0", width, width) | _residual(f"{half}.middle.2", width, width)
    layout |= {f"{half}.middle.1.norm.gamma": (width, 1, 1), f"{half}.head.0.gamma": (head_width, 1, 1, 1)}
    layout |= _conv(f"{half}.middle.1.to_qkv", 3 * width, width, 1, 1) | _conv(
        f"{half}.middle.1.proj", width, width, 1, 1
    )
    return layout | _conv(f"{half}.head.2", out_channels, head_width, 3, 3, 3)


def text_encoder_layout(
    vocab_size: int = 40, dim: int = 16, ffn_dim: int = 24, num_heads: int = 2, num_layers: int = 2
) -> Layout:
    """Names and shapes of the UMT5 encoder as Wan publishes it."""
    layout: Layout = {"token_embedding.weight": (vocab_size, dim), "norm.weight": (dim,)}
    for layer in range(num_layers):
        block = f"blocks.{layer}"
        layout |= {f"{block}.norm1.weight": (dim,), f"{block}.norm2.weight": (dim,)}
        layout |= {f"{block}.attn.{name}.weight": (dim, dim) for name in "qkvo"}
        layout |= {f"{block}.ffn.gate.0.weight": (ffn_dim, dim), f"{block}.ffn.fc1.weight": (ffn_dim, dim)}
        layout |= {
            f"{block}.ffn.fc2.weight": (dim, ffn_dim),
            f"{block}.pos_embedding.embedding.weight": (32, num_heads),
        }
    return layout


def audio_vae_layout(width: int = 8, mel_bins: int = 80, latent_channels: int = 20) -> Layout:
    """Names and shapes of MMAudio's 16 kHz VAE, whose width is 384."""
    layout: Layout = {"data_mean": (1, mel_bins, 1), "data_std": (1, mel_bins, 1)}
    widths = (width, 2 * width, 4 * width)
    layout |= {"encoder.learnable_gain": (), "encoder.conv_in.weight": (width, mel_bins, 3)}
    channels = width
    for level, level_width in enumerate(widths):
        for block in range(2):
            layout |= _audio_block(f"encoder.down.{level}.block.{block}", level_width, channels)
            channels = level_width
        if level == 0:
            layout |= {f"encoder.down.0.downsample.conv{i}.weight": (channels, channels, 1) for i in (1, 2)}
    layout |= _audio_middle("encoder", channels) | {"encoder.conv_out.weight": (2 * latent_channels, channels, 3)}
    layout |= {"decoder.learnable_gain": (), "decoder.conv_in.weight": (channels, latent_channels, 3)}
    layout |= _audio_middle("decoder", channels)
    for level in (2, 1, 0):
        for block in range(3):
            layout |= _audio_block(f"decoder.up.{level}.block.{block}", widths[level], channels)
            channels = widths[level]
        if level == 1:
            layout |= {"decoder.up.1.upsample.conv.weight": (channels, channels, 3)}
    return layout | {"decoder.conv_out.weight": (mel_bins, channels, 3)}


def _audio_block(name: str, out_channels: int, in_channels: int) -> Layout:
    layout = {
        f"{name}.conv1.weight": (out_channels, in_channels, 3),
        f"{name}.conv2.weight": (out_channels, out_channels, 3),
    }
    return layout | (
        {f"{name}.nin_shortcut.weight": (out_channels, in_channels, 1)} if in_channels != out_channels else {}
    )


def _audio_middle(half: str, width: int) -> Layout:
    layout = _audio_block(f"{half}.mid.block_1", width, width) | _audio_block(f"{half}.mid.block_2", width, width)
    return layout | {
        f"{half}.mid.attn_1.qkv.weight": (3 * width, width, 1),
        f"{half}.mid.attn_1.proj_out.weight": (width, width, 1),
    }


def vocoder_layout(width: int = 64, mel_bins: int = 80, naming: str = "parametrizations") -> Layout:
    """Names and shapes of the 16 kHz BigVGAN v1, whose width is 1536, in one of its three namings."""
    magnitude, direction = {
        "parametrizations": ("parametrizations.weight.original0", "parametrizations.weight.original1"),
        "weight_g": ("weight_g", "weight_v"),
        "removed": (None, "weight"),
    }[naming]

    def conv(name: str, channels: int, weight: tuple[int, ...]) -> Layout:
        layout = {f"{name}.bias": (channels,), f"{name}.{direction}": weight}
        return layout | ({f"{name}.{magnitude}": (weight[0], 1, 1)} if magnitude else {})

    def activation(name: str, channels: int) -> Layout:
        layout = {f"{name}.act.alpha": (channels,), f"{name}.act.beta": (channels,)}
        return layout | {f"{name}.upsample.filter": (1, 1, 12), f"{name}.downsample.lowpass.filter": (1, 1, 12)}

    layout = conv("conv_pre", width, (width, mel_bins, 7))
    for level, kernel in enumerate((8, 8, 4, 4, 4, 4)):
        width //= 2
        layout |= conv(f"ups.{level}.0", width, (2 * width, width, kernel))
        for block, size in enumerate((3, 7, 11)):
            name = f"resblocks.{3 * level + block}"
            for convs in ("convs1", "convs2"):
                for index in range(3):
                    layout |= conv(f"{name}.{convs}.{index}", width, (width, width, size))
            for index in range(6):
                layout |= activation(f"{name}.activations.{index}", width)
    return layout | activation("activation_post", width) | conv("conv_post", 1, (1, width, 7))


class Official:
    """The layouts above, and tensors for them."""

    head_dim = HEAD_DIM
    dual_tower_layout = staticmethod(dual_tower_layout)
    video_vae_layout = staticmethod(video_vae_layout)
    text_encoder_layout = staticmethod(text_encoder_layout)
    audio_vae_layout = staticmethod(audio_vae_layout)
    vocoder_layout = staticmethod(vocoder_layout)

    @staticmethod
    def fill(layout: Layout, seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return {name: (0.1 * torch.randn(shape, generator=generator)).to(dtype) for name, shape in layout.items()}

    @staticmethod
    def on_meta(layout: Layout) -> dict[str, torch.Tensor]:
        return {name: torch.empty(shape, device="meta") for name, shape in layout.items()}

    @staticmethod
    def write_tokenizer(folder: Path, num_words: int = 20) -> Path:
        words = ["<pad>", "</s>", "<unk>", *(f"word{index}" for index in range(num_words - 3))]
        tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        fast = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=32
        )
        fast.save_pretrained(folder)
        return folder

    def write_all(self, folder: Path) -> OfficialSources:
        """
        One file per component, in the formats that they are published in (the vocoder without weight norm: quicker).
        """
        save_file(self.fill(dual_tower_layout(), 1, torch.bfloat16), folder / "dual_tower.safetensors")
        torch.save(self.fill(video_vae_layout(), 2), folder / "Wan2.2_VAE.pth")
        torch.save(self.fill(text_encoder_layout(), 3, torch.bfloat16), folder / "umt5.pth")
        torch.save(self.fill(audio_vae_layout(), 4), folder / "v1-16.pth")
        torch.save({"generator": self.fill(vocoder_layout(naming="removed"), 5)}, folder / "best_netG.pt")
        return OfficialSources(
            transformer=folder / "dual_tower.safetensors",
            vae=folder / "Wan2.2_VAE.pth",
            text_encoder=folder / "umt5.pth",
            tokenizer=self.write_tokenizer(folder / "tokenizer"),
            audio_vae=folder / "v1-16.pth",
            vocoder=folder / "best_netG.pt",
        )


@pytest.fixture(scope="session")
def official() -> Official:
    return Official()


@pytest.fixture
def sources(official: Official, tmp_path: Path) -> OfficialSources:
    folder = tmp_path / "official"
    folder.mkdir()
    return official.write_all(folder)


@pytest.fixture(scope="session")
def parity_file() -> Callable[[str], Path]:
    folder = Path(os.environ.get("IAP_PARITY_DIR", Path(__file__).parents[3] / "shared" / "parity"))

    def find(name: str) -> Path:
        if not (folder / name).is_file():
            pytest.skip(f"{name} is not in {folder} (set IAP_PARITY_DIR)")
        return folder / name

    return find


@pytest.fixture(scope="session")
def published_layout(parity_file: Callable[[str], Path]) -> Callable[..., Layout]:
    def read(name: str, entry: str = "state_dict") -> Layout:
        content = json.loads(parity_file(name).read_text())[entry]
        return {key: tuple(shape) for key, shape in content.items()}

    return read
