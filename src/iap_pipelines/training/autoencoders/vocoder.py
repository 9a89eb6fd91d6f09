"""The vocoder: log mels to a waveform at 16 kHz. Stock `LTX2Vocoder` in its BigVGAN v1 form.

Letters: B batch, M mel bins, T mel frames, N samples.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import MMAudioVAE
from diffusers.models.autoencoders.autoencoder_mmaudio import MMAudioMelSpectrogram
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder
from torch import Tensor, nn

from iap_pipelines.training.autoencoders.audio_vae import HOP_LENGTH, SAMPLING_RATE, draw_mels
from iap_pipelines.training.autoencoders.config import VocoderConfig, VocoderModel, VocoderPhase
from iap_pipelines.training.autoencoders.data import SpeechCache
from iap_pipelines.training.autoencoders.discriminators import WaveformDiscriminator
from iap_pipelines.training.autoencoders.export import save_both_precisions
from iap_pipelines.training.autoencoders.losses import (
    adversarial_loss,
    discriminator_loss,
    feature_difference,
    spectrum_difference,
)
from iap_pipelines.training.autoencoders.trainer import MODEL, Turn


DISCRIMINATOR = "discriminator"
_NUM_VALIDATION_UTTERANCES = 24


def build_vocoder(config: VocoderModel) -> LTX2Vocoder:
    """A new vocoder; draws its weights from torch's default generator."""
    return LTX2Vocoder(
        in_channels=80,
        hidden_channels=config.hidden_channels,
        out_channels=1,
        upsample_kernel_sizes=list(config.upsample_kernel_sizes),
        upsample_factors=list(config.upsample_factors),
        resnet_kernel_sizes=list(config.resnet_kernel_sizes),
        resnet_dilations=[list(dilations) for dilations in config.resnet_dilations],
        act_fn="snakebeta",
        antialias=config.antialias,
        final_act_fn="tanh",
        final_bias=True,
        output_sampling_rate=SAMPLING_RATE,
    )


class VocoderObjective:
    """
    Make the waveform that a mel came from.

    Args:
        config: the run; its cache must have speech of `train` and `validation`.
    """

    def __init__(self, config: VocoderConfig) -> None:
        self.config = config
        self.speech = SpeechCache(config.cache, "train")
        self.validation_speech = SpeechCache(config.cache, "validation")
        if config.init_from is None:
            self.vocoder = build_vocoder(config.model)
        else:
            self.vocoder = LTX2Vocoder.from_pretrained(config.init_from)
        self.vocoder.train()
        self.discriminator = WaveformDiscriminator(config.discriminator_channels)
        self.modules: dict[str, nn.Module] = {MODEL: self.vocoder, DISCRIMINATOR: self.discriminator}
        self.mel_converter = MMAudioMelSpectrogram(SAMPLING_RATE, n_fft=1024, num_mels=80, hop_length=HOP_LENGTH)
        self.audio_vae = MMAudioVAE.from_pretrained(config.audio_vae) if config.audio_vae is not None else None

    def learning_rate_factor(self, module: str) -> float:
        peak = max(phase.learning_rate for phase in self.config.phases)
        return self.config.discriminator_learning_rate / peak if module == DISCRIMINATOR else 1.0

    def turns(self, phase: VocoderPhase, generator: torch.Generator) -> Iterator[Turn]:
        real = self.speech.sample(
            phase.batch_size, phase.num_mel_frames * HOP_LENGTH, generator, gain_range_db=self.config.gain_range_db
        )
        made = self.vocoder(self._mels(real, phase, generator)[:, None], time_last=True)[:, 0]
        if phase.adversarial:
            judged_real, judged_made = self.discriminator(real), self.discriminator(made.detach())
            yield Turn(DISCRIMINATOR, discriminator_loss(judged_real.scores, judged_made.scores), {})
        yield self._generator_turn(real, made, phase)

    @torch.no_grad()
    def _mels(self, waveform: Tensor, phase: VocoderPhase, generator: torch.Generator) -> Tensor:
        """Exact mels, the first ones of the batch replaced by what the audio VAE makes of them."""
        mels = self.mel_converter(waveform)
        count = round(phase.reconstructed_share * len(waveform))
        if count:
            posterior = self.audio_vae.encode(waveform[:count]).latent_dist
            mels[:count] = self.audio_vae.decode(posterior.sample(generator=generator)).sample
        return mels

    def _generator_turn(self, real: Tensor, made: Tensor, phase: VocoderPhase) -> Turn:
        terms = {
            "mel": (self.mel_converter(made) - self.mel_converter(real)).abs().mean(),
            "spectrum": spectrum_difference(made, real),
        }
        weights = {"mel": self.config.mel_weight, "spectrum": self.config.spectrum_weight}
        if phase.adversarial:
            with torch.no_grad():
                judged_real = self.discriminator(real)
            self.discriminator.requires_grad_(False)  # its gradients would be computed and thrown away
            judged_made = self.discriminator(made)
            self.discriminator.requires_grad_(True)
            terms["adversarial"] = adversarial_loss(judged_made.scores)
            terms["features"] = feature_difference(judged_real.features, judged_made.features)
            weights |= {"adversarial": self.config.adversarial_weight, "features": self.config.feature_weight}
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        return Turn(MODEL, loss, terms)

    def after_step(self) -> None:
        """Nothing to restore."""

    def validate(self, model: nn.Module, pictures: Path) -> dict[str, float]:
        sums = {"mel_difference_nats": 0.0, "spectrum_difference": 0.0}
        pairs = []
        for waveform in self.validation_speech.all_utterances(_NUM_VALIDATION_UTTERANCES):
            mel = self.mel_converter(waveform)
            made = model(mel[:, None], time_last=True)[:, 0]
            made_mel = self.mel_converter(made)
            sums["mel_difference_nats"] += float((made_mel - mel).abs().mean())
            sums["spectrum_difference"] += float(spectrum_difference(made, waveform[:, : made.shape[-1]]))
            pairs.append((mel[0], made_mel[0]))

        draw_mels(pairs[:4], pictures.with_suffix(".png"))
        return {name: total / len(pairs) for name, total in sums.items()}

    def export(self, model: nn.Module, folder: Path) -> None:
        save_both_precisions(model, folder)
