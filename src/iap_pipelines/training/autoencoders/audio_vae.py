"""The audio VAE: log mels to 20 channels at 31.25 per second and back. Stock `MMAudioVAE` at 16 kHz.

The class is magnitude preserving (https://arxiv.org/abs/2312.02696): it has no normalisation layers and relies on
weights of norm 1 per output channel. Published weights come normalised; here they are normalised again after every
step, but for the two convolutions that carry the scale of the latents.

Letters: B batch, M mel bins, T mel frames, L latents, C latent channels, N samples.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import MMAudioVAE
from diffusers.models.autoencoders.autoencoder_mmaudio import MMAudioMPConv1d
from PIL import Image
from torch import Tensor, nn

from iap_pipelines.training.autoencoders.config import AudioPhase, AudioVAEConfig, AudioVAEModel
from iap_pipelines.training.autoencoders.data import SpeechCache
from iap_pipelines.training.autoencoders.export import save_both_precisions
from iap_pipelines.training.autoencoders.losses import kl_divergence, moment_distance
from iap_pipelines.training.autoencoders.trainer import MODEL, Turn


SAMPLING_RATE = 16_000
HOP_LENGTH = 256
_NUM_VALIDATION_UTTERANCES = 32
_NUM_STATISTICS_UTTERANCES = 400


def build_audio_vae(config: AudioVAEModel) -> MMAudioVAE:
    """A new VAE with normalised weights; draws them from torch's default generator."""
    vae = MMAudioVAE(
        mel_bins=80,
        latent_channels=config.latent_channels,
        hidden_channels=config.hidden_channels,
        channel_multipliers=list(config.channel_multipliers),
        layers_per_block=config.layers_per_block,
        sample_rate=SAMPLING_RATE,
        n_fft=1024,
        hop_length=HOP_LENGTH,
        scaling_factor=1.0,
    )
    normalise_weights(vae)
    return vae


@torch.no_grad()
def normalise_weights(vae: MMAudioVAE) -> None:
    """Give every output channel of every convolution norm 1, but for the two that carry the scale of the latents."""
    free = {vae.vae.encoder.conv_out, vae.vae.decoder.conv_in}
    for module in vae.modules():
        if isinstance(module, MMAudioMPConv1d) and module not in free:
            module.weight.div_(torch.linalg.vector_norm(module.weight, dim=(1, 2), keepdim=True).clamp(min=1e-8))


@torch.no_grad()
def set_mel_statistics(vae: MMAudioVAE, utterances: Iterator[Tensor]) -> None:
    """
    Measure `data_mean` and `data_std`, per mel bin.

    Args:
        vae: changed in place.
        utterances: each ``[1, N]``.
    """
    mels = torch.cat([vae.mel_converter(utterance) for utterance in utterances if utterance.shape[-1] > 1024], dim=-1)
    vae.vae.data_mean.copy_(mels.mean(dim=-1, keepdim=True))
    vae.vae.data_std.copy_(mels.std(dim=-1, keepdim=True).clamp(min=0.1))


@torch.no_grad()
def fold_latent_scale(vae: MMAudioVAE, utterances: Iterator[Tensor]) -> Tensor:
    """
    Make the mean of the posterior have variance 1 per channel, and keep every reconstruction from it as it was.

    The encoder's last convolution is divided by the deviation and the decoder's first multiplied by it. Neither has a
    bias, so the mean stays, and so does the posterior's own deviation; training keeps both near where they belong.

    Args:
        vae: changed in place.
        utterances: each ``[1, N]``.

    Returns:
        The deviations before, ``[C]``.
    """
    latents = [vae.encode(utterance).latent_dist.mode() for utterance in utterances if utterance.shape[-1] > 1024]
    std = torch.cat(latents, dim=-1)[0].std(dim=-1)
    num_channels = vae.config.latent_channels
    vae.vae.encoder.conv_out.weight[:num_channels] /= std[:, None, None]
    vae.vae.decoder.conv_in.weight *= std[None, :, None]
    return std


def even_mel(vae: MMAudioVAE, waveform: Tensor) -> Tensor:
    """The log mel ``[B, M, T]`` of ``[B, N]``, T rounded down to even: one latent covers two mel frames."""
    mel = vae.mel_converter(waveform)
    return mel[..., : mel.shape[-1] // 2 * 2]


class AudioVAEObjective:
    """
    Reconstruct mels of speech.

    Args:
        config: the run; its cache must have speech of `train` and `validation`.
    """

    def __init__(self, config: AudioVAEConfig) -> None:
        self.config = config
        self.speech = SpeechCache(config.cache, "train")
        self.validation_speech = SpeechCache(config.cache, "validation")
        if config.init_from is None:
            self.vae = build_audio_vae(config.model)
            set_mel_statistics(self.vae, self.speech.all_utterances(_NUM_STATISTICS_UTTERANCES))
        else:
            self.vae = MMAudioVAE.from_pretrained(config.init_from)
        self.vae.train()
        self.modules: dict[str, nn.Module] = {MODEL: self.vae}

    def learning_rate_factor(self, module: str) -> float:
        return 1.0

    def turns(self, phase: AudioPhase, generator: torch.Generator) -> Iterator[Turn]:
        waveform = self.speech.sample(
            phase.batch_size, phase.num_mel_frames * HOP_LENGTH, generator, gain_range_db=self.config.gain_range_db
        )
        posterior = self.vae.encode(waveform).latent_dist
        reconstruction = self.vae.decode(posterior.sample(generator=generator)).sample
        error = (reconstruction - self.vae.mel_converter(waveform)) / self.vae.vae.data_std
        terms = {
            "mel": error.abs().mean(),
            "kl": kl_divergence(posterior.mean, posterior.logvar),
            "moments": moment_distance(posterior.mean),
        }
        weights = {"mel": 1.0, "kl": self.config.kl_weight, "moments": self.config.moment_weight}
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        yield Turn(MODEL, loss, terms)

    def after_step(self) -> None:
        normalise_weights(self.vae)

    def validate(self, model: nn.Module, pictures: Path) -> dict[str, float]:
        differences, pairs, latents = [], [], []
        for waveform in self.validation_speech.all_utterances(_NUM_VALIDATION_UTTERANCES):
            mel = even_mel(model, waveform)
            latents.append(model.encode(waveform).latent_dist.mode())
            reconstruction = model.decode(latents[-1]).sample
            differences.append(float((reconstruction - mel).abs().mean()))
            pairs.append((mel[0], reconstruction[0]))
        draw_mels(pairs[:4], pictures.with_suffix(".png"))
        channels = torch.cat(latents, dim=-1)[0]
        return {
            "mel_difference_nats": sum(differences) / len(differences),
            "latent_std": float(channels.std(dim=-1).mean()),
            "largest_latent_mean": float(channels.mean(dim=-1).abs().amax()),
        }

    def export(self, model: nn.Module, folder: Path) -> None:
        fold_latent_scale(model, self.speech.all_utterances(_NUM_STATISTICS_UTTERANCES))
        save_both_precisions(model, folder)


def draw_mels(pairs: list[tuple[Tensor, Tensor]], path: Path) -> None:
    """
    Draw log mels, each original above its reconstruction, low notes at the bottom.

    Args:
        pairs: original and reconstruction, each ``[M, T]`` in nats.
        path: a PNG file.
    """
    floor = math.log(1e-5)
    rows = [((mel - floor) / -floor).clamp(0, 1).flip(0) for pair in pairs for mel in pair]
    width = max(row.shape[1] for row in rows)
    padded = [nn.functional.pad(row, (0, width - row.shape[1], 0, 4), value=1.0) for row in rows]
    picture = (torch.cat(padded, dim=0) * 255).to(torch.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.numpy()).resize((2 * width, 2 * picture.shape[0])).save(path)
